"""Every slice of a data set in the recipe's form: from the cache where it is there, else decoded and kept."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass

import numpy as np

from tumorlens import io
from tumorlens.data.manifest import Manifest, Row, Skipped, skip
from tumorlens.errors import EnvironmentFailure, InputError
from tumorlens.preprocess.form import Form, Picture
from tumorlens.preprocess.interrupted import finished
from tumorlens.preprocess.recipe import Recipe
from tumorlens.preprocess.stack import Stack
from tumorlens.preprocess.store import Damaged, Decoded, Slots, Store, discard, stamp_of
from tumorlens.preprocess.unfit import Unfit

_CHUNK = 256
_TICK = 32  # files between two steps of the progress bar
# How often a file is read that changes while it is read (a copy in progress) before it is given up.
_READS = 3
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Standardised:
    """A data set ready for a network.

    Attributes:
        manifest: the rows that could be used; what could not is in its ``skipped``.
        images: uint8 (N, S, S) in the order of the rows; read from the cache only where it is looked at.
        digests: SHA-256 of each row's file, for fingerprints and exact duplicates.
    """

    manifest: Manifest
    images: Stack
    digests: tuple[str, ...]

    def part(self, split: str) -> Standardised:
        """The rows of one split."""
        return self.choose([i for i, row in enumerate(self.manifest) if row.split == split])

    def choose(self, rows: Sequence[int]) -> Standardised:
        """The rows with these numbers, in this order."""
        manifest = self.manifest.with_rows(self.manifest.rows[i] for i in rows)
        return Standardised(manifest, self.images.choose(rows), tuple(self.digests[i] for i in rows))


def standardise_all(
    manifest: Manifest, recipe: Recipe, folder: str | os.PathLike[str], progress: Progress | None = None
) -> Standardised:
    """Every slice of a data set in the recipe's form, from the cache where it is there.

    What cannot be a slice (:mod:`tumorlens.preprocess.unfit`) is left out, as the padding of a volume is.

    Args:
        manifest: which slices.
        recipe: in which form.
        folder: the cache; made when missing. Deleting it, or a part of it, is always safe.
        progress: called with (done, total) from time to time.

    Raises:
        EnvironmentFailure: when the cache cannot be written (disk full, no permission).
    """
    return keep_all(manifest, Picture(recipe), folder, progress)


def keep_all(
    manifest: Manifest, form: Form, folder: str | os.PathLike[str], progress: Progress | None = None
) -> Standardised:
    """The same for records of any form; they are in the result's ``images``."""
    for _ in range(2):  # a damaged cache is built anew, once
        try:
            with closing(Store(folder, form)) as store:
                return _fill(store, manifest, form, progress)
        except Damaged:
            discard(folder, form)
    raise EnvironmentFailure(
        f"the image cache {folder} is damaged, and was damaged again as soon as it was made",
        hint="point TUMORLENS_CACHE at another folder",
    )


def _fill(store: Store, manifest: Manifest, form: Form, progress: Progress | None) -> Standardised:
    by_path: dict[str, list[Row]] = defaultdict(list)
    for row in manifest:
        by_path[row.path].append(row)
    digests, slots = store.known(by_path)
    missing = [path for path in by_path if any((digests.get(path), _frame(row)) not in slots for row in by_path[path])]
    failed = _make(store, form, missing, by_path, digests, slots, progress)
    for row in manifest:
        if row.id not in failed and (slot := slots[digests[row.path], _frame(row)]) < 0:
            failed[row.id] = Skipped(row.id, Unfit(slot).code, f"{row.id}: {Unfit(slot).reason}")
    usable = manifest.without(tuple(failed.values()), set(failed))
    order = np.array([slots[digests[row.path], _frame(row)] for row in usable], dtype=np.int64)
    return Standardised(usable, store.stack(order), tuple(digests[row.path] for row in usable))


def _make(
    store: Store,
    form: Form,
    missing: Sequence[str],
    by_path: dict[str, list[Row]],
    digests: dict[str, str],
    slots: Slots,
    progress: Progress | None,
) -> dict[str, Skipped]:
    """Decode the missing files, make their records and append them to the cache, chunk by chunk.

    What has been made when a person presses Ctrl-C is kept before the program ends.
    """
    failed: dict[str, Skipped] = {}
    done = len(by_path) - len(missing)
    chunks = [missing[start : start + _CHUNK] for start in range(0, len(missing), _CHUNK)]
    begun: list[Future[Decoded]] = []  # and not in the cache yet

    def keep(ready: list[Decoded]) -> None:
        new_digests, new_slots = store.append(ready)
        digests.update(new_digests)
        slots.update(new_slots)

    with ThreadPoolExecutor(max_workers=min(16, os.cpu_count() or 1)) as pool:

        def begin(number: int) -> None:
            if number < len(chunks):
                begun.extend(pool.submit(_read, path, by_path[path], form) for path in chunks[number])

        try:
            begin(0)
            for number, chunk in enumerate(chunks):
                ready = []
                for future in tuple(begun):
                    ready.append(future.result())
                    if progress and len(ready) % _TICK == 0:
                        progress(done + len(ready), len(by_path))
                # The next chunk is decoded while this one is written: a disk's wait costs no processor time.
                begin(number + 1)
                keep(ready)
                del begun[: len(chunk)]
                for item in ready:
                    failed.update(item.problems)
                done += len(chunk)
                if progress:
                    progress(done, len(by_path))
        except KeyboardInterrupt:
            keep(finished(begun))
            raise
    return failed


def _read(path: str, rows: Sequence[Row], form: Form) -> Decoded:
    """Decode a file whose stamp is the same before and after: its digest and its pixels are of one content."""
    for _ in range(_READS):
        stamp = stamp_of(path)
        found = _decode(path, stamp, rows, form)
        if stamp_of(path) == stamp:
            return found
    return Decoded(
        path, "", "", {}, {row.id: Skipped(row.id, "changed", f"{path} was changed while it was read") for row in rows}
    )


def _decode(path: str, stamp: str, rows: Sequence[Row], form: Form) -> Decoded:
    images: dict[int, np.ndarray | Unfit] = {}
    problems: dict[str, Skipped] = {}
    try:
        digest = io.digest(path)
    except InputError as error:
        return Decoded(path, stamp, "", {}, {row.id: skip(row.id, error) for row in rows})
    for row in rows:
        try:
            pixels = io.read_slice(path, row.frame).pixels
        except InputError as error:
            problems[row.id] = skip(row.id, error)
            continue
        images[_frame(row)] = Unfit.BLANK if pixels.min() == pixels.max() else form.make(pixels)
    return Decoded(path, stamp, digest, images, problems)


def _frame(row: Row) -> int:
    return -1 if row.frame is None else row.frame
