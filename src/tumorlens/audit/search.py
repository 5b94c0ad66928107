"""Which pictures look alike from afar: nearest neighbours among the keys of all boxes, in all eight orientations."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from tumorlens.audit.look import KEY, TERMS, Looks
from tumorlens.audit.nearest import Exact, Inverted, Nearest
from tumorlens.audit.orientation import COUNT, turn_spectra

# The first two boxes (the picture, the head) are looked up; a cropped original answers through its other boxes.
_ASKING: Final = 2
_BLOCK: Final = 256
# Above this many pictures FAISS finds 99.9 % of the same pairs in a sixth of the time.
EXACT_UP_TO: Final = 2_000
# A picture's own boxes and those of its neighbours crowd the list: more are asked for than are kept.
_CROWD: Final = 8

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Candidates:
    """Pairs of pictures that may be copies, most similar first.

    Attributes:
        first, second: int64 (P,), numbers of pictures; ``first`` turned by ``orientation`` may show ``second``.
        similarity: float32 (P,), cosine of the keys.
        orientation: int8 (P,), see :mod:`tumorlens.audit.orientation`.
        first_box, second_box: int8 (P,), through which boxes they were found.
    """

    first: np.ndarray
    second: np.ndarray
    similarity: np.ndarray
    orientation: np.ndarray
    first_box: np.ndarray
    second_box: np.ndarray

    def __len__(self) -> int:
        return len(self.first)


class Search:
    """Finds the ``most`` pictures nearest to a picture, where their keys agree by at least ``least``.

    Args:
        looks: records (N,), in memory or memory-mapped: only keys are held.
        among: int64 (M,), ascending numbers of the pictures to search among.
        least: smallest cosine.
        most: neighbours for a picture.
        progress: called with ("indexing", done, of how much).
        exact: True or False to choose the method; by the number of pictures when None.
    """

    def __init__(
        self,
        looks: Looks,
        among: np.ndarray,
        *,
        least: float,
        most: int,
        progress: Progress | None = None,
        exact: bool | None = None,
    ) -> None:
        self._looks, self._most = looks, most
        self._counts = np.asarray(looks["count"], np.int8)
        self._owner, self._box = _entries(self._counts, among)
        if exact is None:
            exact = len(among) <= EXACT_UP_TO or importlib.util.find_spec("faiss") is None
        self._many = _CROWD * most
        self._nearest: Nearest
        if exact:
            self._nearest = Exact(self._read, len(self._owner), least=least, many=self._many)
        else:
            tell = (lambda done, total: progress("indexing", done, total)) if progress else None
            self._nearest = Inverted(self._read, len(self._owner), least=least, many=self._many, progress=tell)
        # The last list of every picture that was full, and so may have left something out.
        self._listed = np.full((len(looks), most), -1, np.int64)
        self._full = np.zeros(len(looks), bool)

    def candidates(self, asked: np.ndarray, progress: Progress | None = None) -> Candidates:
        """The neighbours of pictures.

        Args:
            asked: int64 (A,), their numbers.
            progress: called with ("searching", pictures done, of how many).
        """
        found: list[np.ndarray] = []
        for start in range(0, len(asked), _BLOCK):
            found.append(self._block(asked[start : start + _BLOCK]))
            if progress:
                progress("searching", min(start + _BLOCK, len(asked)), len(asked))
        table = np.concatenate(found) if found else np.empty((0, 6))
        table = table[np.argsort(-table[:, 2], kind="stable")]
        kinds = (np.int64, np.int64, np.float32, np.int8, np.int8, np.int8)
        return Candidates(*(table[:, i].astype(kind) for i, kind in enumerate(kinds)))

    def forget(self, gone: np.ndarray) -> np.ndarray:
        """Find these pictures, int64 (G,), no more.

        Returns:
            int64 (A,), the pictures whose lists they had filled: others may have been left out of these.
        """
        away = np.zeros(len(self._looks) + 1, bool)  # the last stands for -1: no neighbour
        away[gone] = True
        self._nearest.forget(np.flatnonzero(away[self._owner]))
        return np.flatnonzero(self._full & away[self._listed].any(axis=1) & ~away[:-1])

    def _read(self, entries: np.ndarray) -> np.ndarray:
        return np.asarray(self._looks["keys"][self._owner[entries], self._box[entries]], np.float32)

    def _block(self, asked: np.ndarray) -> np.ndarray:
        """Candidates of some pictures: rows of first, second, similarity, orientation, two boxes."""
        picture, asking = np.nonzero(np.arange(_ASKING) < self._counts[asked][:, np.newaxis])
        spectra = np.asarray(self._looks["keys"][asked[picture], asking], np.float32).reshape(-1, TERMS, TERMS)
        turned = np.concatenate([turn_spectra(spectra, orientation) for orientation in range(COUNT)])
        query, entry, score = self._nearest.search(turned.reshape(-1, KEY))
        crowded = np.zeros(len(asked), bool)
        crowded[picture[np.flatnonzero(np.bincount(query) >= self._many) % len(picture)]] = True
        orientation, place = np.divmod(query, len(picture))
        first, second = picture[place], self._owner[entry]
        other = asked[first] != second
        columns = (first, second, score, orientation, asking[place], self._box[entry])
        table = np.column_stack([column[other] for column in columns])
        table = table[np.lexsort((-table[:, 2], table[:, 1], table[:, 0]))]
        best = np.ones(len(table), bool)  # the best orientation and boxes of each pair
        best[1:] = (np.diff(table[:, 0]) != 0) | (np.diff(table[:, 1]) != 0)
        table = table[best]
        table = table[np.lexsort((-table[:, 2], table[:, 0]))]
        rank = np.arange(len(table)) - np.searchsorted(table[:, 0], table[:, 0])
        table, rank = table[rank < self._most], rank[rank < self._most]
        owner = table[:, 0].astype(np.int64)
        self._listed[asked] = -1
        self._listed[asked[owner], rank] = table[:, 1]
        self._full[asked] = crowded | (np.bincount(owner, minlength=len(asked)) >= self._most)
        table[:, 0] = asked[owner]
        return np.asarray(table)


def _entries(counts: np.ndarray, among: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Owner, int64, and box, int8, of every key of some pictures."""
    of = counts[among].astype(np.int64)
    starts = np.repeat(np.cumsum(of) - of, of)
    return np.repeat(among, of), (np.arange(of.sum()) - starts).astype(np.int8)
