"""How well the probabilities match what happens: expected calibration error, Brier score, log loss."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tumorlens.evaluation.auroc import mid_ranks
from tumorlens.evaluation.bootstrap import LEVEL, blind_bound, ratios, resample_sums

BINS = 15
# Resampling adds up whole numbers; this fine a probability is one.
_UNIT = 10**9
# A probability of exactly 0 for the true class would make the log loss infinite; float32 softmax underflows to 0.
_SMALLEST = 1e-12


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """One bin of a reliability diagram.

    Attributes:
        n: slices in the bin.
        confidence: their mean top probability, 0..1.
        accuracy: the share of them that was right, 0..1.
    """

    n: int
    confidence: float
    accuracy: float


def reliability(confidence: NDArray[np.float64], correct: NDArray[np.bool_], bins: int = BINS) -> list[ReliabilityBin]:
    """The occupied bins of equal mass, from the least to the most confident.

    Equal mass (as many slices in each bin) instead of equal width: a good network puts nearly everything in the last
    equal-width bin (Nguyen K, O'Connor B. Posterior calibration and exploratory analysis for natural language
    processing models. EMNLP 2015). Slices of equal confidence stay in one bin, so the order of the rows cannot matter.

    Args:
        confidence: float64 (N,), the top probability.
        correct: bool (N,), whether the likeliest class was the true one.
        bins: how many.
    """
    if confidence.size == 0:
        return []
    bin_of = _bins(confidence, bins)
    counts = np.bincount(bin_of, minlength=bins)
    mean_confidence = np.bincount(bin_of, weights=confidence, minlength=bins) / np.maximum(counts, 1)
    accuracy = np.bincount(bin_of, weights=correct.astype(np.float64), minlength=bins) / np.maximum(counts, 1)
    return [
        ReliabilityBin(int(n), float(c), float(a))
        for n, c, a in zip(counts, mean_confidence, accuracy, strict=True)
        if n
    ]


def expected_calibration_error(confidence: NDArray[np.float64], correct: NDArray[np.bool_], bins: int = BINS) -> float:
    """Mean distance between confidence and accuracy over the bins of :func:`reliability`, weighted by their size.

    Guo C, Pleiss G, Sun Y, Weinberger KQ. On calibration of modern neural networks. ICML 2017, equation 3. In 0..1;
    biased upwards when bins hold few slices.
    """
    parts = reliability(confidence, correct, bins)
    return sum(part.n * abs(part.accuracy - part.confidence) for part in parts) / max(confidence.size, 1)


def calibration_interval(
    confidence: NDArray[np.float64], correct: NDArray[np.bool_], units: NDArray[np.int64], resamples: int, seed: int
) -> list[float] | None:
    """The 95 % interval over units of :func:`expected_calibration_error`.

    A cluster bootstrap with the bins of the sample. Distances are never negative, so the chance in each resample adds
    to that in the sample: the resamples' mean lies above the sample's error. That bias is taken off again (Efron B,
    Tibshirani RJ. An introduction to the bootstrap, 1993, chapter 10), so the interval is about the error that as many
    slices show on average, chance included, as the floor of a perfectly calibrated network is.

    Where every answer is right, or none, resamples show no errors that the sample lacks; both ends then move by as much
    as the exact binomial bound of the accuracy allows.

    Args:
        confidence: float64 (N,), the top probability; N at least 1.
        correct: bool (N,).
        units: int64 (N,), the unit of chance of each slice, 0 .. G - 1.
        resamples: how many.
        seed: of them.

    Returns:
        [low, high], or None with fewer than two units.
    """
    groups = int(units.max()) + 1
    if groups < 2 or not resamples:
        return None
    sums = np.zeros((groups, BINS + 1), np.int64)
    # Each slice is rounded before the sum, which then does not depend on the order of the slices.
    gaps = correct.astype(np.int64) * _UNIT - np.rint(confidence * _UNIT).astype(np.int64)
    np.add.at(sums, (units, _bins(confidence, BINS)), gaps)
    sums[:, BINS] = np.bincount(units, minlength=groups)
    drawn = resample_sums(sums, resamples, seed)
    values = ratios(np.abs(drawn[:, :BINS]).sum(axis=1) / _UNIT, drawn[:, BINS])
    point = expected_calibration_error(confidence, correct)
    low, high = np.quantile(values - (values.mean() - point), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    beyond = 1.0 - blind_bound(groups) if correct.all() or not correct.any() else 0.0
    return [max(0.0, min(float(low), point) - beyond), min(1.0, max(float(high), point) + beyond)]


def _bins(confidence: NDArray[np.float64], bins: int) -> NDArray[np.int64]:
    """The bin of each slice, int64 (N,), from 0, the least confident."""
    return np.minimum(((mid_ranks(confidence) - 0.5) * bins / confidence.size).astype(np.int64), bins - 1)


def brier_score(probabilities: NDArray[np.float64], codes: NDArray[np.int64]) -> float:
    """Mean over slices of the sum over classes of (probability - truth)²; 0 is best, 2 is worst.

    The multi-class form of Brier GW. Verification of forecasts expressed in terms of probability. Mon Weather Rev
    1950;78:1-3. For two classes it is twice the binary score that some libraries report.

    Args:
        probabilities: float64 (N, K).
        codes: int64 (N,), index of the true class.
    """
    truth = np.eye(probabilities.shape[1])[codes]
    return float(np.square(probabilities - truth).sum(axis=1).mean())


def negative_log_likelihood(probabilities: NDArray[np.float64], codes: NDArray[np.int64]) -> float:
    """Mean of -ln(probability of the true class), in nats; probabilities below 1e-12 count as 1e-12."""
    of_truth = probabilities[np.arange(codes.size), codes]
    return abs(float(np.log(np.clip(of_truth, _SMALLEST, 1.0)).mean()))  # abs: never -0.0
