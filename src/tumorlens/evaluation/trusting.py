"""Scores of trust: what conformal sets cover, what is risked at each coverage, and what calibration changed."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tumorlens.evaluation.bootstrap import interval, ratios, resample_sums
from tumorlens.evaluation.calibration_error import brier_score, expected_calibration_error, negative_log_likelihood
from tumorlens.evaluation.grouping import independent_units
from tumorlens.evaluation.table import PredictionTable
from tumorlens.inference.trust.selective import accuracy_by_threshold
from tumorlens.labels import LabelEncoding


def conformal_scores(
    table: PredictionTable, alpha: float | None, *, bootstrap: int = 2000, seed: int = 0
) -> dict[str, Any] | None:
    """What the sets of a labelled table cover; None when it has none.

    ``coverage`` is the share of slices whose set holds their class, ``per_class`` the same for each class that occurs,
    with 95 % intervals over the units of :func:`independent_units`; ``mean_set_size`` counts classes, ``empty`` is the
    share of sets without any, ``single`` that of sets with one.

    Args:
        table: labelled, not empty.
        alpha: error rate that the sets were made for, repeated in the document.
        bootstrap: resamples behind each interval.
        seed: of the resampling.
    """
    if table.sets is None:
        return None
    codes = LabelEncoding(table.names).encode(table.labels)
    covered = table.sets[np.arange(len(table)), codes]
    sizes = table.sets.sum(axis=1)
    units, _ = independent_units(table)
    count, k = int(units.max()) + 1, len(table.names)
    cells = units * k + codes

    def tally(of: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.asarray(np.bincount(of, minlength=count * k).reshape(count, k), np.int64)

    asked, right = tally(cells), tally(cells[covered])
    drawn = resample_sums(np.column_stack([asked, right]), bootstrap, seed)
    per_class = {}
    for code, name in enumerate(table.names):
        if not asked[:, code].any():
            continue
        point = float(right[:, code].sum() / asked[:, code].sum())
        values = ratios(drawn[:, k + code], drawn[:, code])
        per_class[name] = {
            "n": int(asked[:, code].sum()),
            "coverage": point,
            "coverage_ci95": interval(point, values, int((asked[:, code] > 0).sum())),
        }
    whole = float(covered.mean())
    return {
        "alpha": alpha,
        "coverage": whole,
        "coverage_ci95": interval(whole, ratios(drawn[:, k:].sum(axis=1), drawn[:, :k].sum(axis=1)), count),
        "mean_set_size": float(sizes.mean()),
        "empty": float((sizes == 0).mean()),
        "single": float((sizes == 1).mean()),
        "per_class": per_class,
    }


def risk_coverage(
    confidence: NDArray[np.float64], correct: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Share of slices accepted (rising) and error rate among them, float64 (P,) each, by falling threshold.

    Geifman Y, El-Yaniv R. Selective classification for deep neural networks. NeurIPS 2017. Slices of equal confidence
    are accepted together.
    """
    _, covered, accuracies = accuracy_by_threshold(confidence, correct)
    return covered / len(correct), 1.0 - accuracies


def aurc(confidence: NDArray[np.float64], correct: NDArray[np.bool_]) -> float:
    """Area under the risk-coverage curve, in 0..1: the mean error rate over all coverages. Lower is better."""
    coverage, risk = risk_coverage(confidence, correct)
    return float((np.diff(np.r_[0.0, coverage]) * risk).sum())


def calibration_scores(before: PredictionTable, after: PredictionTable, *, seed: int = 0) -> dict[str, Any]:
    """Calibration of a labelled table before and after, and what a perfectly calibrated network would show.

    ``before`` and ``after`` hold ``ece``, ``brier`` and ``nll``. ``floor`` is the mean ECE of a network that is right
    exactly as often as it says, with the probabilities after and as many slices: what chance alone leaves.

    Args:
        before: with uncalibrated probabilities.
        after: the same slices with calibrated ones.
        seed: of the simulation.
    """
    codes = LabelEncoding(after.names).encode(after.labels)
    return {
        "before": _calibration(before.probabilities, codes),
        "after": _calibration(after.probabilities, codes),
        "floor": ece_floor(after.confidence, seed=seed),
    }


def ece_floor(confidence: NDArray[np.float64], *, draws: int = 200, seed: int = 0) -> float:
    """The mean ECE when every answer is right with exactly its confidence, by simulation."""
    rng = np.random.default_rng(seed)
    confidence = np.sort(confidence)  # so that the order of the slices does not matter
    found = [expected_calibration_error(confidence, rng.random(len(confidence)) < confidence) for _ in range(draws)]
    return float(np.mean(found))


def _calibration(probabilities: NDArray[np.float64], codes: NDArray[np.int64]) -> dict[str, float]:
    confidence, correct = probabilities.max(axis=1), probabilities.argmax(axis=1) == codes
    return {
        "ece": expected_calibration_error(confidence, correct),
        "brier": brier_score(probabilities, codes),
        "nll": negative_log_likelihood(probabilities, codes),
    }
