"""Calibration, sets and thresholds, fitted again to the answers that they were fitted to, and applied again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tumorlens.bundle import BundleInfo
from tumorlens.config import EvaluateSettings
from tumorlens.evaluation.table import PredictionTable
from tumorlens.evaluation.trusting import uncalibrated
from tumorlens.inference.trust import Trust
from tumorlens.inference.trust.series import SeriesTrust
from tumorlens.pipeline import serial, trusting
from tumorlens.pipeline.verifying import earlier
from tumorlens.pipeline.verifying.checks import CLOSE, Check, compared, of_wrong

# The search for a temperature ends when it is known to a millionth; what it is fitted to is recovered to the last digit
# but one, so it may end on the other side.
FITTED = 1e-5
FITTING = "calibration, sets and thresholds, fitted again"
VERDICTS = "sets and verdicts, from the probabilities"


def told(info: BundleInfo) -> dict[str, Any]:
    """The fields of ``bundle.json`` that hold trust."""
    return {name: getattr(info, name) for name in ("calibration", "conformal", "selective", "series")}


def on_validation(
    held: PredictionTable, trust: Trust, settings: EvaluateSettings, info: BundleInfo, before: bool
) -> dict[str, Any]:
    """These fields again for a training.

    Args:
        held: its calibrated answers for validation slices that share nothing with training.
        trust: of its bundle, whose temperature is taken off them.
        settings: of the run.
        info: of the bundle that is checked.
        before: whether an earlier version made it.
    """
    raw = uncalibrated(held, {}, trust.temperature.value if trust.temperature else 1.0)
    again = fitted(raw, settings, before)
    return {**again.fields("validation"), "series": _series(held, settings, info, before).fields("validation")}


def out_of_fold(raw: PredictionTable, settings: EvaluateSettings, info: BundleInfo, before: bool) -> dict[str, Any]:
    """These fields again for the network that a cross-validation trains in the end.

    Args:
        raw: uncalibrated out-of-fold answers, without leaked slices.
        settings: of the cross-validation.
        info: of the bundle that is checked.
        before: whether an earlier version made it.
    """
    again = fitted(raw, settings, before)
    series = _series(trusting.judged(raw, again), settings, info, before)
    return {**again.fields("out-of-fold"), "series": series.fields("out-of-fold")}


def fitted(raw: PredictionTable, settings: EvaluateSettings, before: bool) -> Trust:
    """Trust fitted to uncalibrated answers, by the rule of the version that did so."""
    trust = trusting.fitted(raw, settings)
    return earlier.chosen_before(trust, raw, settings) if before else trust


def _series(judged: PredictionTable, settings: EvaluateSettings, info: BundleInfo, before: bool) -> SeriesTrust:
    series = earlier.series_before(serial.fitted(judged, settings), info.series)
    if not before:
        return series
    return replace(series, trust=earlier.chosen_before(series.trust, serial.cases(judged, series.share), settings))


def fold_trusts(raw: PredictionTable, settings: EvaluateSettings, before: bool) -> dict[str, Trust]:
    """For each fold the trust that the other folds' answers give."""
    folds = np.array(raw.folds)
    return {fold: fitted(raw.where(folds != fold), settings, before) for fold in dict.fromkeys(raw.folds)}


def trust_again(again: Mapping[str, Any], info: BundleInfo, within: float = FITTED) -> Check:
    """Whether a bundle's trust is what fitting gives."""
    return compared(FITTING, again, told(info), within=within)


def temperatures_again(trusts: Mapping[str, Trust], told: Mapping[str, float]) -> Check:
    """Whether the temperature of each fold is the one that the other folds' answers give."""
    again = {fold: one.temperature.value for fold, one in trusts.items() if one.temperature}
    return compared("temperatures of the folds, fitted again", again, told, whole=True, within=FITTED)


def verdicts_again(table: PredictionTable, trusts: Mapping[str, Trust], within: float = CLOSE) -> Check:
    """Whether the sets and verdicts of a table are those that its probabilities give.

    Args:
        table: calibrated answers.
        trusts: of each fold; of a training's answers that of the bundle, under every fold that the table names.
        within: how close to a limit nothing can be said.
    """
    folds, wrong = np.array(table.folds), np.zeros(len(table), bool)
    for fold, trust in trusts.items():
        own = folds == fold
        wrong[own] = _differ(table.where(own), trust, within)
    names = [table.ids[i] for i in np.flatnonzero(wrong)]
    return of_wrong(VERDICTS, names, f"{len(table)} answers")


def near_limit(
    trust: Trust, probabilities: NDArray[np.float64], names: tuple[str, ...], within: float
) -> NDArray[np.bool_]:
    """Which of the classes are so close to the limit of a set that either side will do, bool (N, K)."""
    if trust.conformal is None:
        return np.zeros(probabilities.shape, bool)
    low, high = (trust.conformal.sets(probabilities + by, names) for by in (-within, within))
    return np.asarray(low != high)


def _differ(table: PredictionTable, trust: Trust, within: float) -> NDArray[np.bool_]:
    """Which rows have another set or verdict than their probabilities give, bool (N,)."""
    sets = trust.conformal.sets(table.probabilities, table.names) if trust.conformal else None
    unsure = near_limit(trust, table.probabilities, table.names, within)
    wrong = np.full(len(table), (sets is None) != (table.sets is None))
    if sets is not None and table.sets is not None:
        wrong |= ((sets != table.sets) & ~unsure).any(axis=1)
    if trust.selective is None:
        return np.asarray(wrong | np.array([verdict is not None for verdict in table.accepted], bool))
    top, threshold = table.confidence, trust.selective.threshold
    accepted = (top >= threshold) & (True if sets is None else sets.any(axis=1))
    accepted &= ~table.barred
    other = np.array(
        [found is None or found != bool(made) for found, made in zip(table.accepted, accepted, strict=True)]
    )
    return np.asarray(wrong | (other & ~(np.abs(top - threshold) <= within) & ~unsure.any(axis=1)))
