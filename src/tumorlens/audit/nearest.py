"""Nearest neighbours among many keys: exactly for a few, through FAISS's inverted file for many.

FAISS: Johnson et al., "Billion-scale similarity search with GPUs", IEEE TBD 2019. Its index holds the keys in the 16
bits that they have in the image cache, so nothing is lost and memory grows by 0.3 kB for each key.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final, Protocol

import numpy as np

from tumorlens.audit.look import KEY

# Keys float32 (M, KEY) of the entries M given by their numbers, read from the records where they are needed.
Read = Callable[[np.ndarray], np.ndarray]
Progress = Callable[[int, int], None]
# Numbers of queries and entries, int64 (F,), and their similarity, float32 (F,).
Found = tuple[np.ndarray, np.ndarray, np.ndarray]

_AT_ONCE: Final = 4_096  # keys, beside as many queries: 64 MB of cosines
_ROUNDS: Final = 6  # of k-means
_PER_LIST: Final = 40  # keys that a list's centre is learnt from
_PROBED: Final = 12  # lists that are looked into for each query


class Nearest(Protocol):
    """An index of keys."""

    def search(self, queries: np.ndarray) -> Found:
        """Entries that agree well enough with queries float32 (Q, KEY)."""
        ...

    def forget(self, entries: np.ndarray) -> None:
        """Find these entries, int64 (M,), no more."""
        ...


class Exact:
    """Compares every query with every key; at most ``many`` entries for a query that hardly differ from the best.

    Args:
        read: gives keys.
        count: how many there are.
        least: smallest cosine.
        many: entries for a query.
    """

    def __init__(self, read: Read, count: int, *, least: float, many: int) -> None:
        self._keys = np.empty((count, KEY), np.float16)
        for part in _parts(count):
            self._keys[part] = read(part)
        self._least, self._many = least, many

    def search(self, queries: np.ndarray) -> Found:
        """See :class:`Nearest`."""
        found: list[Found] = []
        for part in _parts(len(self._keys)):
            scores = queries @ self._keys[part].astype(np.float32).T
            query, entry = np.nonzero(scores >= self._least)
            found.append((query, part[entry], scores[query, entry]))
        query, entry, score = (np.concatenate(each) for each in zip(*found, strict=True))
        order = np.lexsort((-score, query))
        query, entry, score = query[order], entry[order], score[order]
        place = np.arange(len(query)) - np.searchsorted(query, query)
        kept = place < self._many  # thousands of look-alikes: their best are enough
        return query[kept], entry[kept], score[kept]

    def forget(self, entries: np.ndarray) -> None:
        """See :class:`Nearest`."""
        self._keys[entries] = 0


class Inverted:
    """FAISS's inverted file: keys in lists around centres, of which the nearest few are looked into.

    Args:
        read, count, least, many: as of :class:`Exact`.
        progress: called with (done, of how much) while the index is made.
    """

    def __init__(self, read: Read, count: int, *, least: float, many: int, progress: Progress | None = None) -> None:
        import faiss

        self._least, self._many = least, many
        lists = max(1, int(4 * np.sqrt(count)))
        sample = np.random.default_rng(0).choice(count, min(count, _PER_LIST * lists), replace=False)
        parts = list(_parts(count))
        tell = progress or (lambda done, total: None)
        total = _ROUNDS + len(parts)
        self._centres = faiss.IndexFlatIP(KEY)  # the index does not own it
        sample = read(np.sort(sample))
        centres = None
        for done in range(_ROUNDS):
            centres = _centres(sample, lists, centres)
            tell(done + 1, total)
        self._centres.add(centres)
        self._index: Any = faiss.IndexIVFScalarQuantizer(
            self._centres, KEY, lists, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT, False
        )
        self._index.train(centres)
        for done, part in enumerate(parts, start=_ROUNDS + 1):
            self._index.add(read(part))
            tell(done, total)
        self._index.nprobe = _PROBED

    def search(self, queries: np.ndarray) -> Found:
        """See :class:`Nearest`."""
        scores, entries = self._index.search(np.ascontiguousarray(queries), self._many)
        query, place = np.nonzero((scores >= self._least) & (entries >= 0))
        return query, entries[query, place], scores[query, place]

    def forget(self, entries: np.ndarray) -> None:
        """See :class:`Nearest`."""
        self._index.remove_ids(np.ascontiguousarray(entries, np.int64))


def _centres(sample: np.ndarray, lists: int, centres: np.ndarray | None) -> np.ndarray:
    """One round of k-means on the sphere; the first one draws the centres."""
    import faiss

    means = faiss.Kmeans(
        KEY, lists, niter=1, spherical=True, seed=1, min_points_per_centroid=1, max_points_per_centroid=_PER_LIST
    )
    means.train(sample, init_centroids=centres)
    return np.asarray(means.centroids)


def _parts(count: int) -> Iterator[np.ndarray]:
    """All numbers below ``count``, some at a time; at least one part, which may be empty."""
    for start in range(0, max(count, 1), _AT_ONCE):
        yield np.arange(start, min(start + _AT_ONCE, count))
