"""Area under the ROC curve."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def auroc(positive: NDArray[np.bool_], score: NDArray[np.float64]) -> float | None:
    """The chance that a positive scores higher than a negative; a tie counts one half.

    Computed as the Mann-Whitney U statistic from mid-ranks, which equals the area under the trapezoidal ROC curve
    (Hanley JA, McNeil BJ. The meaning and use of the area under a ROC curve. Radiology 1982;143:29-36).

    Args:
        positive: bool (N,), whether a slice is of the class.
        score: float64 (N,), the probability given to the class.

    Returns:
        The area in 0..1, or None when there is no positive or no negative: the area is then not defined.
    """
    n_positive = int(positive.sum())
    n_negative = positive.size - n_positive
    if n_positive == 0 or n_negative == 0:
        return None
    rank_sum = float(mid_ranks(score)[positive].sum())
    return (rank_sum - n_positive * (n_positive + 1) / 2) / (n_positive * n_negative)


def mid_ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ranks 1..N, equal values sharing the mean of their ranks; float64 (N,). They do not depend on the order."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    middle = last - (counts - 1) / 2
    return np.asarray(middle[inverse], dtype=np.float64)
