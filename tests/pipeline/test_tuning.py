"""The search on the phantom: inner folds only, the present settings first, resumable, in several processes."""

from __future__ import annotations

import csv
import os
import shutil
import signal
from pathlib import Path

import msgspec
import optuna
import pytest

from tumorlens import config, data
from tumorlens.cli.main import main
from tumorlens.config.space import parse_space, space_text, value_of
from tumorlens.errors import ConfigError, Interrupted, UsageError
from tumorlens.pipeline import trials
from tumorlens.pipeline.reporter import Reporter
from tumorlens.pipeline.spreading import Workers
from tumorlens.pipeline.tuning import Search, resume, tune

FAST = config.load(
    None,
    (
        "preprocess.size=32",
        "model.name=plain",
        "model.width=8",
        "model.depth=2",
        "train.epochs=2",
        "evaluate.bootstrap=100",
        "tune.trials=3",
        "tune.folds=2",
    ),
)
SPACE = """
"train.learning_rate" = { low = 0.0003, high = 0.01, log = true }
"model.depth" = { low = 1, high = 2 }
[train]
label_smoothing = { choices = [0.0, 0.1] }
"""


def search(phantom_folder: Path, out: Path, **more: object) -> Search:
    space = out.parent / "space.toml"
    space.parent.mkdir(parents=True, exist_ok=True)
    space.write_text(SPACE)
    return tune(phantom_folder / "manifest.csv", settings=FAST, space=space, out=out, **more)  # type: ignore[arg-type]


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
            os.kill(os.getpid(), signal.SIGINT)
            self.left = -1


def test_a_stopped_search_goes_on_where_it_was(done: Search, phantom_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "search"
    with pytest.raises(Interrupted) as stopped:
        search(phantom_folder, out, reporter=StopIn(2))
    assert f"tumorlens tune --resume {out}" in stopped.value.hint
    first = (out / "trials" / "1" / "1" / "result.json").read_bytes()
    again = resume(out)
    assert (out / "trials" / "1" / "1" / "result.json").read_bytes() == first
    assert again.metrics["present"]["value"] == done.metrics["present"]["value"]
    assert len(again.metrics["trials"]) == 3


def test_several_processes_share_one_study(phantom_folder: Path, tmp_path: Path) -> None:
    found = search(phantom_folder, tmp_path / "search", workers=Workers(2))
    assert len(found.metrics["trials"]) == 3
    assert found.metrics["present"] is not None


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
