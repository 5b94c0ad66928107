"""One trial of a search: settings that Optuna proposes, trained on inner folds, given up when they lag behind.

The study is a journal file that all workers append to. A trial lies in ``trials/<number>``, counted from 1:
``settings.toml``, and a training for each inner fold. One that was killed is taken up by a new trial with the same
values, in the same folder.
"""

from __future__ import annotations

import csv
import json
import shutil
import statistics
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from tumorlens import config
from tumorlens.config import Settings
from tumorlens.config.space import Space, Value, changed, is_whole, load_space, value_of
from tumorlens.data.manifest import Manifest
from tumorlens.errors import EnvironmentFailure
from tumorlens.io.atomic import write_json, write_text
from tumorlens.io.guard import extra, quiet
from tumorlens.models import start as starting
from tumorlens.models.keras_setup import import_keras
from tumorlens.pipeline import running, runs, spreading
from tumorlens.pipeline.dataset import standardised
from tumorlens.pipeline.reporter import LogReporter, Passing, Reporter
from tumorlens.preprocess.recipe import Recipe

STUDY, TRIALS, SPACE = "study.log", "trials", "space.toml"
# What a trial is remembered by beside its values, and the values it was enqueued with: a worker may die before it has
# taken them up.
FOLDER, REASON, GIVEN = "folder", "reason", "given"
# Trials that are seen through before others are measured against the median of all.
_SEEN_THROUGH = 4


class _BehindError(Exception):
    """The trial is given up."""


