"""How well something predicts a class in groups it has not seen: folds, balanced accuracy and its interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from tumorlens.data.split import assign
from tumorlens.evaluation.bootstrap import interval, quiet_mean, ratios, resample_sums

FOLDS: Final = 5
FEWEST_GROUPS: Final = 5  # of a class: fewer cannot be divided into folds that all hold it
_RESAMPLES: Final = 1000


@dataclass(frozen=True, slots=True)
class Task:
    """What is to be predicted, on the rows that can be scored.

    Attributes:
        rows: int64 (M,), row numbers in the data set, ascending.
        classes: names, sorted.
        codes: int64 (M,), index of each row's class.
        groups: int64 (M,), number of each row's group, 0 to G - 1.
        folds: int64 (M,); no group lies in two folds.
    """

    rows: np.ndarray
    classes: tuple[str, ...]
    codes: np.ndarray
    groups: np.ndarray
    folds: np.ndarray

    @property
    def chance(self) -> float:
        """Balanced accuracy of guessing."""
        return 1 / len(self.classes)


def task(labels: Sequence[str], groups: Sequence[str], *, seed: int, most: int | None = None) -> Task | str:
    """Divide what can be scored into folds.

    Rows without a label and classes with fewer than :data:`FEWEST_GROUPS` groups are left out.

    Args:
        labels: class of each row, empty where unknown.
        groups: group of each row.
        seed: of the choice of rows and of the folds.
        most: at most so many rows, drawn at random.

    Returns:
        The task, or why there is none, as a sentence.
    """
    owned: dict[str, set[str]] = {}
    for label, group in zip(labels, groups, strict=True):
        if label:
            owned.setdefault(label, set()).add(group)
    classes = tuple(sorted(name for name, members in owned.items() if len(members) >= FEWEST_GROUPS))
    if len(owned) < 2:
        return "there is only one class" if owned else "no slice is labelled"
    if len(classes) < 2:
        return f"fewer than two classes have {FEWEST_GROUPS} independent groups"
    wanted = set(classes)
    rows = np.flatnonzero([label in wanted for label in labels])
    if most is not None and len(rows) > most:
        rows = np.sort(np.random.default_rng([seed, 11]).choice(rows, most, replace=False))
    code_of = {name: i for i, name in enumerate(classes)}
    kept = [labels[i] for i in rows.tolist()]
    members = [groups[i] for i in rows.tolist()]
    codes = np.array([code_of[label] for label in kept], np.int64)
    number = np.unique(np.array(members), return_inverse=True)[1]
    folds = np.array(assign(kept, members, [1 / FOLDS] * FOLDS, seed), np.int64)
    return Task(rows, classes, codes, number.astype(np.int64), folds)


def balanced(given: Task, predicted: np.ndarray, seed: int) -> tuple[float, tuple[float, float]]:
    """Balanced accuracy and its 95 % interval, bootstrapped over groups.

    Args:
        given: what was predicted.
        predicted: int64 (M,), out-of-fold class of each row.
        seed: of the bootstrap.
    """
    count = len(given.classes)
    right, totals = _counts(given, predicted)
    point = _point(right, totals)
    sums = resample_sums(np.hstack([right, totals]), _RESAMPLES, seed)
    values = quiet_mean(ratios(sums[:, :count], sums[:, count:]), axis=1)
    low, high = interval(point, values, len(totals)) or (point, point)
    return point, (float(low), float(high))


def balanced_accuracy(given: Task, predicted: np.ndarray) -> float:
    """The same without its interval, which takes most of the time."""
    return _point(*_counts(given, predicted))


def _counts(given: Task, predicted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of each group and class, how many rows were predicted right and how many there are: int64 (G, classes)."""
    shape = int(given.groups.max()) + 1, len(given.classes)
    right, totals = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    np.add.at(totals, (given.groups, given.codes), 1)
    np.add.at(right, (given.groups, given.codes), (predicted == given.codes).astype(np.int64))
    return right, totals


def _point(right: np.ndarray, totals: np.ndarray) -> float:
    return float(quiet_mean(ratios(right.sum(axis=0)[None], totals.sum(axis=0)[None]), axis=1)[0])
