"""From candidates to clusters: the likeliest pairs are verified first, and what is joined already is not asked."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from tumorlens.audit import orientation
from tumorlens.audit.comparing import Comparing
from tumorlens.audit.look import Looks, same_pixels
from tumorlens.audit.remembered import Remembered
from tumorlens.audit.search import Candidates, Search

# Cosine of two keys below which nobody looks closer; copies of all kinds lie above (benchmarks/audit_planted.py).
_LEAST: Final = 0.85
_MOST: Final = 6
_BATCH: Final = 64
# Agreement of windows so far below that of copies that no other boxes are tried.
_HOPELESS: Final = 0.6

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
    """Sets that are joined: who belongs together, how each member is turned against its set's first member."""

    def __init__(self, count: int) -> None:
        self._parent = list(range(count))
        self._turn = [orientation.IDENTITY] * count  # of a member, to look like its parent
        self._agreement = [1.0] * count  # of a member with its parent

    def root(self, member: int) -> int:
        """The number that stands for the member's set."""
        return self.link(member)[0]

    def link(self, member: int) -> tuple[int, int, float]:
        """The set's representative, how the member is turned to look like it, and the weakest agreement between."""
        path = []
        while self._parent[member] != member:
            path.append(member)
            member = self._parent[member]
        turn, agreement = orientation.IDENTITY, 1.0
        for step in reversed(path):
            turn = orientation.compose(self._turn[step], turn)
            agreement = min(agreement, self._agreement[step])
            self._parent[step], self._turn[step], self._agreement[step] = member, turn, agreement
        return member, turn, agreement

    def join(self, first: int, second: int, turn: int, agreement: float) -> None:
        """Put two sets together, knowing that ``first`` turned by ``turn`` looks like ``second``."""
        (a, first_turn, first_agreement), (b, second_turn, second_agreement) = self.link(first), self.link(second)
        if a == b:
            return
        # a → first → second → b; the smaller number stays the representative.
        between = orientation.compose(orientation.compose(orientation.inverse(first_turn), turn), second_turn)
        if a < b:
            a, b, between = b, a, orientation.inverse(between)
        self._parent[a], self._turn[a] = b, between
        self._agreement[a] = min(agreement, first_agreement, second_agreement)


@dataclass(frozen=True, slots=True)
class Clusters:
    """What belongs together.

    Attributes:
        pairs: every pair that was verified, likeliest first.
        root: int64 (N,), number of the picture that stands for each picture's cluster.
        turn: int8 (N,), how each picture is turned to look like that one.
        agreement: float32 (N,), the weakest link between each picture and that one.
        alike: pairs that are no copies, with the median agreement of their windows: neighbours are found among them.
    """

    pairs: tuple[Copy, ...]
    root: np.ndarray
    turn: np.ndarray
    agreement: np.ndarray
    alike: dict[tuple[int, int], float]

    def members(self) -> list[list[int]]:
        """The clusters of two and more pictures, in the order of their first member."""
        sets: dict[int, list[int]] = defaultdict(list)
        for number, root in enumerate(self.root):
            sets[int(root)].append(number)
        return [members for members in sets.values() if len(members) > 1]


def find(
    looks: Looks, digests: Sequence[str], progress: Progress | None = None, memory: Remembered | None = None
) -> Clusters:
    """Clusters of copies among N pictures.

    Args:
        looks: records (N,).
        digests: SHA-256 of the files.
        progress: called with (what, done, total).
        memory: of comparisons that were made before; new ones are added.
    """
    union, pairs, same = Union(len(looks)), [], same_pixels(looks)
    keys: tuple[Sequence[Hashable], ...] = (digests, same)
    for name in keys:
        seen: dict[Hashable, int] = {}
        for number, value in enumerate(name):
            other = seen.setdefault(value, number)
            if union.root(other) != union.root(number):
                pairs.append(Copy(other, number, 1.0, orientation.IDENTITY, exact=True))
                union.join(other, number, orientation.IDENTITY, 1.0)
    apart: dict[tuple[int, int], float] = {}
    hopeless: set[tuple[int, int]] = set()
    left = _representatives(union, len(looks))
    search = Search(looks, left, least=_LEAST, most=_MOST, progress=progress)
    asked = left
    with Comparing(looks, same, memory or Remembered(None)) as comparing:
        # Many copies of one picture crowd the lists of their neighbours, so those whose list held a picture that now
        # stands in another's cluster are searched again, among the representatives, until nothing is joined any more.
        while len(asked):
            pairs += _verified(search.candidates(asked, progress), union, apart, hopeless, comparing, progress)
            fewer = _representatives(union, len(looks))
            asked = search.forget(np.setdiff1d(left, fewer, assume_unique=True))
            left = fewer
    links = [union.link(number) for number in range(len(looks))]
    return Clusters(
        tuple(pairs),
        np.array([root for root, _, _ in links], np.int64),
        np.array([turn for _, turn, _ in links], np.int8),
        np.array([agreement for _, _, agreement in links], np.float32),
        apart,
    )


def _representatives(union: Union, count: int) -> np.ndarray:
    return np.array([number for number in range(count) if union.root(number) == number], np.int64)


def _verified(
    found: Candidates,
    union: Union,
    apart: dict[tuple[int, int], float],
    hopeless: set[tuple[int, int]],
    comparing: Comparing,
    progress: Progress | None,
) -> list[Copy]:
    """The candidates that are copies, joined; those of a batch are compared at the same time.

    Pairs that turn out not to be copies are added to ``apart`` and not compared again; the other way round, through
    other boxes, only those that were not far from being copies or could not be brought onto each other.
    """

    def joined(i: int) -> bool:
        return union.root(int(found.first[i])) == union.root(int(found.second[i]))

    def settled(i: int) -> bool:
        first, second = int(found.first[i]), int(found.second[i])
        return (first, second) in apart or (second, first) in hopeless

    pairs: list[Copy] = []
    for start in range(0, len(found), _BATCH):
        batch = range(start, min(start + _BATCH, len(found)))
        undecided = [i for i in batch if not joined(i) and not settled(i)]
        for i, agreement in zip(undecided, comparing.agreements(found, undecided), strict=True):
            first, second, turn = int(found.first[i]), int(found.second[i]), int(found.orientation[i])
            if not agreement.same:
                apart[first, second] = agreement.median
                if -1 < agreement.worst < _HOPELESS:
                    hopeless.add((first, second))
            elif not joined(i):
                union.join(first, second, turn, agreement.worst)
                pairs.append(Copy(first, second, agreement.worst, turn, exact=False))
        if progress:
            progress("comparing", min(start + _BATCH, len(found)), len(found))
    return pairs
