"""Standardised images kept on disk by content hash and recipe, safe under several processes and under a kill.

One data file per recipe holds images of a fixed size one after another; an SQLite index says which content is in which
slot. A process appends only inside a write transaction of the index and commits after the data is in the file, so a
killed process leaves at most a tail that nobody refers to and that the next writer overwrites. What a file holds is
remembered by its size and time of change, as git's index does, so that an unchanged file is not even opened again.
"""

from __future__ import annotations

import os
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tumorlens import io
from tumorlens.data.manifest import Manifest, Row, Skipped, skip
from tumorlens.errors import EnvironmentFailure, InputError
from tumorlens.io.atomic import writing
from tumorlens.preprocess.recipe import Recipe, standardise
from tumorlens.preprocess.stack import Stack

_SCHEMA = """
CREATE TABLE IF NOT EXISTS files (path TEXT PRIMARY KEY, stamp TEXT NOT NULL, digest TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS images (digest TEXT, frame INTEGER, slot INTEGER NOT NULL, PRIMARY KEY (digest, frame))
    WITHOUT ROWID;
"""
_CHUNK = 256
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


def standardise_all(
    manifest: Manifest, recipe: Recipe, folder: str | os.PathLike[str], progress: Progress | None = None
) -> Standardised:
    """Every slice of a data set in the recipe's form, from the cache where it is there.

    Args:
        manifest: which slices.
        recipe: in which form.
        folder: the cache; made when missing. Deleting it is always safe.
        progress: called with (done, total) from time to time.

    Raises:
        EnvironmentFailure: when the cache cannot be written (disk full, no permission).
    """
    store = Store(folder, recipe)
    return store.fill(manifest, progress)


