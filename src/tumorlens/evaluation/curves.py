"""ROC and precision-recall curves, thinned for drawing."""

from __future__ import annotations

import heapq
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tumorlens.evaluation.auroc import auroc
from tumorlens.evaluation.table import PredictionTable

LIMIT = 200
_Curve = tuple[NDArray[np.float64], NDArray[np.float64]]


def roc_points(positive: NDArray[np.bool_], score: NDArray[np.float64], limit: int = LIMIT) -> _Curve | None:
    """The ROC curve: a point per threshold from (0, 0) to (1, 1), joined by straight lines.

    Fawcett T. An introduction to ROC analysis. Pattern Recognit Lett 2006;27:861-874. Slices of equal score move
    together, which makes the diagonal pieces whose area :func:`tumorlens.evaluation.auroc.auroc` counts.

    Args:
        positive: bool (N,), whether a slice is of the class.
        score: float64 (N,), the probability given to the class.
        limit: keep at most this many points.

    Returns:
        False positive rate and true positive rate, float64 (P,) each, or None without positives or negatives.
    """
    true_positive, false_positive = _counts(positive, score)
    if true_positive[-1] == 0 or false_positive[-1] == 0:
        return None
    return thin(false_positive / false_positive[-1], true_positive / true_positive[-1], limit)


def pr_points(positive: NDArray[np.bool_], score: NDArray[np.float64], limit: int = LIMIT) -> _Curve | None:
    """The precision-recall curve, to be drawn as steps: a precision holds from the previous recall up to its own.

    Straight lines between the points would promise more than was seen (Davis J, Goadrich M. The relationship between
    precision-recall and ROC curves. ICML 2006); the area under these steps is the average precision.

    Returns:
        Recall (rising) and precision, float64 (P,) each, or None without positives.
    """
    steps = _steps(positive, score)
    if steps is None:
        return None
    recall, precision = steps
    if recall.size >= limit:
        # Of many steps a few remain, each as high as those that it stands for on average: the area stays the same.
        kept, _ = thin(np.r_[0.0, recall], np.r_[precision[0], precision], limit)
        area = np.cumsum(np.diff(recall, prepend=0.0) * precision)[np.searchsorted(recall, kept[1:])]
        recall, precision = kept[1:], np.diff(area, prepend=0.0) / np.diff(kept)
    return np.r_[0.0, recall], np.r_[precision[0], precision]


def average_precision(positive: NDArray[np.bool_], score: NDArray[np.float64]) -> float | None:
    """Area under the steps of the full precision-recall curve, in 0..1, or None without positives."""
    steps = _steps(positive, score)
    return None if steps is None else float((np.diff(steps[0], prepend=0.0) * steps[1]).sum())


def _steps(positive: NDArray[np.bool_], score: NDArray[np.float64]) -> _Curve | None:
    """Recall and precision at each threshold that finds more of the class, the strictest first; None without any."""
    true_positive, false_positive = _counts(positive, score)
    if true_positive[-1] == 0:
        return None
    rises = np.flatnonzero(np.diff(true_positive)) + 1
    recall = true_positive[rises] / true_positive[-1]
    return recall, true_positive[rises] / (true_positive[rises] + false_positive[rises])


def class_curves(
    table: PredictionTable, kind: Literal["roc", "pr"]
) -> dict[str, tuple[NDArray[np.float64], NDArray[np.float64], float]]:
    """The curve of each class against the rest, where it is defined: x, y (float64 (P,)) and area.

    The area is that of the whole curve: AUROC, or average precision.
    """
    found = {}
    for k, name in enumerate(table.names):
        positive = np.array([label == name for label in table.labels], dtype=bool)
        points, measure = (roc_points, auroc) if kind == "roc" else (pr_points, average_precision)
        curve = points(positive, table.probabilities[:, k])
        area = measure(positive, table.probabilities[:, k])
        if curve is not None and area is not None:
            found[name] = (*curve, area)
    return found


def _counts(positive: NDArray[np.bool_], score: NDArray[np.float64]) -> _Curve:
    """True and false positives at each threshold, from "nothing is positive" to "everything is"; float64 each."""
    order = np.argsort(-score, kind="stable")
    ordered = score[order]
    ends = np.r_[np.flatnonzero(np.diff(ordered)), ordered.size - 1] if ordered.size else np.zeros(0, dtype=np.int64)
    true_positive = np.cumsum(positive[order])[ends].astype(np.float64)
    return np.r_[0.0, true_positive], np.r_[0.0, ends + 1.0 - true_positive]


def thin(x: NDArray[np.float64], y: NDArray[np.float64], limit: int = LIMIT) -> _Curve:
    """The at most ``limit`` points whose straight connection stays closest to the whole curve; both ends are kept.

    Points on a straight piece are dropped first; then the farthest point is added again and again (Douglas DH, Peucker
    TK. Cartographica 1973;10:112-122, with a count in place of a tolerance).
    """
    if x.size <= 2:
        return x, y
    kept = [0, x.size - 1]
    heap = [_farthest(x, y, 0, x.size - 1)]
    while heap and len(kept) < limit:
        negative_distance, split, start, end = heapq.heappop(heap)
        if negative_distance > -1e-12:
            break
        kept.append(split)
        for a, b in ((start, split), (split, end)):
            if b - a > 1:
                heapq.heappush(heap, _farthest(x, y, a, b))
    chosen = np.sort(np.array(kept))
    return x[chosen], y[chosen]


def _farthest(x: NDArray[np.float64], y: NDArray[np.float64], start: int, end: int) -> tuple[float, int, int, int]:
    """The point between two others that lies farthest from the line through them, as a heap entry."""
    if end - start < 2:
        return 0.0, start, start, end
    dx, dy = x[end] - x[start], y[end] - y[start]
    u, v = x[start + 1 : end] - x[start], y[start + 1 : end] - y[start]
    length = float(np.hypot(dx, dy))
    distance = np.abs(dx * v - dy * u) / length if length > 0 else np.hypot(u, v)
    best = int(distance.argmax())
    return -float(distance[best]), start + 1 + best, start, end
