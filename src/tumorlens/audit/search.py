"""Which pictures look alike from afar: nearest neighbours among the keys of all boxes, in all eight orientations.

Small sets are searched exactly, block by block; large ones through FAISS's inverted file (Johnson et al.,
"Billion-scale similarity search with GPUs", IEEE TBD 2019), so that time per picture stays nearly the same.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from tumorlens.audit.look import KEY, TERMS, Looks
from tumorlens.audit.orientation import COUNT, turn_spectra

# The first two boxes (the picture, the head) are looked up; a cropped original answers through its other boxes.
_ASKING: Final = 2
_BLOCK: Final = 256
# Above this many pictures FAISS finds 99.9 % of the same pairs in a sixth of the time.
EXACT_UP_TO: Final = 2_000

Progress = Callable[[int, int], None]


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


def candidates(
    looks: Looks,
    *,
    least: float,
    most: int,
    among: np.ndarray | None = None,
    progress: Progress | None = None,
    exact: bool | None = None,
) -> Candidates:
    """The ``most`` pictures nearest to each picture, where their keys agree by at least ``least``.

    Args:
        looks: records (N,).
        among: numbers of the pictures to search among; all when None.
        least: smallest cosine.
        most: neighbours per picture.
        progress: called with (pictures done, of how many).
        exact: True or False to choose the method; by the number of pictures when None.
    """
    chosen = np.arange(len(looks)) if among is None else np.asarray(among, np.int64)
    owner, box = _entries(looks["count"][chosen])
    owner = chosen[owner]
    keys = np.empty((len(owner), KEY), np.float32)
    for start in range(0, len(owner), 65536):
        part = slice(start, start + 65536)
        keys[part] = looks["keys"][owner[part], box[part]]
    if exact is None:
        exact = len(chosen) <= EXACT_UP_TO or importlib.util.find_spec("faiss") is None
    # A picture's own boxes and those of its neighbours crowd the list: more are asked for than are kept.
    nearest = (_exact if exact else _inverted)(keys, least, 8 * most)
    found: list[np.ndarray] = []
    for start in range(0, len(chosen), _BLOCK):
        asked = chosen[start : start + _BLOCK]
        found.append(_block(looks, asked, owner, box, nearest, most))
        if progress:
            progress(start + len(asked), len(chosen))
    table = np.concatenate(found) if found else np.empty((0, 6))
    table = table[np.argsort(-table[:, 2], kind="stable")]
    return Candidates(
        *(
            table[:, i].astype(kind)
            for i, kind in enumerate((np.int64, np.int64, np.float32, np.int8, np.int8, np.int8))
        )
    )


def _entries(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Owner and box of every key."""
    counts = np.asarray(counts, np.int64)
    owner = np.repeat(np.arange(len(counts)), counts)
    starts = np.repeat(np.cumsum(counts) - counts, counts)
    return owner, np.arange(len(owner)) - starts


# Queries float32 (Q, KEY) → numbers of queries and entries, and their similarity, for all that agree well enough.
Nearest = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray]]


def _exact(keys: np.ndarray, least: float, many: int) -> Nearest:
    def nearest(queries: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        scores = queries @ keys.T
        good = scores >= least
        crowded = np.flatnonzero(good.sum(axis=1) > many)
        if crowded.size:  # thousands of look-alikes: their best are enough
            cut = np.partition(scores[crowded], -many, axis=1)[:, -many]
            good[crowded] &= scores[crowded] >= cut[:, np.newaxis]
        query, entry = np.nonzero(good)
        return query, entry, scores[query, entry]

    return nearest


def _inverted(keys: np.ndarray, least: float, many: int) -> Nearest:
    import faiss

    lists = int(4 * np.sqrt(len(keys)))
    index = faiss.IndexIVFFlat(faiss.IndexFlatIP(KEY), KEY, lists, faiss.METRIC_INNER_PRODUCT)
    index.cp.seed = 1
    sample = np.random.default_rng(0).choice(len(keys), min(len(keys), 40 * lists), replace=False)
    index.train(keys[np.sort(sample)])
    index.add(keys)
    index.nprobe = 12

    def nearest(queries: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        scores, entries = index.search(np.ascontiguousarray(queries), many)
        query, place = np.nonzero((scores >= least) & (entries >= 0))
        return query, entries[query, place], scores[query, place]

    return nearest


def _block(
    looks: Looks,
    asked: np.ndarray,
    owner: np.ndarray,
    box: np.ndarray,
    nearest: Nearest,
    most: int,
) -> np.ndarray:
    """Candidates of the pictures ``asked``: rows of first, second, similarity, orientation, two boxes."""
    spectra = np.asarray(looks["keys"][asked, :_ASKING], np.float32)
    has = np.arange(_ASKING) < looks["count"][asked][:, np.newaxis]
    rows = []
    for orientation in range(COUNT):
        turned = turn_spectra(spectra.reshape(-1, TERMS, TERMS), orientation).reshape(-1, KEY)
        question, entries, scores = nearest(turned)
        picture, asking = question // _ASKING, question % _ASKING
        good = has[picture, asking] & (owner[entries] != asked[picture])
        rows.append(
            np.column_stack(
                [
                    asked[picture[good]],
                    owner[entries[good]],
                    scores[good],
                    np.full(int(good.sum()), orientation),
                    asking[good],
                    box[entries[good]],
                ]
            )
        )
    table = np.concatenate(rows)
    table = table[np.lexsort((-table[:, 2], table[:, 1], table[:, 0]))]
    fresh = np.ones(len(table), bool)  # the best orientation and boxes of each pair
    fresh[1:] = (np.diff(table[:, 0]) != 0) | (np.diff(table[:, 1]) != 0)
    table = table[fresh]
    table = table[np.lexsort((-table[:, 2], table[:, 0]))]
    first = np.searchsorted(table[:, 0], table[:, 0])
    return np.asarray(table[np.arange(len(table)) - first < most])
