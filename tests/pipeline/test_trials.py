"""A trial without its training: what it draws, what it leaves behind, and what becomes of it when its worker dies."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tumorlens import config
from tumorlens.config.space import load_space
from tumorlens.errors import EnvironmentFailure, UsageError
from tumorlens.pipeline import locking, spreading, trials
from tumorlens.pipeline.reporter import Reporter

optuna = pytest.importorskip("optuna")

SETTINGS = config.load(None, ["train.weight_decay=0.02", "train.batch_size=32"])
SPACE = """
"train.weight_decay" = { low = 0, high = 1 }
"train.batch_size" = { low = 16, high = 64 }
"""
PRESENT = {"train.weight_decay": 0.02, "train.batch_size": 32}

Ending = Callable[[Path, config.Settings], float]


@pytest.fixture
def begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A search that has begun, whose trainings end at once."""
    folder = tmp_path / "search"
    folder.mkdir()
    start(folder)
    monkeypatch.setattr(trials.runs, "reopen", lambda _folder, _kind: (SETTINGS, None, None))
    trainings_end(monkeypatch, lambda _place, own: -((own.train.weight_decay - 0.3) ** 2))
    return folder


def start(folder: Path) -> None:
    (folder / "config.toml").write_text("")
    (folder / "space.toml").write_text(SPACE)
    trials.enqueue_present(folder, SETTINGS, Reporter())


def trainings_end(monkeypatch: pytest.MonkeyPatch, ending: Ending) -> None:
    monkeypatch.setattr(trials, "_value", lambda place, own, *_rest: ending(place, own))


def every(folder: Path) -> list[Any]:
    with trials.study_of(folder, SETTINGS) as study:
        return list(study.get_trials())


def tried(folder: Path) -> list[dict[str, Any]]:
    return [trial.params for trial in trials.ended(folder, SETTINGS)]


def test_a_setting_is_a_whole_number_by_its_type_not_by_how_its_range_is_written(begun: Path) -> None:
    for _ in range(4):
        trials.try_one(begun, 0, 0.0)
    values = tried(begun)
    assert values[0] == PRESENT
    assert all(isinstance(one["train.batch_size"], int) for one in values)
    assert any(one["train.weight_decay"] % 1 for one in values[1:])


def behind(_place: Path, _own: config.Settings) -> float:
    raise trials._BehindError


def diverges(_place: Path, _own: config.Settings) -> float:
    raise EnvironmentFailure("not a number", hint="", code="diverged")


def ends(_place: Path, _own: config.Settings) -> float:
    return 1.0


def stops(_place: Path, _own: config.Settings) -> float:
    raise KeyboardInterrupt


def leaving(ending: Ending) -> Ending:
    """A training of two folds that leaves its weights as it ends."""

    def train(place: Path, own: config.Settings) -> float:
        for fold in ("1", "2"):
            weights = place / fold / "checkpoints" / "last.npz"
            weights.parent.mkdir(parents=True)
            weights.write_bytes(b"weights")
            (place / fold / "history.csv").write_text("epoch\n1\n")
        return ending(place, own)

    return train


@pytest.mark.parametrize("ending", [ends, behind, diverges])
def test_a_trial_that_has_ended_keeps_its_history_and_no_weights(
    begun: Path, monkeypatch: pytest.MonkeyPatch, ending: Ending
) -> None:
    trainings_end(monkeypatch, leaving(ending))
    trials.try_one(begun, 0, 0.0)
    assert len(tried(begun)) == 1
    assert not list(begun.rglob("checkpoints"))
    assert len(list(begun.rglob("history.csv"))) == 2


