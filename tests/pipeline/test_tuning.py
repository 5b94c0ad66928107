"""The search on the phantom: inner folds only, the present settings first, resumable, in several processes."""

from __future__ import annotations

import csv
import os
import shutil
import signal
import threading
import tomllib
from dataclasses import replace
from pathlib import Path

import joblib.externals.loky as loky
import msgspec
import numpy as np
import optuna
import pytest
from tests.pipeline.conftest import PLAIN

from tumorlens import config, data
from tumorlens.cli.main import main
from tumorlens.config.space import parse_space, space_text, value_of
from tumorlens.data.manifest import Manifest, Row
from tumorlens.errors import ConfigError, DataError, Interrupted, UsageError
from tumorlens.pipeline import trials, tuning
from tumorlens.pipeline.reporter import Reporter
from tumorlens.pipeline.spreading import Workers
from tumorlens.pipeline.tuning import Search, resume, tune

OVERRIDES = (
    *PLAIN,
    "tune.trials=3",
    "tune.folds=2",
)
FAST = config.load(None, OVERRIDES)
SPACE = """
"train.learning_rate" = { low = 0.0003, high = 0.01, log = true }
"model.depth" = { low = 1, high = 2 }
[train]
label_smoothing = { choices = [0.0, 0.1] }
"""


