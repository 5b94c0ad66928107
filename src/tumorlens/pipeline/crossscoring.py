"""What the trainings of a cross-validation say together: ``metrics.json`` and the out-of-fold answers."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from tumorlens import __version__
from tumorlens.config import Settings
from tumorlens.data import split as splitting
from tumorlens.data.manifest import Manifest
from tumorlens.errors import UsageError
from tumorlens.evaluation.localisation import read_places
from tumorlens.evaluation.looking import read_looks
from tumorlens.evaluation.metrics import evaluate_table
from tumorlens.evaluation.repeated import repeated_scores
from tumorlens.evaluation.subgroups import patients, subgroups
from tumorlens.evaluation.table import PredictionTable
from tumorlens.inference.trust import Trust
from tumorlens.inference.trust.series import SeriesTrust
from tumorlens.pipeline import finishing, folds, looking, placing, runs, serial, trusting

_Row = TypeVar("_Row")


@dataclass(frozen=True)
class Scored:
    """A scored cross-validation.

    Attributes:
        metrics: ``metrics.json``: the scores over all slices, each seed's, and each training's.
        tables: each seed's out-of-fold answers, each with the trust that the other folds' answers gave.
        raw: the first seed's before that, without leaked slices.
        table: the same with that trust.
        trust: fitted to all of these answers, for a network that is trained on all slices.
        series: likewise, for the answers about series.
    """

    metrics: dict[str, Any]
    tables: tuple[PredictionTable, ...]
    raw: PredictionTable
    table: PredictionTable
    trust: Trust
    series: SeriesTrust

    def without_gate(self, settings: Settings) -> Scored:
        """The same as if no fold had had a gate, for a network that gets none.

        The gate's refusals are in the verdicts and their threshold, and in what the answers for series stand on.
        ``metrics`` stays that of the folds but for ``series`` and ``selective``, and so do ``tables``.
        """
        raw = replace(self.raw, refused=(), accepted=(None,) * len(self.raw))
        told, table, trust, series = _trusted(raw, settings)
        return replace(self, metrics={**self.metrics, **told}, raw=raw, table=table, trust=trust, series=series)


def score(folder: Path, settings: Settings, manifest: Manifest, start: runs.Start) -> Scored:
    """Score a cross-validation whose trainings have ended."""
    planned = folds.plan(manifest, settings)
    names = [fold.name for fold in planned]
    leaked = {name for fold in planned for name in splitting.leaked(fold.manifest)}
    raw = [_of_one_mind(folds.pool(folder / f"seed-{seed}", names)) for seed in folds.seeds(settings)]
    trusts = [trusting.fold_trusts(table, settings.evaluate, leaked) for table in raw]
    tables = [trusting.fold_judged(table, own) for table, own in zip(raw, trusts, strict=True)]
    before = _without(raw[0], leaked)
    told, after, trust, series = _trusted(before, settings)
    metrics = {**_metrics(folder, settings, manifest, start, names, tables, leaked), **told}
    return Scored(metrics, tuple(tables), before, after, trust, series)


def _trusted(raw: PredictionTable, settings: Settings) -> tuple[dict[str, Any], PredictionTable, Trust, SeriesTrust]:
    """Out-of-fold answers with the trust that the other folds give, and the trust that all of them give.

    Args:
        raw: uncalibrated answers, without leaked slices.
        settings: of the cross-validation.

    Returns:
        What ``metrics.json`` says of it; the answers; the trust, of answers for slices and of those for series.
    """
    each = trusting.fold_trusts(raw, settings.evaluate)
    table, trust = trusting.fold_judged(raw, each), trusting.fitted(raw, settings.evaluate)
    temperatures = {name: one.temperature.value for name, one in each.items() if one.temperature}
    fields = trust.fields("out-of-fold")
    answers = serial.cross_fitted(raw, temperatures, settings.evaluate)
    told = {
        "calibration": trusting.calibration(raw, table, trust, settings.seed, temperatures),
        "selective": fields["selective"],
        "conformal": fields["conformal"],
        "series": serial.scored(answers, table, settings.evaluate, settings.seed),
    }
    return told, table, trust, serial.fitted(trusting.judged(raw, trust), settings.evaluate)


def _metrics(
    folder: Path,
    settings: Settings,
    manifest: Manifest,
    start: runs.Start,
    names: list[str],
    tables: list[PredictionTable],
    leaked: set[str],
) -> dict[str, Any]:
    clean = [_without(table, leaked) for table in tables]
    trainings = [_training(folder, seed, name) for seed in folds.seeds(settings) for name in names]
    by_fold = [statistics.fmean(one["accuracy"] for one in trainings if one["fold"] == name) for name in names]

    def every(file: str, read: Callable[[Path], list[_Row]]) -> list[_Row]:
        return _of_trainings(folder, settings, names, file, read)

    def evaluated(of: PredictionTable) -> dict[str, Any]:
        chosen = settings.evaluate
        return evaluate_table(of, bootstrap=chosen.bootstrap, seed=settings.seed, alpha=chosen.alpha)

    def repeated(of: list[PredictionTable]) -> dict[str, Any]:
        return repeated_scores(of, bootstrap=settings.evaluate.bootstrap, seed=settings.seed)

    return {
        "schema": 1,
        "kind": "crossval",
        "name": start.name,
        "created": start.created,
        "labels": list(tables[0].names),
        "scores": repeated(clean),
        "as_shipped": {**repeated(tables), "leaky": True} if leaked else None,
        "leaked": {"removed": len(leaked), "ids": sorted(leaked)} if leaked else None,
        "seeds": [{"seed": seed, **evaluated(table)} for seed, table in zip(folds.seeds(settings), clean, strict=True)],
        "folds": trainings,
        "accuracy_sd_between_folds": statistics.stdev(by_fold),
        "shortcut": finishing.best_shortcut(folder),
        "subgroups": subgroups(clean[0], bootstrap=settings.evaluate.bootstrap, seed=settings.seed),
        "patients": patients(clean[0]),
        "localisation": placing.scored(every("maps.csv", read_places), tables[0], settings),
        "clever_hans": looking.gap(every("edits.csv", read_looks), tables[0], settings),
        "data": {
            "sources": sorted({row.source for row in manifest}),
            "counts": {name: _in_fold(manifest, name).count() for name in names},
            "groups": {name: len(set(_in_fold(manifest, name).groups)) for name in names},
            "fold_column": settings.data.fold_column,
            "never_tested": len(_in_fold(manifest, "")),
            "skipped": [{"path": item.path, "code": item.code, "reason": item.reason} for item in start.skipped],
            "notes": list(start.notes),
            "fingerprint": start.fingerprint,
        },
        "versions": {**start.versions, "tumorlens": __version__},
    }


def _of_trainings(
    folder: Path, settings: Settings, names: list[str], file: str, read: Callable[[Path], list[_Row]]
) -> list[_Row]:
    """A file's rows, of every training; those that an earlier version made may have none."""
    places = [folds.place_of(folder / f"seed-{seed}", name) for seed in folds.seeds(settings) for name in names]
    return [found for place in places if (place / file).is_file() for found in read(place / file)]


