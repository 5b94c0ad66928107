"""Scores of trust: what conformal sets cover, what is risked at each coverage, and what calibration changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tumorlens.evaluation.bootstrap import interval, mean_interval, quiet_mean, ratios, resample_sums
from tumorlens.evaluation.calibration_error import brier_score, expected_calibration_error, negative_log_likelihood
from tumorlens.evaluation.grouping import independent_units
from tumorlens.evaluation.table import PredictionTable
from tumorlens.inference.trust import as_logits, softmax
from tumorlens.inference.trust.selective import accuracy_by_threshold
from tumorlens.labels import LabelEncoding

# Resampling adds up whole numbers; this fine a share is one.
_UNIT = 10**9


def conformal_scores(
    table: PredictionTable, alpha: float | None, *, bootstrap: int = 2000, seed: int = 0
) -> dict[str, Any] | None:
    """What the sets of a labelled table cover; None when it has none.

    ``coverage`` is the share of slices, all patients' pooled, whose set holds their class, ``per_class`` the same for
    each class that occurs, with 95 % intervals over the units of :func:`independent_units`, patients where they are
    known. ``patient_coverage`` is the mean over these units of the share of their slices, so that a patient of forty
    slices counts as much as one of two; ``groups`` are the units with slices of the class. ``mean_set_size`` counts
    classes, ``empty`` is the share of sets without any, ``single`` that of sets with one.

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
    *averages, average = _averaged(asked, right, bootstrap, seed)
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
            "groups": int((asked[:, code] > 0).sum()),
            **averages[code],
        }
    whole, size = float(covered.mean()), float(sizes.mean())
    # A drawing of its own, as the averages have one: the intervals of coverage stay those of earlier versions.
    counts = [np.bincount(units, sizes, count), np.bincount(units, minlength=count)]
    named = resample_sums(np.column_stack(counts).astype(np.int64), bootstrap, seed)
    return {
        "alpha": alpha,
        "coverage": whole,
        "coverage_ci95": interval(whole, ratios(drawn[:, k:].sum(axis=1), drawn[:, :k].sum(axis=1)), count),
        **average,
        "mean_set_size": size,
        "mean_set_size_ci95": mean_interval(size, ratios(named[:, 0], named[:, 1]), count, k),
        "empty": float((sizes == 0).mean()),
        "single": float((sizes == 1).mean()),
        "per_class": per_class,
    }


def _averaged(
    asked: NDArray[np.int64], right: NDArray[np.int64], bootstrap: int, seed: int
) -> list[dict[str, float | list[float] | None]]:
    """Coverage as a mean over units: of each class, then of all slices; None where no unit has any.

    Args:
        asked: int64 (G, K), slices of each unit and class.
        right: int64 (G, K), those whose set holds their class.
        bootstrap: resamples behind each interval.
        seed: of the resampling.
    """
    shares = np.column_stack([ratios(right, asked), ratios(right.sum(axis=1), asked.sum(axis=1))])
    known = np.isfinite(shares).astype(np.int64)
    whole = np.rint(np.nan_to_num(shares) * _UNIT).astype(np.int64)
    n, totals = np.split(resample_sums(np.column_stack([known, whole]), bootstrap, seed), 2, axis=1)
    values = ratios(totals / _UNIT, n)
    found: list[dict[str, float | list[float] | None]] = []
    for column, mean in enumerate(quiet_mean(shares, 0).tolist()):
        point = mean if known[:, column].any() else None
        among = interval(point, values[:, column], int(known[:, column].sum()))
        found.append({"patient_coverage": point, "patient_coverage_ci95": among})
    return found


def selective_scores(
    accepted: Sequence[bool | None],
    correct: NDArray[np.bool_],
    units: NDArray[np.int64],
    *,
    bootstrap: int = 2000,
    seed: int = 0,
) -> dict[str, Any]:
    """How many answers are accepted, and how many of those are right, with 95 % intervals over units.

    Args:
        accepted: (N,), whether an answer is; None where no verdict is known, which is then not counted.
        correct: bool (N,).
        units: int64 (N,), the unit of chance of each slice, 0 .. G - 1.
        bootstrap: resamples behind each interval.
        seed: of the resampling.

    Returns:
        ``coverage``, ``selective_accuracy`` and their ``…_ci95``; None where they are not defined.
    """
    known = np.array([verdict is not None for verdict in accepted], dtype=bool)
    passed = np.array([bool(verdict) for verdict in accepted], dtype=bool)
    names = ("coverage", "selective_accuracy")
    if not known.any():
        return {key: None for name in names for key in (name, f"{name}_ci95")}
    groups = int(units.max()) + 1
    counts = np.column_stack([np.bincount(units[of], minlength=groups) for of in (known, passed, passed & correct)])
    sums, drawn = counts.sum(axis=0), resample_sums(counts, bootstrap, seed)
    found: dict[str, Any] = {}
    for place, name in enumerate(names):
        point = float(sums[place + 1] / sums[place]) if sums[place] else None
        values = ratios(drawn[:, place + 1], drawn[:, place])
        behind = int((counts[:, place] > 0).sum())
        found |= {name: point, f"{name}_ci95": interval(point, values, behind)}
    return found


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


def uncalibrated(table: PredictionTable, temperatures: Mapping[str, float], usual: float = 1.0) -> PredictionTable:
    """Calibrated answers as the network gave them.

    Args:
        table: with calibrated probabilities.
        temperatures: of each fold that has its own.
        usual: of the other slices.
    """
    each = np.array([temperatures.get(fold, usual) for fold in table.folds])
    return replace(table, probabilities=softmax(as_logits(table.probabilities) * each[:, np.newaxis]))


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
