"""From candidates to clusters of copies: the likeliest pairs are verified first, and what is joined already is not asked."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from tumorlens.audit import orientation, verify
from tumorlens.audit.search import Candidates, candidates

# Cosine of two keys below which nobody looks closer; copies of all kinds lie above (benchmarks/audit_planted.py).
_LEAST: Final = 0.85
_MOST: Final = 6

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Copy:
    """Two pictures that are one.

    Attributes:
        first, second: numbers of the pictures.
        similarity: agreement of their windows, 1 for the same pixels.
        orientation: how ``first`` is turned to look like ``second``.
        exact: same bytes or same pixels.
    """

    first: int
    second: int
    similarity: float
    orientation: int
    exact: bool


class Union:
    """Sets that are joined: who belongs together, and how each member is turned against its set's first member."""

    def __init__(self, count: int) -> None:
        self._parent = np.arange(count)
        self._turn = np.zeros(count, np.int8)  # of a member, to look like its parent

    def root(self, member: int) -> tuple[int, int]:
        """The set's representative, and how the member is turned to look like it."""
        path = []
        while self._parent[member] != member:
            path.append(member)
            member = int(self._parent[member])
        turn = orientation.IDENTITY
        for step in reversed(path):
            turn = orientation.compose(int(self._turn[step]), turn)
            self._parent[step], self._turn[step] = member, turn
        return member, turn

    def join(self, first: int, second: int, turn: int) -> None:
        """Put two sets together, knowing that ``first`` turned by ``turn`` looks like ``second``."""
        (a, first_turn), (b, second_turn) = self.root(first), self.root(second)
        if a == b:
            return
        # a → first → second → b; the smaller number stays the representative.
        between = orientation.compose(orientation.compose(orientation.inverse(first_turn), turn), second_turn)
        if a < b:
            a, b, between = b, a, orientation.inverse(between)
        self._parent[a], self._turn[a] = b, between


@dataclass(frozen=True, slots=True)
class Clusters:
    """What belongs together.

    Attributes:
        pairs: every pair that was verified, likeliest first.
        root: int64 (N,), number of the picture that stands for each picture's cluster.
        turn: int8 (N,), how each picture is turned to look like that one.
    """

    pairs: tuple[Copy, ...]
    root: np.ndarray
    turn: np.ndarray

    def members(self) -> list[list[int]]:
        """The clusters of two and more pictures, in the order of their first member."""
        sets: dict[int, list[int]] = defaultdict(list)
        for number, root in enumerate(self.root):
            sets[int(root)].append(number)
        return [members for members in sets.values() if len(members) > 1]


def find(looks: np.ndarray, digests: list[str], progress: Progress | None = None) -> Clusters:
    """Clusters of copies among N pictures.

    Args:
        looks: records (N,).
        digests: SHA-256 of the files.
        progress: called with (what, done, total).
    """
    union, pairs = Union(len(looks)), []
    for name in (digests, [bytes(value) for value in looks["pixels"]]):
        seen: dict[object, int] = {}
        for number, value in enumerate(name):
            other = seen.setdefault(value, number)
            if union.root(other)[0] != union.root(number)[0]:
                pairs.append(Copy(other, number, 1.0, orientation.IDENTITY, exact=True))
                union.join(other, number, orientation.IDENTITY)
    found = candidates(
        looks,
        least=_LEAST,
        most=_MOST,
        progress=(lambda done, of: progress("searching", done, of)) if progress else None,
    )
    pairs += _verified(looks, found, union, progress)
    roots = [union.root(number) for number in range(len(looks))]
    return Clusters(
        tuple(pairs), np.array([root for root, _ in roots], np.int64), np.array([turn for _, turn in roots], np.int8)
    )


def _verified(looks: np.ndarray, found: Candidates, union: Union, progress: Progress | None) -> list[Copy]:
    pairs: list[Copy] = []
    for i in range(len(found)):
        a, b = int(found.first[i]), int(found.second[i])
        if progress and i % 256 == 0:
            progress("comparing", i, len(found))
        (root_a, _), (root_b, _) = union.root(a), union.root(b)
        if root_a == root_b:
            continue
        turn = int(found.orientation[i])
        agreement = verify.compare(looks[a], int(found.first_box[i]), looks[b], int(found.second_box[i]), turn)
        if agreement.same:
            union.join(a, b, turn)
            pairs.append(Copy(a, b, agreement.worst, turn, exact=False))
    if progress:
        progress("comparing", len(found), len(found))
    return pairs