class Store:
    """The cache of one recipe."""

    def __init__(self, folder: str | os.PathLike[str], recipe: Recipe) -> None:
        self.recipe = recipe
        base = Path(folder)
        self._data = base / f"{recipe.key}.u8"
        self._index = base / f"{recipe.key}.sqlite"
        with writing(base):
            base.mkdir(parents=True, exist_ok=True)

    def fill(self, manifest: Manifest, progress: Progress | None = None) -> Standardised:
        """Read what is cached, make what is not, and return all of it; see :func:`standardise_all`."""
        by_path: dict[str, list[Row]] = defaultdict(list)
        for row in manifest:
            by_path[row.path].append(row)
        try:
            with closing(self._connect()) as index:
                digests, slots = self._known(index, by_path)
                missing = [
                    path
                    for path in by_path
                    if any((digests.get(path), _frame(row)) not in slots for row in by_path[path])
                ]
                failed = self._make(index, missing, by_path, digests, slots, progress)
        except sqlite3.OperationalError as error:
            raise EnvironmentFailure(
                f"cannot write the image cache {self._index.parent}: {error}",
                hint="free some space, or point TUMORLENS_CACHE at another folder",
                code="disk_full" if "full" in str(error) else "environment",
            ) from error
        usable = manifest.without(tuple(failed.values()), set(failed))
        order = np.array([slots[digests[row.path], _frame(row)] for row in usable], dtype=np.int64)
        return Standardised(usable, self._gather(order), tuple(digests[row.path] for row in usable))

    def _connect(self) -> sqlite3.Connection:
        # isolation_level None: transactions begin and end exactly where this file says.
        index = sqlite3.connect(self._index, timeout=600, isolation_level=None)
        index.execute("PRAGMA journal_mode=WAL")
        index.executescript(_SCHEMA)
        return index

    def _known(
        self, index: sqlite3.Connection, paths: Iterable[str]
    ) -> tuple[dict[str, str], dict[tuple[str | None, int], int]]:
        """Digests of the files that have not changed since they were last read, and every cached image's slot."""
        remembered = {
            path: (stamp, digest) for path, stamp, digest in index.execute("SELECT path, stamp, digest FROM files")
        }
        digests: dict[str, str] = {}
        stamps: dict[str, str] = {}
        for path in paths:
            file = path.partition("!")[0]
            stamp = stamps.get(file)
            if stamp is None:
                stamp = stamps[file] = _stamp(file)
            found = remembered.get(_absolute(path))
            if found and found[0] == stamp and stamp:
                digests[path] = found[1]
        slots = {
            (digest, frame): slot for digest, frame, slot in index.execute("SELECT digest, frame, slot FROM images")
        }
        return digests, slots

    def _make(
        self,
        index: sqlite3.Connection,
        missing: Sequence[str],
        by_path: dict[str, list[Row]],
        digests: dict[str, str],
        slots: dict[tuple[str | None, int], int],
        progress: Progress | None,
    ) -> dict[str, Skipped]:
        """Decode and standardise the missing files and append them to the cache, chunk by chunk."""
        failed: dict[str, Skipped] = {}
        done = len(by_path) - len(missing)
        with ThreadPoolExecutor(max_workers=min(16, os.cpu_count() or 1)) as pool:

            def read(chunk: Sequence[str]) -> Iterator[tuple[str, dict[int, np.ndarray], dict[str, Skipped]]]:
                return pool.map(lambda path: self._read(path, by_path[path]), chunk)

            chunks = [missing[start : start + _CHUNK] for start in range(0, len(missing), _CHUNK)]
            # The next chunk is decoded while this one is written: a disk's wait costs no processor time.
            coming = read(chunks[0]) if chunks else iter(())
            for number, chunk in enumerate(chunks):
                ready = list(coming)
                if number + 1 < len(chunks):
                    coming = read(chunks[number + 1])
                self._append(index, chunk, ready, digests, slots)
                for _, _, problems in ready:
                    failed.update(problems)
                done += len(chunk)
                if progress:
                    progress(done, len(by_path))
        return failed

    def _read(self, path: str, rows: Sequence[Row]) -> tuple[str, dict[int, np.ndarray], dict[str, Skipped]]:
        images: dict[int, np.ndarray] = {}
        problems: dict[str, Skipped] = {}
        try:
            digest = io.digest(path)
        except InputError as error:
            return "", {}, {row.id: skip(row.id, error) for row in rows}
        for row in rows:
            try:
                images[_frame(row)] = standardise(io.read_slice(path, row.frame).pixels, self.recipe)
            except InputError as error:
                problems[row.id] = skip(row.id, error)
        return digest, images, problems

    def _append(
        self,
        index: sqlite3.Connection,
        chunk: Sequence[str],
        ready: Sequence[tuple[str, dict[int, np.ndarray], dict[str, Skipped]]],
        digests: dict[str, str],
        slots: dict[tuple[str | None, int], int],
    ) -> None:
        size = self.recipe.size**2
        with writing(self._data):
            index.execute("BEGIN IMMEDIATE")  # the write lock of all processes that share this cache
            try:
                free = index.execute("SELECT COALESCE(MAX(slot) + 1, 0) FROM images").fetchone()[0]
                handle = os.open(self._data, os.O_RDWR | os.O_CREAT, 0o666)
                with os.fdopen(handle, "r+b") as data:
                    data.seek(free * size)
                    for path, (digest, images, _) in zip(chunk, ready, strict=True):
                        if not digest:
                            continue
                        digests[path] = digest
                        index.execute(
                            "INSERT OR REPLACE INTO files VALUES (?, ?, ?)",
                            (_absolute(path), _stamp(path.partition("!")[0]), digest),
                        )
                        for frame, image in images.items():
                            row = index.execute(
                                "SELECT slot FROM images WHERE digest = ? AND frame = ?", (digest, frame)
                            ).fetchone()
                            if row is None:
                                data.write(image.tobytes())
                                index.execute("INSERT INTO images VALUES (?, ?, ?)", (digest, frame, free))
                                row = (free,)
                                free += 1
                            slots[digest, frame] = row[0]
                    data.flush()
                    os.fsync(data.fileno())
                index.execute("COMMIT")
            except BaseException:
                index.execute("ROLLBACK")
                raise

    def _gather(self, order: np.ndarray) -> Stack:
        size = self.recipe.size
        if len(order) == 0:
            return Stack(np.zeros((0, size, size), np.uint8), order)
        raw = np.memmap(self._data, np.uint8, mode="r")
        return Stack(raw[: raw.size // size**2 * size**2].reshape(-1, size, size), order)


def _frame(row: Row) -> int:
    return -1 if row.frame is None else row.frame


def _absolute(path: str) -> str:
    return os.path.abspath(path)


def _stamp(file: str) -> str:
    try:
        status = os.stat(file)
    except OSError:
        return ""
    return f"{status.st_size}-{status.st_mtime_ns}-{status.st_ino}"
