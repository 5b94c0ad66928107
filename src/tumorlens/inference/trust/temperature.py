"""Temperature scaling: one number that makes a network as sure as it is right."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# A temperature outside says that the logits are broken, not that they want scaling.
_LOWEST, _HIGHEST = 0.05, 20.0
# What a float64 cannot tell from 0 is that unlikely, not impossible.
_SMALLEST = 1e-300
_GOLDEN = (math.sqrt(5) - 1) / 2
_GAIN = 1e-9  # nats; less is rounding
_CLOSE = 1e-6  # of the logarithm of the temperature


@dataclass(frozen=True, slots=True)
class Temperature:
    """A fitted temperature.

    Attributes:
        value: what logits are divided by; 1 leaves them alone.
        n: slices it was fitted on.
        groups: patients or clusters among them.
        nll_before: mean negative log likelihood on them in nats, at temperature 1.
        nll_after: the same at ``value``; never more than ``nll_before``.
    """

    value: float
    n: int = 0
    groups: int = 0
    nll_before: float = float("nan")
    nll_after: float = float("nan")


def fit_temperature(logits: NDArray[np.floating], codes: NDArray[np.int64], groups: NDArray[np.int64]) -> Temperature:
    """The temperature with the least negative log likelihood on slices that were not trained on.

    Guo C, Pleiss G, Sun Y, Weinberger KQ. On calibration of modern neural networks. ICML 2017. The likelihood has one
    minimum in the logarithm of the temperature, which a golden-section search finds. Where no temperature does better
    than 1, it stays 1.

    Args:
        logits: (N, K), from the network, never its softmax; N at least 1. A constant added to a row does not matter, so
            logarithms of uncalibrated probabilities are logits.
        codes: int64 (N,), index of the true class.
        groups: int64 (N,), slices with the same number belong together; only counted.
    """
    values = np.asarray(logits, np.float64)

    def loss(log_temperature: float) -> float:
        scaled = values / math.exp(log_temperature)
        top = scaled.max(axis=1)
        total = np.log(np.exp(scaled - top[:, np.newaxis]).sum(axis=1)) + top
        return float((total - scaled[np.arange(len(codes)), codes]).mean())

    low, high = math.log(_LOWEST), math.log(_HIGHEST)
    left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
    at_left, at_right = loss(left), loss(right)
    while high - low > _CLOSE:
        if at_left <= at_right:
            high, right, at_right = right, left, at_left
            left = high - _GOLDEN * (high - low)
            at_left = loss(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + _GOLDEN * (high - low)
            at_right = loss(right)
    found = (low + high) / 2
    before, after = loss(0.0), loss(found)
    if not after < before - _GAIN:
        found, after = 0.0, before
    return Temperature(math.exp(found), len(codes), len(np.unique(groups)), before, after)


def as_logits(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """Logits float64 (N, K) of probabilities (N, K), but for a constant per row."""
    return np.asarray(np.log(np.maximum(probabilities, _SMALLEST)))


def softmax(logits: NDArray[np.floating], temperature: float = 1.0) -> NDArray[np.float64]:
    """Probabilities float64 (N, K) of logits (N, K) divided by a temperature."""
    scaled = np.asarray(logits, np.float64) / temperature
    scaled = scaled - scaled.max(axis=1, keepdims=True, initial=-np.inf if len(scaled) else 0)
    odds = np.exp(scaled)
    return np.asarray(odds / odds.sum(axis=1, keepdims=True))
