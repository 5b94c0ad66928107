"""Labels that are wrong: copies of one picture with different labels, and slices that look like another class.

The second by confident learning (Northcutt et al., "Confident learning: estimating uncertainty in dataset labels",
JAIR 2021): out-of-fold probabilities of a cheap model, and for each class the confidence that its own slices have.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from tumorlens.audit.guessing import probabilities
from tumorlens.audit.look import Looks
from tumorlens.audit.probes import thumbnails
from tumorlens.audit.scoring import Task, balanced_accuracy, task

# The cheap model is wrong often; only where it is this sure against the label is a person asked.
_MARGIN: Final = 0.6
# Share of the way from chance to perfect below which the model's opinion is worth nothing.
_WORTH: Final = 0.25
_THUMB: Final = 16

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Conflict:
    """Copies of one picture with different labels.

    Attributes:
        rows: their numbers.
        labels: the label of each.
    """

    rows: tuple[int, ...]
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Suspicion:
    """A label that looks wrong.

    Attributes:
        row: number of the slice.
        given: its label.
        suggested: the class that it looks like.
        score: how much more probable the suggested class is, 0 to 1.
    """

    row: int
    given: str
    suggested: str
    score: float


def conflicts(clusters: Sequence[Sequence[int]], labels: Sequence[str]) -> list[Conflict]:
    """Clusters of copies that carry more than one label; slices without a label are left out."""
    result = []
    for cluster in clusters:
        rows = tuple(i for i in sorted(cluster) if labels[i])
        named = tuple(labels[i] for i in rows)
        if len(set(named)) > 1:
            result.append(Conflict(rows, named))
    return result


def suspicious(
    looks: Looks,
    labels: Sequence[str],
    groups: Sequence[str],
    *,
    seed: int = 0,
    most: int | None = 10_000,
    progress: Progress | None = None,
) -> list[Suspicion]:
    """Labels that look wrong, most suspicious first; none where the cheap model cannot tell the classes.

    Args:
        looks: records (N,) of :data:`tumorlens.audit.look.LOOK`.
        labels: class of each slice, empty where unknown.
        groups: what must not cross a fold, of each slice.
        seed: of folds.
        most: at most so many slices are judged.
        progress: called with (done, of how much).
    """
    given = task(labels, groups, seed=seed, most=most)
    if isinstance(given, str):
        return []
    likely = probabilities(_features(looks, given.rows), given, seed, progress)
    if balanced_accuracy(given, likely.argmax(axis=1)) < given.chance + _WORTH * (1 - given.chance):
        return []
    suggested, margin = _confident(likely, given)
    order = np.argsort(-margin, kind="stable")
    return [
        Suspicion(int(given.rows[i]), given.classes[given.codes[i]], given.classes[int(suggested[i])], float(margin[i]))
        for i in order
        if margin[i] >= _MARGIN
    ]


def _confident(likely: np.ndarray, given: Task) -> tuple[np.ndarray, np.ndarray]:
    """The class each slice confidently belongs to, and its margin over the label; margin 0 where that is the label."""
    count = len(given.classes)
    own = likely[np.arange(len(likely)), given.codes]
    threshold = np.array([own[given.codes == code].mean() for code in range(count)])
    confident = np.where(likely >= threshold, likely, -1.0)
    suggested = confident.argmax(axis=1)
    best = confident.max(axis=1)
    margin = np.where((best >= 0) & (suggested != given.codes), best - own, 0.0)
    return suggested, margin


def _features(looks: Looks, rows: np.ndarray) -> np.ndarray:
    """Grey values, coarse shape and thumbnail of the rows int64 (M,): float32 (M, some)."""
    from sklearn.decomposition import PCA

    pictures = looks["picture"]
    small = np.concatenate([thumbnails(pictures[rows[i : i + 1024]], _THUMB) for i in range(0, len(rows), 1024)])
    parts = PCA(min(24, *small.shape), svd_solver="covariance_eigh").fit_transform(small)
    histogram = np.sqrt(np.asarray(looks["histogram"][rows], np.float32))
    return np.hstack([histogram, np.asarray(looks["keys"][rows, 0], np.float32), parts]).astype(np.float32)
