"""Selective prediction: below which probability an answer is called uncertain."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Of an accuracy, so that a target that is just met is met.
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Selective:
    """A threshold on the top probability.

    Attributes:
        threshold: an answer whose top probability is lower is uncertain.
        target: accuracy that the accepted answers were to reach.
        accuracy: what they reach on the slices that the threshold was chosen on.
        coverage: share of those slices that is accepted; what the gate refuses, what has an empty set and what has
            text burnt in is not.
        reached: whether ``accuracy`` is at least ``target``; if not, the threshold is the best there is.
    """

    threshold: float
    target: float
    accuracy: float
    coverage: float
    reached: bool


def fit_selective(
    confidence: NDArray[np.float64],
    correct: NDArray[np.bool_],
    target: float,
    eligible: NDArray[np.bool_] | None = None,
) -> Selective:
    """The lowest threshold whose accepted answers are right at the target rate.

    El-Yaniv R, Wiener Y. On the foundations of noise-free selective classification. J Mach Learn Res 2010;11:1605-1641.
    Where no threshold reaches the target, the one with the highest accuracy is taken, and among those the lowest.

    Args:
        confidence: float64 (N,), calibrated top probabilities of slices that were not trained on; N at least 1.
        correct: bool (N,).
        target: accuracy, 0..1.
        eligible: bool (N,), answers that nothing else keeps from being accepted; all when None, or when none is.
    """
    count = len(correct)
    if eligible is not None and eligible.any():
        confidence, correct = confidence[eligible], correct[eligible]
    thresholds, covered, accuracies = accuracy_by_threshold(confidence, correct)
    good = np.flatnonzero(accuracies >= target - _ROUNDING)
    best = int(good[-1]) if len(good) else int(np.flatnonzero(accuracies >= accuracies.max() - _ROUNDING)[-1])
    return Selective(
        float(thresholds[best]), target, float(accuracies[best]), float(covered[best]) / count, bool(len(good))
    )


def accuracy_by_threshold(
    confidence: NDArray[np.float64], correct: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float64]]:
    """Each different confidence as a threshold, highest first: threshold, slices accepted, accuracy among them."""
    order = np.argsort(-confidence, kind="stable")
    ordered = confidence[order]
    ends = np.r_[np.flatnonzero(np.diff(ordered)), len(ordered) - 1]
    covered = (ends + 1).astype(np.int64)
    return ordered[ends], covered, np.cumsum(correct[order])[ends] / covered
