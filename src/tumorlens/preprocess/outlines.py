"""Tumour masks framed like the pictures of their slices; for training only.

All masks of a data set are one small file of the cache, named by what they were made from: slices, masks, recipe.
"""

from __future__ import annotations

import hashlib
import io as memory
import os
import zipfile
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tumorlens import io
from tumorlens.data.manifest import Row, Skipped, skip
from tumorlens.errors import InputError
from tumorlens.io.atomic import write_bytes
from tumorlens.labels import NO_TUMOR
from tumorlens.preprocess.cache import Standardised
from tumorlens.preprocess.recipe import Recipe, standardise_mask
from tumorlens.preprocess.store import stamp_of

# Raise when the pixels that `standardise_mask` gives change.
_FORMAT = 3
_MOST_WORKERS = 16
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Outlines:
    """Where the tumour is, as far as that is known.

    Attributes:
        masks: uint8 (M, size, size): of the slices that have one, the share of each cell that is tumour, in 255ths.
        place: int64 (N,): which of them is a slice's; -1 for none, and for a slice without a tumour.
        known: bool (N,): whether it is known where the tumour is. It is for a slice with a mask, and for one without a
            tumour, which may bring an empty mask.
        problems: of the masks that could not be used.
    """

    masks: np.ndarray
    place: np.ndarray
    known: np.ndarray
    problems: tuple[Skipped, ...] = ()

    def of(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """The masks of some slices, uint8 (B, size, size): zeros where there is no tumour, or nothing is known."""
        places = self.place[np.asarray(indices, np.int64)]
        found = np.zeros((len(places), *self.masks.shape[1:]), np.uint8)
        found[places >= 0] = self.masks[places[places >= 0]]
        return found

    def choose(self, indices: Sequence[int]) -> Outlines:
        """Those of some slices; no mask is copied."""
        return Outlines(self.masks, self.place[indices], self.known[indices], self.problems)


def outline_all(
    ready: Standardised, recipe: Recipe, size: int, folder: str | os.PathLike[str], progress: Progress | None = None
) -> Outlines:
    """The tumour masks of a data set, from the cache where they are there.

    Args:
        ready: the slices.
        recipe: that they were standardised with.
        size: height and width of the result; usually the recipe's.
        folder: the cache. Deleting it, or a part of it, is always safe.
        progress: called with (done, total) from time to time.

    Raises:
        EnvironmentFailure: when the cache cannot be written (disk full, no permission).
    """
    rows = ready.manifest.rows
    every = [i for i, row in enumerate(rows) if row.mask]
    masked = [i for i in every if rows[i].label != NO_TUMOR]
    place = np.full(len(rows), -1, np.int64)
    known = np.array([row.label == NO_TUMOR for row in rows], bool)
    path = Path(folder) / f"{_name(ready, every, recipe, size)}.npz"
    kept = _kept(path, (len(masked), size, size))
    if kept is not None:
        place[masked], known[masked] = np.arange(len(masked)), True
        return Outlines(kept, place, known)
    masks = np.zeros((len(masked), size, size), np.uint8)
    problems: list[Skipped] = []
    number = 0
    with ThreadPoolExecutor(max_workers=min(_MOST_WORKERS, os.cpu_count() or 1)) as pool:
        made = pool.map(lambda i: _outline(rows[i], recipe, size), every)
        for done, (index, found) in enumerate(zip(every, made, strict=True), start=1):
            known[index] = not isinstance(found, Skipped)
            if isinstance(found, Skipped):
                problems.append(found)
            elif found is not None:
                masks[number], place[index] = found, number
                number += 1
            if progress:
                progress(done, len(every))
    if every and not problems:  # what could not be read may be put right, and is tried again
        content = memory.BytesIO()
        np.savez_compressed(content, masks=masks)  # mostly zeros
        write_bytes(path, content.getvalue())
    return Outlines(masks, place, known, tuple(problems))


def usable(row: Row) -> bool:
    """Whether a slice's mask shows a tumour and can be used; both are read."""
    return isinstance(_read(row), tuple)


def _outline(row: Row, recipe: Recipe, size: int) -> np.ndarray | Skipped | None:
    found = _read(row)
    return standardise_mask(*found, recipe, size) if isinstance(found, tuple) else found


def _read(row: Row) -> tuple[np.ndarray, np.ndarray] | Skipped | None:
    """Pixels and mask; None for the empty mask of a slice without a tumour; or why the mask is of no use."""
    try:
        pixels = io.read_slice(row.path, row.frame).pixels
        mask = io.read_mask(row.mask, row.frame)
    except InputError as error:
        return skip(row.id, error)
    wide, tall = mask.shape[1] * pixels.shape[0], mask.shape[0] * pixels.shape[1]
    if abs(wide - tall) > max(wide, tall) / 100:
        return Skipped(row.id, "mask", f"{row.mask} has other proportions than {row.id}")
    healthy, empty = row.label == NO_TUMOR, not mask.any()
    if healthy != empty:
        what = "empty" if empty else "not empty"
        return Skipped(row.id, "mask", f"{row.mask} is {what}, and {row.id} is labelled {row.label}")
    return None if healthy else (pixels, mask)


def _name(ready: Standardised, masked: Sequence[int], recipe: Recipe, size: int) -> str:
    digest = hashlib.sha256(f"{_FORMAT} {recipe.key} {size}".encode())
    for index in masked:
        row = ready.manifest.rows[index]
        healthy = row.label == NO_TUMOR
        made_of = (ready.digests[index], row.frame, healthy, os.path.abspath(row.mask), stamp_of(row.mask))
        digest.update(repr(made_of).encode(errors="surrogateescape"))
    return f"masks-{digest.hexdigest()[:24]}"


def _kept(path: Path, shape: tuple[int, ...]) -> np.ndarray | None:
    """The file's content; None where it is missing or damaged."""
    try:
        with np.load(path, allow_pickle=False) as file:
            kept = file["masks"]
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error):
        return None
    return np.asarray(kept) if kept.shape == shape and kept.dtype == np.uint8 else None
