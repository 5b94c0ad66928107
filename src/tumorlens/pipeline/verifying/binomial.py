"""Exact binomial tails, where few answers or a share near 0 or 1 make the normal curve wrong."""

from __future__ import annotations

import math

import numpy as np

# Halvings of an interval: to the last digit of a share.
_HALVINGS = 53


def at_most(right: int, asked: int, accuracy: float) -> float:
    """The chance of so few right answers, or fewer.

    Args:
        right: answers that were right, 0 to ``asked``.
        asked: independent answers.
        accuracy: the chance that one is right.
    """
    if right >= asked or accuracy <= 0:
        return 1.0
    if accuracy >= 1:
        return 0.0
    number = np.arange(1, right + 1)
    # ln of the binomial coefficients, each from the one before: the numbers themselves are too large for a float.
    ways = np.concatenate([[0.0], np.cumsum(np.log((asked - number + 1) / number))])
    hits = np.arange(right + 1)
    terms = ways + hits * math.log(accuracy) + (asked - hits) * math.log1p(-accuracy)
    return min(1.0, float(np.exp(terms).sum()))


def least(right: int, asked: int, level: float) -> float:
    """The lowest accuracy that does not make so many right answers rarer than ``level``: one-sided Clopper-Pearson.

    Args:
        right: answers that were right, 0 to ``asked``.
        asked: independent answers.
        level: how often the true accuracy may lie below.
    """
    low, high = 0.0, right / asked
    if not right:
        return low
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        # So many right, or more, are at most so few wrong.
        rare = at_most(asked - right, asked, 1 - middle) < level
        low, high = (middle, high) if rare else (low, middle)
    return low