def search(phantom_folder: Path, out: Path, settings: config.Settings = FAST, **more: object) -> Search:
    space = out.parent / "space.toml"
    space.parent.mkdir(parents=True, exist_ok=True)
    space.write_text(SPACE)
    return tune(phantom_folder / "manifest.csv", settings=settings, space=space, out=out, **more)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def done(phantom_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Search:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TUMORLENS_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        return search(phantom_folder, tmp_path_factory.mktemp("tuning") / "search")


def test_what_is_tested_later_takes_no_part(done: Search, phantom_folder: Path) -> None:
    with (done.folder / "manifest.csv").open() as file:
        rows = list(csv.DictReader(file))
    every = data.read(str(phantom_folder / "manifest.csv"))
    assert 0 < len(rows) < len(every)
    held_back = {row.patient for row in every} - {row["patient"] for row in rows}
    assert held_back
    folds: dict[str, set[str]] = {}
    for row in rows:
        folds.setdefault(row["patient"], set()).add(row["fold"])
    assert all(len(found) == 1 for found in folds.values())
    assert {row["fold"] for row in rows} == {"1", "2"}


def test_the_present_settings_come_first_and_nothing_wins_that_has_not_beaten_them(done: Search) -> None:
    first, best = done.metrics["trials"][0], done.metrics["best"]
    assert first["values"] == {"train.learning_rate": 1e-3, "model.depth": 2, "train.label_smoothing": 0.1}
    assert done.metrics["present"] == first
    assert best["value"] == max(one["value"] for one in done.metrics["trials"] if one["value"] is not None)
    assert best["value"] >= first["value"]
    assert len(done.metrics["trials"]) == 3


def test_the_value_of_a_trial_is_the_mean_over_its_folds_last_epochs(done: Search) -> None:
    for one in done.metrics["trials"]:
        if one["value"] is None:
            continue
        last = []
        for fold in ("1", "2"):
            with (done.folder / "trials" / str(one["number"]) / fold / "history.csv").open() as file:
                last.append(float(list(csv.DictReader(file))[-1]["val_accuracy"]))
        assert one["value"] == pytest.approx(sum(last) / 2)
    assert not list(done.folder.rglob("last.npz"))


def test_the_best_settings_can_be_trained_with(done: Search) -> None:
    best = config.load(done.folder / "best.toml")
    assert best == done.best
    assert best.train.learning_rate == done.metrics["best"]["values"]["train.learning_rate"]
    assert msgspec.structs.replace(best, train=FAST.train, model=FAST.model) == FAST
    with (done.folder / "trials.csv").open() as file:
        assert [row["number"] for row in csv.DictReader(file)] == ["1", "2", "3"]


def test_the_report_shows_what_was_tried(done: Search) -> None:
    assert done.report is not None
    text = done.report.read_text()
    assert f"{100 * done.metrics['best']['value']:.1f}" in text
    assert "train.label_smoothing" in text
    if done.metrics["importance"]:
        assert sum(done.metrics["importance"].values()) == pytest.approx(1)


class StopIn(Reporter):
    """Ctrl-C in the second epoch of a training, counted from 1."""

    def __init__(self, training: int) -> None:
        self.left = training

    def batch(self, epoch: int, epochs: int, step: int, steps: int, loss: float, accuracy: float) -> None:
        self.left -= (epoch, step) == (2, 1)
        if self.left == 0:
            signal.raise_signal(signal.SIGINT)
            self.left = -1


def test_a_stopped_search_goes_on_where_it_was(done: Search, phantom_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "search"
    with pytest.raises(Interrupted) as stopped:
        search(phantom_folder, out, reporter=StopIn(2))
    assert f"tumorlens tune --resume {out}" in stopped.value.hint
    first = (out / "trials" / "1" / "1" / "result.json").read_bytes()
    again = resume(out)
    assert (out / "trials" / "1" / "1" / "result.json").read_bytes() == first
    told = [told_of(folder) for folder in (out, done.folder)]
    assert told[0] == told[1]
    assert sorted(told[0]) == [1, 2, 3, 4]
    assert again.metrics["present"]["value"] == done.metrics["present"]["value"]
    assert len(again.metrics["trials"]) == 3


def told_of(folder: Path) -> dict[int, float]:
    """What Optuna was told of the epochs of the first trial that was seen through."""
    with trials.study_of(folder, FAST) as study:
        trial = next(one for one in study.get_trials() if one.value is not None)
        return dict(trial.intermediate_values)


def test_it_begins_with_what_a_training_would_do(phantom_folder: Path, tmp_path: Path) -> None:
    space = tmp_path / "space.toml"
    space.write_text('"model.width" = { choices = [0, 8] }')
    given = {
        "preprocess": {"size": 32},
        "train": {"epochs": 1, "start": "phantom"},
        "tune": {"trials": 1, "folds": 1},
        "data": {"audit": "copies"},
    }
    found = tune(phantom_folder / "manifest.csv", settings=given, space=space, out=tmp_path / "search")
    stored = config.load(found.folder / "config.toml")
    assert (stored.model.name, stored.train.epochs, stored.preprocess.size) == ("guided", 1, 32)
    plan = tomllib.loads((found.folder / "plan.toml").read_text())
    assert not {"train.epochs", "train.start"} & {one["setting"] for one in plan["choice"]}
    with (found.folder / "manifest.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert plan["facts"]["slices"] == sum(row["fold"] == "" for row in rows) < len(rows)
    assert found.report is not None
    assert "What tumorlens decided, and why" in found.report.read_text()
    assert found.metrics["present"]["values"] == {"model.width": 0}


def test_a_trial_of_another_width_does_not_start_from_weights_that_do_not_fit() -> None:
    own = config.load(None, ["train.start=phantom"])
    assert trials.tried(own, {"model.dropout": 0.5}).train.start == "phantom"
    assert trials.tried(own, {"model.width": 16}).train.start == ""
    assert trials.tried(own, {"model.depth": 2}).train.start == ""
    # What a person has asked for and cannot be stays an error of the training.
    asked = config.load(None, ["train.start=phantom", "model.width=16"])
    assert trials.tried(asked, {"model.dropout": 0.5}) == config.load(
        None, ["train.start=phantom", "model.width=16", "model.dropout=0.5"]
    )


@pytest.mark.parametrize("folds", [1, 2])
def test_what_shares_a_group_with_a_test_slice_takes_no_part(folds: int) -> None:
    settings = config.load(None, [f"tune.folds={folds}"])
    rows = [
        Row(path=f"{i}", label="ab"[i % 2], patient=f"p{i // 2}", split=("train", "val", "test")[i // 2 % 3])
        for i in range(24)
    ]
    inner = tuning._inner(Manifest(tuple(rows)), settings)
    assert {row.patient for row in inner} == {row.patient for row in rows if row.split != "test"}
    assert inner.notes == ()
    # A patient of a test slice is trained on, too.
    torn = Manifest((replace(rows[0], patient="p2"), *rows[1:]))
    left = tuning._inner(torn, settings)
    assert {row.path for row in inner} - {row.path for row in left} == {"0"}
    assert "1 slices share" in left.notes[0]
    every = Manifest(tuple(replace(row, patient="p2") if row.split != "test" else row for row in rows))
    with pytest.raises(DataError) as caught:
        tuning._inner(every, settings)
    assert caught.value.code == "all_leaked"


def test_several_processes_share_one_study(phantom_folder: Path, tmp_path: Path) -> None:
    found = search(phantom_folder, tmp_path / "search", workers=Workers(2))
    assert len(found.metrics["trials"]) == 3
    assert found.metrics["present"] is not None


class Warned(Reporter):
    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warn(self, text: str) -> None:
        self.warnings.append(text)


def test_a_killed_worker_costs_no_trial(phantom_folder: Path, tmp_path: Path) -> None:
    out, told, ended = tmp_path / "search", Warned(), threading.Event()
    killed: list[int] = []

    def kill() -> None:
        """The workers' end, as soon as an epoch has been trained."""
        while not killed and not ended.wait(0.05):
            if any(out.glob("trials/*/*/history.csv")):
                killed.extend(list(loky.get_reusable_executor(reuse=True)._processes)[:1])
                os.kill(killed[0], signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    # More than one epoch is left when the kill comes.
    small = config.load(None, (*OVERRIDES, "train.epochs=5", "tune.trials=2", "tune.folds=1"))
    try:
        found = search(phantom_folder, out, settings=small, workers=Workers(2), reporter=told)
    finally:
        ended.set()
        killer.join()
    assert killed
    assert any("a worker died" in text for text in told.warnings)
    assert [one["state"] for one in found.metrics["trials"]] == ["seen through"] * 2
    assert found.metrics["present"] is not None
    assert sorted(path.name for path in (out / "trials").iterdir()) == ["1", "2"]
    for history in out.glob("trials/*/*/history.csv"):
        with history.open() as file:
            assert [row["epoch"] for row in csv.DictReader(file)] == ["1", "2", "3", "4", "5"]
    assert not list(out.rglob("checkpoints"))


def made_up(folder: Path, count: int, hangs_on: str = "train.learning_rate") -> dict[str, float] | None:
    """The importance in a study whose value hangs on one setting and on nothing else."""
    within = {
        "train.learning_rate": optuna.distributions.FloatDistribution(1e-4, 1e-2, log=True),
        "model.depth": optuna.distributions.IntDistribution(1, 8),
        "train.label_smoothing": optuna.distributions.FloatDistribution(0.0, 0.2),
    }
    folder.mkdir()
    with trials.study_of(folder, FAST) as study:
        for low, middle, high in np.random.default_rng(0).random((count, 3)):
            shares = dict(zip(within, (low, middle, high), strict=True))
            values = (1e-4 * 100**low, 1 + int(8 * middle), 0.2 * high)
            study.add_trial(
                optuna.trial.create_trial(
                    params=dict(zip(within, values, strict=True)), distributions=within, value=shares[hangs_on]
                )
            )
    return tuning._importance(folder, FAST)


@pytest.mark.parametrize("setting", ["train.learning_rate", "model.depth", "train.label_smoothing"])
def test_the_setting_on_which_the_value_hangs_is_the_most_important(setting: str, tmp_path: Path) -> None:
    found = made_up(tmp_path / "study", 24, setting)
    assert found is not None
    assert next(iter(found)) == setting
    assert found[setting] > 0.7
    assert sum(found.values()) == pytest.approx(1)
    assert made_up(tmp_path / "again", 24, setting) == found


def test_there_is_no_importance_in_too_few_trials_or_in_equal_ones(tmp_path: Path) -> None:
    assert made_up(tmp_path / "few", 3) is None
    assert made_up(tmp_path / "enough", 4) is not None
    folder = tmp_path / "equal"
    folder.mkdir()
    within = {"model.depth": optuna.distributions.IntDistribution(1, 8)}
    with trials.study_of(folder, FAST) as study:
        for depth in range(1, 7):
            one = optuna.trial.create_trial(params={"model.depth": depth}, distributions=within, value=0.5)
            study.add_trial(one)
    assert tuning._importance(folder, FAST) is None


def test_a_trial_that_lags_behind_is_given_up(done: Search, tmp_path: Path) -> None:
    folder = tmp_path / "search"
    shutil.copytree(done.folder, folder)
    with trials.study_of(folder, FAST) as study:
        model = study.get_trials()[0]
        for _ in range(5):  # others that were right about everything from the first epoch on
            study.add_trial(
                optuna.trial.create_trial(
                    params=model.params,
                    distributions=model.distributions,
                    value=1.0,
                    intermediate_values=dict.fromkeys(range(1, 5), 1.0),
                    user_attrs={trials.FOLDER: "made up"},
                )
            )
    found = resume(folder, more=6)  # five of them are the made-up ones
    last = found.metrics["trials"][-1]
    assert (last["state"], last["value"], last["epochs"]) == ("given up", None, 1)
    assert len(found.metrics["trials"]) == 9


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('"train.learnin_rate" = { low = 1, high = 2 }', "is not a setting"),
        ('"data.test_fold" = { choices = ["1", "2"] }', "decides what is tested"),
        ('"train.epochs" = { low = 5 }', "either low and high, or choices"),
        ('"train.learning_rate" = { low = 0.1, high = 0.01 }', "from 0.1 to 0.01"),
        ('"train.learning_rate" = { low = 0.0, high = 0.01, log = true }', "from 0.0 to 0.01"),
        ('"model.dropout" = { low = 0.5, high = 1.5 }', "expected"),
        ("", "holds no setting"),
        ("model.dropout = [1", "space.toml"),
    ],
)
def test_a_space_that_cannot_be_searched_is_refused(text: str, said: str, phantom_folder: Path, tmp_path: Path) -> None:
    space = tmp_path / "space.toml"
    space.write_text(text)
    with pytest.raises(ConfigError, match=said):
        tune(phantom_folder / "manifest.csv", settings=FAST, space=space, out=tmp_path / "search")
    assert not (tmp_path / "search").exists()


def test_the_usual_space_can_be_searched_and_is_printed(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["tune", "--show-space"]) == 0
    shown = capsys.readouterr().out
    assert parse_space(shown) == parse_space(space_text())
    # The settings as they are lie in it, so that they can be the first trial.
    usual = config.Settings()
    assert all(within.holds(value_of(usual, key)) for key, within in parse_space(shown).items())
    with pytest.raises(ConfigError, match="cannot be read"):
        space_text(tmp_path / "missing.toml")


def test_a_search_is_no_training(done: Search) -> None:
    from tumorlens.pipeline.training import resume as resume_training

    with pytest.raises(UsageError, match="is no single training") as caught:
        resume_training(done.folder)
    assert f"tumorlens tune --resume {done.folder}" in caught.value.hint
    assert trials.goal({"val_accuracy": 0.5, "val_loss": 2.0}, "loss") == -2.0
