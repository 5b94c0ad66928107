"""Fitting trust to held-out slices, and answering with it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tumorlens.config import EvaluateSettings
from tumorlens.evaluation.grouping import independent_units
from tumorlens.evaluation.table import PredictionTable
from tumorlens.evaluation.trusting import calibration_scores
from tumorlens.inference.trust import Trust, as_logits
from tumorlens.labels import LabelEncoding


def fitted(table: PredictionTable, settings: EvaluateSettings, logits: NDArray[np.floating] | None = None) -> Trust:
    """Trust fitted to labelled slices that were not trained on; without any part where they are too few.

    Args:
        table: uncalibrated answers.
        settings: whether to, and how.
        logits: (N, K) of the same slices; logarithms of the probabilities, which differ from them by a constant per
            slice, when None.
    """
    if not settings.calibrate or not len(table):
        return Trust()
    codes = LabelEncoding(table.names).encode(table.labels)
    return Trust.fit(
        logits_of(table) if logits is None else logits,
        codes,
        independent_units(table)[0],
        table.names,
        alpha=settings.alpha,
        target=settings.target_accuracy,
        refused=table.barred,
    )


def logits_of(table: PredictionTable) -> NDArray[np.float64]:
    """Logits float64 (N, K) but for a constant per slice, from uncalibrated probabilities."""
    return as_logits(table.probabilities)


def judged(table: PredictionTable, trust: Trust, logits: NDArray[np.floating] | None = None) -> PredictionTable:
    """Uncalibrated answers as they are with trust: probabilities, sets, and which are accepted."""
    made = trust.judge(logits_of(table) if logits is None else logits, table.names)
    accepted = table.accepted
    if made.accepted is not None:
        accepted = tuple((np.asarray(made.accepted, bool) & ~table.barred).tolist())
    return replace(table, probabilities=made.probabilities, sets=made.sets, accepted=accepted)


def cross_fitted(table: PredictionTable, settings: EvaluateSettings, leaked: Collection[str] = ()) -> PredictionTable:
    """Out-of-fold answers with the trust that the other folds' answers give: no slice has a part in its own.

    Args:
        table: uncalibrated out-of-fold answers, with their folds.
        settings: whether to, and how.
        leaked: ids of slices that share a group with another fold; nothing is fitted to them.
    """
    return fold_judged(table, fold_trusts(table, settings, leaked))


def fold_judged(table: PredictionTable, trusts: Mapping[str, Trust]) -> PredictionTable:
    """Uncalibrated out-of-fold answers, each fold's with its own trust."""
    folds = np.array(table.folds)
    parts = [(np.flatnonzero(folds == fold), judged(table.where(folds == fold), one)) for fold, one in trusts.items()]
    order = np.concatenate([rows for rows, _ in parts])
    return PredictionTable.joined([part for _, part in parts]).take(np.argsort(order).tolist())


def fold_trusts(table: PredictionTable, settings: EvaluateSettings, leaked: Collection[str] = ()) -> dict[str, Trust]:
    """For each fold the trust that the other folds' answers give; see :func:`cross_fitted`."""
    folds = np.array(table.folds)
    fine = np.array([name not in leaked for name in table.ids], bool)
    return {fold: fitted(table.where((folds != fold) & fine), settings) for fold in dict.fromkeys(table.folds)}


def calibration(
    before: PredictionTable,
    after: PredictionTable,
    trust: Trust,
    seed: int,
    temperatures: Mapping[str, float] | None = None,
) -> dict[str, Any] | None:
    """What calibration changed on slices that it was not fitted to; None where there is none to show.

    Args:
        before: uncalibrated answers.
        after: the same, calibrated.
        trust: of the model, whose temperature is told.
        seed: of the simulated floor.
        temperatures: of each fold, where they differ.
    """
    if trust.temperature is None or not len(after):
        return None
    return {
        "temperature": trust.temperature.value,
        "n": trust.temperature.n,
        "groups": trust.temperature.groups,
        **({"temperatures": dict(temperatures)} if temperatures else {}),
        **calibration_scores(before, after, seed=seed),
    }