def _of_one_mind(table: PredictionTable) -> PredictionTable:
    """Without what the gate says where some folds have none: it would be the answer of some slices only."""
    known = [value is not None for value in table.refused]
    return table if all(known) or not any(known) else replace(table, refused=())


def _without(table: PredictionTable, leaked: set[str]) -> PredictionTable:
    return table.where([name not in leaked for name in table.ids]) if leaked else table


def _in_fold(manifest: Manifest, name: str) -> Manifest:
    return manifest.where(lambda row: row.fold == name)


def _training(folder: Path, seed: int, fold: str) -> dict[str, Any]:
    """One training in a line.

    Raises:
        UsageError: when it has not finished, or its ``metrics.json`` is damaged.
    """
    place = folds.place_of(folder / f"seed-{seed}", fold)
    again = f"finish it with: {runs.continuing(folder)}"
    try:
        metrics = runs.finished(place, folder)
        if metrics is None:
            raise runs.unfinished(place, folder)
        test, training = metrics["test"], metrics["training"]
        return {
            "seed": seed,
            "fold": fold,
            **{key: test[key] for key in ("n", "accuracy", "balanced_accuracy", "patient_accuracy")},
            **{key: training[key] for key in ("epochs", "best_epoch", "seconds", "device", "parameters")},
        }
    except (KeyError, TypeError) as error:
        path = place / "metrics.json"
        raise UsageError(f"{path} is damaged", hint=f"restore that file, or remove it and {again}") from error