def test_a_trial_that_was_stopped_keeps_its_weights_until_it_has_ended(
    begun: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainings_end(monkeypatch, leaving(stops))
    with pytest.raises(KeyboardInterrupt):
        trials.try_one(begun, 0, 0.0)
    trials.mend(begun, SETTINGS)
    assert len(list(begun.rglob("last.npz"))) == 2
    # Killed after Optuna was told that it has ended: what it left is removed when the search goes on.
    with trials.study_of(begun, SETTINGS) as study:
        again = study.ask()
        again.set_user_attr(trials.FOLDER, "1")
        study.tell(again, state=optuna.trial.TrialState.PRUNED)
    trials.mend(begun, SETTINGS)
    assert not list(begun.rglob("last.npz"))


def test_a_trial_that_diverged_is_not_tried_again(begun: Path) -> None:
    with trials.study_of(begun, SETTINGS) as study:
        trial = study.ask()
        trial.set_user_attr(trials.FOLDER, "1")
        trial.set_user_attr(trials.REASON, "not a number")  # and killed before it was told to have failed
    trials.mend(begun, SETTINGS)
    assert [trial.state.name for trial in every(begun)] == ["FAIL"]


def asked_by_a_worker(folder: Path) -> Exception | None:
    return spreading.attempt(trials.try_one, str(folder), (0, 0.0), 1)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setattr(spreading, "_LOOK_SECONDS", 0.01)


def test_a_trial_waits_for_the_worker_before_it_and_nothing_is_lost(begun: Path, impatient: None) -> None:
    place = begun / "trials" / "1"
    place.mkdir(parents=True)
    with ExitStack() as before:
        before.enter_context(locking.held(place))
        threading.Timer(0.6, before.close).start()
        assert asked_by_a_worker(begun) is None
    assert [(trial.state.name, trial.params) for trial in every(begun)] == [("COMPLETE", PRESENT)]


def test_a_folder_that_stays_held_costs_no_trial(begun: Path, impatient: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spreading, "_WAIT_SECONDS", 0.4)
    place = begun / "trials" / "1"
    place.mkdir(parents=True)
    with locking.held(place):
        error = asked_by_a_worker(begun)
    assert isinstance(error, UsageError)
    assert error.code == "running"
    assert len(every(begun)) == 1
    trials.mend(begun, SETTINGS)
    assert asked_by_a_worker(begun) is None
    assert tried(begun) == [PRESENT]
    assert [path.name for path in (begun / "trials").iterdir()] == ["1"]


def test_the_present_settings_are_tried_though_the_first_worker_died_before_it_knew_them(begun: Path) -> None:
    with trials.study_of(begun, SETTINGS) as study:
        study.ask()
    for _ in range(2):  # and the second, too
        trials.mend(begun, SETTINGS)
        with trials.study_of(begun, SETTINGS) as study:
            study.ask()
    trials.mend(begun, SETTINGS)
    trials.try_one(begun, 0, 0.0)
    assert tried(begun) == [PRESENT]


def test_workers_that_begin_together_draw_different_values(begun: Path) -> None:
    trials.try_one(begun, 0, 0.0)  # the present settings
    space = load_space(begun / "space.toml")
    with trials.study_of(begun, SETTINGS) as one, trials.study_of(begun, SETTINGS) as other:
        drawn = [trials._asked(study, SETTINGS, space)[1]["train.weight_decay"] for study in (one, other)]
    assert drawn[0] != drawn[1]


def test_a_search_of_one_worker_draws_the_same_each_time_stopped_or_not(
    begun: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = 14  # the first ten are drawn by chance alone, the others learn from them
    for _ in range(count):
        trials.try_one(begun, 0, 0.0)
    straight = tried(begun)
    assert len({one["train.weight_decay"] for one in straight}) == count
    stopped = tmp_path / "stopped"
    stopped.mkdir()
    start(stopped)
    at_once = trials._value
    while len(trials.ended(stopped, SETTINGS)) < count:
        if len(every(stopped)) in (3, 13):
            trainings_end(monkeypatch, stops)
            with pytest.raises(KeyboardInterrupt):
                trials.try_one(stopped, 0, 0.0)
            monkeypatch.setattr(trials, "_value", at_once)
            trials.mend(stopped, SETTINGS)
        trials.try_one(stopped, 0, 0.0)
    assert tried(stopped) == straight
