"""The scores that follow from a table of answers alone, for `evaluate` and `verify`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tumorlens.config import Settings
from tumorlens.evaluation.subgroups import patients, subgroups
from tumorlens.evaluation.table import PredictionTable
from tumorlens.evaluation.trusting import uncalibrated
from tumorlens.inference.trust import Trust
from tumorlens.inference.trust.series import SeriesTrust
from tumorlens.pipeline import serial, trusting
from tumorlens.pipeline.public import LEAKED
from tumorlens.pipeline.scoring import scores


def split_scores(table: PredictionTable, split: str, alpha: float | None, settings: Settings) -> dict[str, Any] | None:
    """The scores of one split of a bundle's table, which marks what leaked; None where it holds none of it."""
    part = table.where([one in (split, split + LEAKED) for one in table.splits])
    leaked = {name for name, one in zip(part.ids, part.splits, strict=True) if one.endswith(LEAKED)}
    return scores(part, leaked, settings.evaluate, settings.seed, alpha) if len(part) else None


def after_training(tested: PredictionTable, trust: Trust, series: SeriesTrust, settings: Settings) -> dict[str, Any]:
    """What is said of test slices beside their scores.

    Args:
        tested: answers of a training, without leaked slices.
        trust: of its bundle.
        series: likewise.
        settings: of the run.
    """
    usual = trust.temperature.value if trust.temperature else 1.0
    return {
        **_parts(tested, settings),
        "calibration": trusting.calibration(uncalibrated(tested, {}, usual), tested, trust, settings.seed),
        "series": serial.scored(serial.judged(tested, series), tested, settings.evaluate, settings.seed),
    }


def after_crossval(
    table: PredictionTable, temperatures: Mapping[str, float], trust: Trust, settings: Settings, bare: bool = False
) -> dict[str, Any]:
    """The same of out-of-fold answers.

    Args:
        table: without leaked slices.
        temperatures: of each fold that has one.
        trust: of the bundle, which was fitted to all of them.
        settings: of the cross-validation.
        bare: whether an earlier version scored it, see :func:`tumorlens.pipeline.serial.cross_fitted`.
    """
    raw = uncalibrated(table, temperatures)
    answers = serial.cross_fitted(raw, temperatures, settings.evaluate, bare)
    return {
        **_parts(table, settings),
        "calibration": trusting.calibration(raw, table, trust, settings.seed, temperatures),
        "series": serial.scored(answers, table, settings.evaluate, settings.seed),
    }


def _parts(table: PredictionTable, settings: Settings) -> dict[str, Any]:
    return {
        "subgroups": subgroups(table, bootstrap=settings.evaluate.bootstrap, seed=settings.seed),
        "patients": patients(table),
    }