@contextmanager
def study_of(folder: Path, settings: Settings) -> Iterator[Any]:
    """The Optuna study in a search's folder, begun where there is none.

    Raises:
        MissingExtraError: without Optuna.
    """
    with extra("Optuna", "train"):
        import optuna
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with quiet():  # parts of Optuna announce themselves as experimental
        storage = JournalStorage(JournalFileBackend(str(folder / STUDY)))
        study = optuna.create_study(
            storage=storage,
            study_name="tune",
            direction="maximize",
            load_if_exists=True,
            sampler=_sampler(settings.seed),
            pruner=optuna.pruners.MedianPruner(_SEEN_THROUGH, n_warmup_steps=max(1, settings.train.epochs // 3)),
        )
        yield study


def _sampler(seed: int) -> Any:
    import optuna

    with quiet():
        return optuna.samplers.TPESampler(seed=seed, multivariate=True, constant_liar=True)


def present_values(folder: Path, settings: Settings) -> dict[str, Value] | str:
    """The settings as they are, as values of a trial; or the key of the first that the space does not hold."""
    values: dict[str, Value] = {}
    for key, within in load_space(folder / SPACE).items():
        values[key] = value_of(settings, key)
        if not within.holds(values[key]):
            return key
    return values


def tried(settings: Settings, values: Mapping[str, Value]) -> Settings:
    """The settings of a trial. Where it changes the network so that the shipped weights no longer fit, from chance.

    Raises:
        ConfigError: for a value that its setting cannot have.
    """
    own = changed(settings, values)
    lost = own.train.start == starting.PHANTOM and starting.ships(settings.model) and not starting.ships(own.model)
    return changed(own, {"train.start": ""}) if lost else own


def enqueue_present(folder: Path, settings: Settings, tell: Reporter) -> None:
    """Let the settings as they are be the first trial of a new study: nothing may win that has not beaten them."""
    values = present_values(folder, settings)
    with study_of(folder, settings) as study:
        if study.get_trials(deepcopy=False):
            return
        if isinstance(values, str):
            own = value_of(settings, values)
            tell.warn(f"the settings as they are are no trial: the space does not hold {values} = {own}")
        else:
            study.enqueue_trial(values, user_attrs={GIVEN: values})


def mend(folder: Path, settings: Settings) -> None:
    """Give the values of trials whose worker is gone to new trials, which go on in the same folder.

    What those that had ended have left behind is removed.
    """
    import optuna

    with study_of(folder, settings) as study:
        for trial in study.get_trials(states=(optuna.trial.TrialState.RUNNING,)):
            study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
            values = trial.user_attrs.get(GIVEN, {}) | trial.params
            if values and REASON not in trial.user_attrs:
                study.enqueue_trial(values, user_attrs={FOLDER: _place(trial), GIVEN: values})
    for trial in ended(folder, settings):
        _shed(folder / TRIALS / _place(trial))


def ended(folder: Path, settings: Settings) -> list[Any]:
    """The trials that have come to an end: seen through, given up, or failed for a reason of their own."""
    import optuna

    over = (optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED)
    with study_of(folder, settings) as study:
        return [trial for trial in study.get_trials() if trial.state in over or REASON in trial.user_attrs]


def try_one(folder: Path, _slot: int, until: float, tell: Reporter | None = None) -> None:
    """One trial of a search that has begun, by a worker.

    Args:
        folder: of the search.
        _slot: tells calls apart.
        until: time (seconds since 1970) after which no trial begins; 0: any time.
        tell: told how it goes.
    """
    import optuna

    if until and time.time() > until:
        return
    settings, manifest, start = runs.reopen(folder, "tune")
    with study_of(folder, settings) as study:
        trial, values = _asked(study, settings, load_space(folder / SPACE))
        place = folder / TRIALS / _place(trial)
        place.mkdir(parents=True, exist_ok=True)
        own = tried(settings, values)
        # Waited for here: if this function were called again, it would ask for another trial, and lose this one.
        with spreading.held(place):
            write_text(place / "settings.toml", config.to_toml(own, comments=False))
            log = LogReporter(tell or Reporter(), place / "log.txt")
            log.note(f"trial {trial.number + 1}: " + ", ".join(f"{key} {_short(v)}" for key, v in values.items()))
            try:
                study.tell(trial, _value(place, own, manifest, start, trial, log))
            except _BehindError:
                log.note(f"trial {trial.number + 1} lags behind and is given up")
                study.tell(trial, state=optuna.trial.TrialState.PRUNED)
            except EnvironmentFailure as error:
                if error.code != "diverged":
                    raise
                trial.set_user_attr(REASON, error.message)
                study.tell(trial, state=optuna.trial.TrialState.FAIL)
            _shed(place)


def _place(trial: Any) -> str:
    """The name of a trial's folder: its number, counted from 1, or that of the trial that it takes up."""
    return str(trial.user_attrs.get(FOLDER, trial.number + 1))


def _shed(place: Path) -> None:
    """Remove what only a trial that goes on has a use for: weights and the optimizer's state."""
    for checkpoints in place.glob("*/checkpoints"):
        shutil.rmtree(checkpoints, ignore_errors=True)


def _asked(study: Any, settings: Settings, space: Space) -> tuple[Any, dict[str, Value]]:
    """A new trial and its values.

    It draws from a seed of its own: workers that ask at the same time do not draw the same, and the order in which they
    ask is the only chance beside it.
    """
    trial = study.ask()
    study.sampler = _sampler(settings.seed + _turn(study, trial))
    values = _proposed(trial, space)
    trial.set_user_attr(FOLDER, _place(trial))
    return trial, values


def _turn(study: Any, trial: Any) -> int:
    """Which trial of the search it is, from 0, leaving out those that take up an earlier one."""
    first = int(_place(trial)) - 1
    return sum(_place(earlier) == str(earlier.number + 1) for earlier in study.get_trials(deepcopy=False)[:first])


def _proposed(trial: Any, space: Space) -> dict[str, Value]:
    values: dict[str, Value] = {}
    for key, within in space.items():
        if within.choices:
            values[key] = trial.suggest_categorical(key, list(within.choices))
        elif is_whole(key):
            values[key] = trial.suggest_int(key, within.low, within.high, log=within.log)
        else:
            values[key] = trial.suggest_float(key, within.low, within.high, log=within.log)
    return values


def _short(value: Value) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _value(place: Path, settings: Settings, manifest: Manifest, start: runs.Start, trial: Any, tell: Reporter) -> float:
    """The mean over the inner folds of what the search wants to be high."""
    recipe = Recipe.from_settings(settings.preprocess)
    ready = standardised(manifest, recipe, tell)
    values: list[float] = []
    for number, fold in enumerate(sorted({row.fold for row in manifest} - {""}, key=lambda name: (len(name), name))):
        own = place / fold
        # Its epochs are told again, of folds that have ended, too: a trial that goes on is compared like the others.
        watch = _Watch(tell, trial, number * settings.train.epochs, values, settings.tune.goal)
        watch.again(own / "history.csv")
        if (own / "result.json").is_file():
            values.append(json.loads((own / "result.json").read_text(encoding="utf-8"))["value"])
            continue
        own.mkdir(exist_ok=True)
        runs.sweep(own)
        divided = manifest.with_rows(
            replace(row, split="val" if row.fold == fold else "train") for row in ready.manifest
        )
        made = running.network(settings, replace(ready, manifest=divided), watch)
        try:
            progress = running.fit(own, settings, replace(ready, manifest=divided), made, start, watch)
        finally:
            import_keras().backend.clear_session()
        kept = progress.history[(progress.best_epoch if settings.train.keep == "best" else progress.epoch) - 1]
        values.append(goal(kept, settings.tune.goal))
        write_json(
            own / "result.json",
            {"value": values[-1], "epochs": progress.epoch, "seconds": round(progress.seconds, 1), "kept": kept},
        )
        shutil.rmtree(own / "checkpoints", ignore_errors=True)  # not only at the end: that may be many folds away
    return statistics.fmean(values)


def goal(row: dict[str, Any], wanted: str) -> float:
    """What is to be high of an epoch: the validation accuracy, or minus the validation loss."""
    return float(row["val_accuracy"]) if wanted == "accuracy" else -float(row["val_loss"])


class _Watch(Passing):
    """Tells Optuna of every epoch, and gives a trial up that lags behind.

    Args:
        tell: who is told of epochs and steps.
        trial: of Optuna.
        first: steps that lie behind, in earlier folds.
        values: of the earlier folds: a step's value is the mean with them, so that trials are compared like with like.
        wanted: accuracy or loss.
    """

    def __init__(self, tell: Reporter, trial: Any, first: int, values: list[float], wanted: str) -> None:
        super().__init__(tell)
        self._trial, self._first, self._values, self._wanted = trial, first, tuple(values), wanted

    def note(self, text: str) -> None:
        """What is said of the data is the same for every fold of every trial."""

    def again(self, history: Path) -> None:
        """Tell of the epochs of a training that goes on."""
        if history.is_file():
            with history.open(encoding="utf-8", newline="") as file:
                for row in csv.DictReader(file):
                    self._report({key: float(row[key]) for key in ("epoch", "val_accuracy", "val_loss")})

    def epoch(self, row: dict[str, float], epochs: int) -> None:
        super().epoch(row, epochs)
        self._report(row)
        if self._trial.should_prune():
            raise _BehindError

    def _report(self, row: dict[str, float]) -> None:
        mean = statistics.fmean((*self._values, goal(row, self._wanted)))
        self._trial.report(mean, self._first + int(row["epoch"]))
