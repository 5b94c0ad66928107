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
_FEW: Final = f"fewer than two classes have {FEWEST_GROUPS} independent groups"


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
        most: at most so many rows, drawn at random; rare classes keep theirs.

    Returns:
        The task, or why there is none, as a sentence.
    """
    found = {label for label, _ in zip(labels, groups, strict=True) if label}
    if len(found) < 2:
        return "there is only one class" if found else "no slice is labelled"
    rows = _divisible(np.arange(len(labels)), labels, groups)
    if most is not None and len(rows) > most:
        # Groups that nothing was drawn of no longer count.
        rows = _divisible(_drawn(rows, labels, most, seed), labels, groups)
    kept = [labels[i] for i in rows.tolist()]
    members = [groups[i] for i in rows.tolist()]
    classes = tuple(sorted(set(kept)))
    if len(classes) < 2:
        return _FEW
    code_of = {name: i for i, name in enumerate(classes)}
    codes = np.array([code_of[label] for label in kept], np.int64)
    number = np.unique(np.array(members), return_inverse=True)[1]
    folds = np.array(assign(kept, members, [1 / FOLDS] * FOLDS, seed), np.int64)
    if any(len(np.unique(codes[folds != fold])) < 2 for fold in np.unique(folds)):
        return _FEW  # a class lies in one fold whole, and nothing but the other one is left to learn from
    return Task(rows, classes, codes, number.astype(np.int64), folds)


def _divisible(rows: np.ndarray, labels: Sequence[str], groups: Sequence[str]) -> np.ndarray:
    """Those of the rows int64 (M,) whose class has at least :data:`FEWEST_GROUPS` groups among them."""
    owned: dict[str, set[str]] = {}
    for i in rows.tolist():
        if labels[i]:
            owned.setdefault(labels[i], set()).add(groups[i])
    wanted = {name for name, members in owned.items() if len(members) >= FEWEST_GROUPS}
    return np.array([i for i in rows.tolist() if labels[i] in wanted], np.int64)


def _drawn(rows: np.ndarray, labels: Sequence[str], most: int, seed: int) -> np.ndarray:
    """``most`` of the rows int64 (M,), ascending, drawn at random.

    Of a class that chance would leave less than a quarter of an equal share of, that many rows are drawn first, or all
    that it has: a rare class would be lost otherwise. Without such a class every row has the same chance.
    """
    rng = np.random.default_rng([seed, 11])
    names, codes = np.unique([labels[i] for i in rows.tolist()], return_inverse=True)
    sizes = np.bincount(codes)
    least = most // (4 * len(names))
    rare = np.flatnonzero(sizes * most < least * len(rows))
    first = [rng.choice(rows[codes == code], min(least, sizes[code]), replace=False) for code in rare]
    common = rows[~np.isin(codes, rare)]
    rest = rng.choice(common, most - sum(map(len, first)), replace=False)
    return np.sort(np.concatenate([*first, rest]))


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
