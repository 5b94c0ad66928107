"""Grouped cross-validation inside a run: every slice is tested once, by a network that has seen none of its group.

Each fold is a run folder of its own, ``folds/<k>``, made with the settings of the run but without figures and report,
so that it can be looked into, and continued when it was stopped.
"""

from __future__ import annotations

import statistics
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from tumorlens.config import Settings
from tumorlens.data import split as splitting
from tumorlens.data.manifest import Manifest
from tumorlens.evaluation.table import PredictionTable
from tumorlens.pipeline import finishing, running, runs
from tumorlens.pipeline.reporter import Reporter
from tumorlens.pipeline.scoring import scores
from tumorlens.preprocess.cache import Standardised
from tumorlens.preprocess.recipe import Recipe

FOLDS = "folds"


def plan(manifest: Manifest, settings: Settings) -> list[tuple[Settings, Manifest]]:
    """Settings and split of each fold's run; the slices of a group are in one fold, whatever split the data bring.

    Args:
        manifest: grouped slices.
        settings: of the run; ``evaluate.folds`` says how many.

    Raises:
        DataError: when the groups cannot be divided so, or a class would have no training slice in a fold.
    """
    count = settings.evaluate.folds
    plain = manifest.with_rows(replace(row, split="", fold="") for row in manifest)
    divided = splitting.folds(plain, count, settings.seed)
    planned = []
    for number in range(1, count + 1):
        data = msgspec.structs.replace(settings.data, test_fold=str(number), fold_column="")
        evaluate = msgspec.structs.replace(settings.evaluate, folds=0, report=False)
        own = msgspec.structs.replace(settings, data=data, evaluate=evaluate)
        planned.append((own, splitting.split(divided, data, settings.seed, every_part=True)))
    return planned


def cross_validate(
    folder: Path, settings: Settings, ready: Standardised, start: runs.Start, tell: Reporter
) -> dict[str, Any]:
    """Train and test every fold that is not there yet; the scores of all of them together.

    ``folds/predictions.csv`` holds the answer for every slice from the network that had not seen its group.

    Args:
        folder: of the run.
        settings: of the run.
        ready: all slices, grouped.
        start: what the run decided before it began.
        tell: told how it goes.

    Returns:
        The contract's scores over all slices; ``folds``: each fold's ``n``, ``accuracy`` and ``patient_accuracy``;
        ``accuracy_sd``: standard deviation of the accuracy between folds.

    Raises:
        Interrupted: after Ctrl-C; calling it again continues.
    """
    planned = plan(ready.manifest, settings)
    tables, found = [], []
    for number, (own, manifest) in enumerate(planned, start=1):
        place = folder / FOLDS / str(number)
        tell.note(f"fold {number} of {len(planned)}")
        metrics = _fold(place, own, replace(ready, manifest=manifest), start, f"{start.name}-fold{number}", tell)
        tables.append(PredictionTable.read_csv(place / "predictions.csv").where("test"))
        test = metrics["test"]
        found.append({"fold": str(number), **{key: test[key] for key in ("n", "accuracy", "patient_accuracy")}})
    pooled = PredictionTable.joined(tables)
    pooled.write_csv(folder / FOLDS / "predictions.csv")
    spread = statistics.stdev(item["accuracy"] for item in found)
    return {**scores(pooled, set(), settings.evaluate, settings.seed), "folds": found, "accuracy_sd": spread}


def _fold(
    place: Path, settings: Settings, ready: Standardised, whole: runs.Start, name: str, tell: Reporter
) -> dict[str, Any]:
    """``metrics.json`` of a fold's run, made or finished first where it is not there yet."""
    if (metrics := runs.finished(place)) is not None:
        return metrics
    if (place / "config.toml").is_file():
        runs.sweep(place)
        start = runs.reopen(place)[2]
    else:
        start = replace(
            whole,
            name=name,
            created=runs.now(),
            fingerprint=runs.fingerprint(ready.manifest, ready.digests, Recipe.from_settings(settings.preprocess).key),
            notes=(),
            skipped=(),
        )
        with runs.new_folder(place, name) as folder:
            runs.begin(folder, settings, ready.manifest, start)
    made = running.network(settings, ready)
    progress = running.fit(place, settings, ready, made, start, tell)
    return finishing.finish(place, settings, ready, made, progress, start, tell)[0]
