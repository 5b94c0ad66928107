"""Tumour masks framed like the pictures of their slices; for training only.

All masks of a data set are one small file of the cache, named by what they were made from: slices, masks, recipe.
"""

from __future__ import annotations

import hashlib
import io as memory
import os
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
_FORMAT = 1
_MOST_WORKERS = 16
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Outlines:
    """Where the tumour is, as far as that is known.

    Attributes:
        shares: uint8 (N, size, size): the share of each cell that is tumour, in 255ths; zeros where nothing is known.
        known: bool (N,): whether it is. It is for a slice with a mask, and for one without a tumour.
        problems: of the masks that could not be used.
    """

    shares: np.ndarray
    known: np.ndarray
    problems: tuple[Skipped, ...] = ()

    def choose(self, indices: Sequence[int]) -> Outlines:
        """Those of some slices."""
        return Outlines(self.shares[indices], self.known[indices], self.problems)


def outline_all(
    ready: Standardised, recipe: Recipe, size: int, folder: str | os.PathLike[str], progress: Progress | None = None
) -> Outlines:
    """The tumour masks of a data set, from the cache where they are there.

    Args:
        ready: the slices.
        recipe: that they were standardised with.
        size: height and width of the result.
        folder: the cache. Deleting it, or a part of it, is always safe.
        progress: called with (done, total) from time to time.

    Raises:
        EnvironmentFailure: when the cache cannot be written (disk full, no permission).
    """
    rows = ready.manifest.rows
    masked = [i for i, row in enumerate(rows) if row.mask]
    shares = np.zeros((len(rows), size, size), np.uint8)
    known = np.array([row.label == NO_TUMOR for row in rows], bool)
    path = Path(folder) / f"{_name(ready, masked, recipe, size)}.npy"
    kept = _kept(path, (len(masked), size, size))
    if kept is not None:
        shares[masked], known[masked] = kept, True
        return Outlines(shares, known)
    problems = []
    with ThreadPoolExecutor(max_workers=min(_MOST_WORKERS, os.cpu_count() or 1)) as pool:
        made = pool.map(lambda i: _outline(rows[i], recipe, size), masked)
        for done, (index, found) in enumerate(zip(masked, made, strict=True), start=1):
            if isinstance(found, Skipped):
                problems.append(found)
            else:
                shares[index] = found
            known[index] = not isinstance(found, Skipped)
            if progress:
                progress(done, len(masked))
    if masked and not problems:  # what could not be read may be put right, and is tried again
        content = memory.BytesIO()
        np.save(content, shares[masked], allow_pickle=False)
        write_bytes(path, content.getvalue())
    return Outlines(shares, known, tuple(problems))


def _outline(row: Row, recipe: Recipe, size: int) -> np.ndarray | Skipped:
    try:
        pixels = io.read_slice(row.path, row.frame).pixels
        mask = io.read_mask(row.mask, row.frame)
    except InputError as error:
        return skip(row.id, error)
    wide, tall = mask.shape[1] * pixels.shape[0], mask.shape[0] * pixels.shape[1]
    if abs(wide - tall) > max(wide, tall) / 100:
        return Skipped(row.id, "mask", f"{row.mask} has other proportions than {row.id}")
    if not mask.any():
        return Skipped(row.id, "mask", f"{row.mask} is empty, and {row.id} is labelled {row.label}")
    return standardise_mask(pixels, mask, recipe, size)


def _name(ready: Standardised, masked: Sequence[int], recipe: Recipe, size: int) -> str:
    digest = hashlib.sha256(f"{_FORMAT} {recipe.key} {size}".encode())
    for index in masked:
        row = ready.manifest.rows[index]
        made_of = (ready.digests[index], row.frame, os.path.abspath(row.mask), stamp_of(row.mask))
        digest.update(repr(made_of).encode(errors="surrogateescape"))
    return f"masks-{digest.hexdigest()[:24]}"


def _kept(path: Path, shape: tuple[int, ...]) -> np.ndarray | None:
    """The file's content; None where it is missing or damaged."""
    try:
        kept = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return kept if isinstance(kept, np.ndarray) and kept.shape == shape and kept.dtype == np.uint8 else None
