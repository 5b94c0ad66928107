"""Folds: every slice is tested once, by a network that has seen none of its group.

Each fold is a run folder of its own, ``folds/<k>``, made with the settings of the whole but without figures and report,
so that it can be looked into, and continued when it was stopped.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from tumorlens.config import Settings
from tumorlens.data import split as splitting
from tumorlens.data.manifest import Manifest
from tumorlens.evaluation.metrics import evaluate_table
from tumorlens.evaluation.table import PredictionTable
from tumorlens.pipeline import finishing, locking, running, runs, trusting
from tumorlens.pipeline.reporter import LogReporter, Reporter
from tumorlens.pipeline.scoring import scores
from tumorlens.preprocess.cache import Standardised
from tumorlens.preprocess.recipe import Recipe

FOLDS = "folds"


@dataclass(frozen=True)
class Fold:
    """One training of a cross-validation.

    Attributes:
        name: of the fold that it is tested on.
        settings: of its run.
        manifest: all slices, with its split.
    """

    name: str
    settings: Settings
    manifest: Manifest


def divide(manifest: Manifest, count: int, seed: int) -> Manifest:
    """The slices in ``count`` folds that no group crosses, whatever split and folds the data bring.

    Raises:
        DataError: when there are fewer groups than folds.
    """
    return splitting.folds(manifest.with_rows(replace(row, split="", fold="") for row in manifest), count, seed)


def plan(divided: Manifest, settings: Settings) -> list[Fold]:
    """Settings and split of each fold's run.

    Args:
        divided: grouped slices in folds; those in none are always trained on.
        settings: of the whole; their seed decides what of the other folds is validation.

    Raises:
        DataError: when a class would have no training slice in a fold, or a part of it would be empty.
    """
    planned = []
    for name in sorted({row.fold for row in divided} - {""}, key=lambda name: (len(name), name)):
        data = msgspec.structs.replace(settings.data, test_fold=name, fold_column="")
        # A fold is calibrated by the answers of the others, which are many more than its few validation slices.
        evaluate = msgspec.structs.replace(
            settings.evaluate, folds=0, seeds=1, final=False, report=False, calibrate=False
        )
        own = msgspec.structs.replace(settings, data=data, evaluate=evaluate)
        planned.append(Fold(name, own, splitting.split(divided, data, settings.seed, every_part=True)))
    return planned


def seeds(settings: Settings) -> range:
    """The seeds of a cross-validation's trainings."""
    return range(settings.seed, settings.seed + settings.evaluate.seeds)


def place_of(folder: Path, fold: str) -> Path:
    """The folder of a fold's run. Names of folds that data sets bring may hold anything but letters and digits."""
    plain = fold if fold.isalnum() and fold.isascii() else f"_{fold.encode().hex()}"
    return folder / FOLDS / plain


def cross_validate(
    folder: Path, settings: Settings, ready: Standardised, start: runs.Start, tell: Reporter
) -> dict[str, Any]:
    """Train and test every fold that is not there yet; the scores of all of them together.

    ``folds/predictions.csv`` holds the answer for every slice from the network that had not seen its group.

    Args:
        folder: of the run.
        settings: of the run; ``evaluate.folds`` says how many.
        ready: all slices, grouped.
        start: what the run decided before it began.
        tell: told how it goes.

    Returns:
        The contract's scores over all slices; ``folds``: each fold's ``n``, ``accuracy`` and ``patient_accuracy``;
        ``accuracy_sd``: standard deviation of the accuracy between folds.

    Raises:
        Interrupted: after Ctrl-C; calling it again continues.
    """
    planned = plan(divide(ready.manifest, settings.evaluate.folds, settings.seed), settings)
    for number, fold in enumerate(planned, start=1):
        tell.note(f"fold {number} of {len(planned)}")
        train_fold(folder, fold, ready, start, tell)
    pooled, found = pooled_scores(folder, planned, settings)
    pooled.write_csv(folder / FOLDS / "predictions.csv")
    return found


def pooled_scores(folder: Path, planned: Sequence[Fold], settings: Settings) -> tuple[PredictionTable, dict[str, Any]]:
    """The answers of finished folds, each with the trust that the others give, and the scores of all of them together.

    Args:
        folder: of the run around them.
        planned: the folds.
        settings: of that run.

    Returns:
        The table; what :func:`cross_validate` returns.
    """
    raw = pool(folder, [fold.name for fold in planned])
    pooled = trusting.cross_fitted(raw, settings.evaluate)
    found = []
    for fold in planned:
        # Of their scores nothing but points is told.
        test = evaluate_table(raw.where([name == fold.name for name in raw.folds]), bootstrap=1)
        found.append({"fold": fold.name, **{key: test[key] for key in ("n", "accuracy", "patient_accuracy")}})
    spread = statistics.stdev(item["accuracy"] for item in found)
    tested = scores(pooled, set(), settings.evaluate, settings.seed, settings.evaluate.alpha)
    return pooled, {**tested, "folds": found, "accuracy_sd": spread}


def pool(folder: Path, names: Sequence[str]) -> PredictionTable:
    """The test slices of finished folds in one table; not calibrated, as folds are not."""
    tables = [PredictionTable.read_csv(place_of(folder, name) / "predictions.csv").where("test") for name in names]
    return PredictionTable.joined(tables)


def train_fold(folder: Path, fold: Fold, ready: Standardised, whole: runs.Start, tell: Reporter) -> dict[str, Any]:
    """``metrics.json`` of a fold's run, made or finished first where it is not there yet.

    Args:
        folder: the fold's run lies in ``folds`` below it.
        fold: from :func:`plan`.
        ready: all slices.
        whole: what the run around it decided before it began.
        tell: told how it goes.

    Raises:
        UsageError: ``running``, when another process is at it.
        Interrupted: after Ctrl-C; calling it again continues.
    """
    place = place_of(folder, fold.name)
    if (metrics := runs.finished(place)) is not None:
        return metrics
    if (place / "config.toml").is_file():
        with locking.held(place):
            runs.sweep(place)
            return _fitted(place, fold, ready, runs.reopen(place)[2], tell)
    start = replace(
        whole,
        name=f"{whole.name}-fold{fold.name}",
        created=runs.now(),
        fingerprint=runs.fingerprint(fold.manifest, ready.digests, Recipe.from_settings(fold.settings.preprocess).key),
        notes=(),
        skipped=(),
        kind="training",
    )
    with runs.new_folder(place, start.name):
        runs.begin(place, fold.settings, fold.manifest, start)
        return _fitted(place, fold, ready, start, tell)


def _fitted(place: Path, fold: Fold, ready: Standardised, start: runs.Start, tell: Reporter) -> dict[str, Any]:
    own, log = replace(ready, manifest=fold.manifest), LogReporter(tell, place / "log.txt")
    made = running.network(fold.settings, own, log)
    progress = running.fit(place, fold.settings, own, made, start, log)
    return finishing.finish(place, fold.settings, own, made, progress, start, log)[0]
