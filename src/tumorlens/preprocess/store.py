"""The files of the image cache, safe under several processes and under a kill.

One data file per form holds records of a fixed size one after another; an SQLite index says which content is in which
slot. A process appends only inside a write transaction of the index and commits after the data is in the file, so a
killed process leaves at most a tail that nobody refers to and that the next writer overwrites. What a file holds is
remembered by its size and time of change, as git's index does, so that an unchanged file is not even opened again.

The index names its data file, so that an index that was built anew never refers to the images of an older one.
"""

from __future__ import annotations

import os
import sqlite3
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tumorlens.data.manifest import Skipped
from tumorlens.errors import EnvironmentFailure
from tumorlens.io.atomic import database_full, writing
from tumorlens.preprocess.form import Form, bytes_of
from tumorlens.preprocess.stack import Stack
from tumorlens.preprocess.unfit import Unfit

Slots = dict[tuple[str | None, int], int]

# Raise when the tables or the meaning of a digest change: older files are then left alone.
_FORMAT = 3
_SCHEMA = """
CREATE TABLE IF NOT EXISTS data (name TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS files (path TEXT PRIMARY KEY, stamp TEXT NOT NULL, digest TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS images (digest TEXT, frame INTEGER, slot INTEGER NOT NULL, PRIMARY KEY (digest, frame))
    WITHOUT ROWID;
"""
# What SQLite says when the machine refuses; anything else it says is about the content of the index.
_REFUSED = frozenset(
    {
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
    }
)


class Damaged(Exception):
    """The index is no index, or speaks of images that the data file does not hold."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """What became of one file.

    Attributes:
        path: as the rows name it.
        stamp: of the file while it was read.
        digest: of its content; empty when it could not be read.
        images: frame (-1: a single image) → its record, or why it is not worth one.
        problems: row id → why it cannot be used.
    """

    path: str
    stamp: str
    digest: str
    images: dict[int, np.ndarray | Unfit]
    problems: dict[str, Skipped]


class Store:
    """The open cache of one form.

    Raises:
        Damaged: from every method; then :func:`discard` it and begin again.
        EnvironmentFailure: when it cannot be written (disk full, no permission).
    """

    def __init__(self, folder: str | os.PathLike[str], form: Form) -> None:
        self._base = Path(folder)
        self._form, self._bytes = form, bytes_of(form)
        with writing(self._base):
            self._base.mkdir(parents=True, exist_ok=True)
        with self._speaking():
            # isolation_level None: transactions begin and end exactly where this file says.
            self._index = sqlite3.connect(_index_file(folder, form), timeout=600, isolation_level=None)
            try:
                self._index.execute("PRAGMA journal_mode=WAL")
                self._index.executescript(_SCHEMA)
                self._data = self._base / self._data_name(_stem(form))
                self._check(self._free())
            except BaseException:
                self._index.close()
                raise

    def close(self) -> None:
        """Let go of the index; stacks of images stay usable."""
        self._index.close()

    def known(self, paths: Iterable[str]) -> tuple[dict[str, str], Slots]:
        """Digests of the files that have not changed since they were last read, and every cached image's slot."""
        with self._speaking():
            remembered = {
                path: (stamp, digest)
                for path, stamp, digest in self._index.execute("SELECT path, stamp, digest FROM files")
            }
            slots: Slots = {
                (digest, frame): slot
                for digest, frame, slot in self._index.execute("SELECT digest, frame, slot FROM images")
            }
        digests: dict[str, str] = {}
        stamps: dict[str, str] = {}
        for path in paths:
            file = path.partition("!")[0]
            if file not in stamps:
                stamps[file] = stamp_of(path)
            found = remembered.get(os.path.abspath(path))
            if found and found[0] == stamps[file] != "":
                digests[path] = found[1]
        return digests, slots

    def append(self, ready: Sequence[Decoded]) -> tuple[dict[str, str], Slots]:
        """Keep what was decoded.

        Returns:
            Digest of each path, and the slot of each of its images.
        """
        digests: dict[str, str] = {}
        slots: Slots = {}
        with self._speaking(), writing(self._data), self._writing_alone():
            free = self._free()
            handle = os.open(self._data, os.O_RDWR | os.O_CREAT, 0o666)
            with os.fdopen(handle, "r+b") as data:
                self._check(free)
                data.seek(free * self._bytes)
                for item in ready:
                    if not item.digest:
                        continue
                    digests[item.path] = item.digest
                    self._index.execute(
                        "INSERT OR REPLACE INTO files VALUES (?, ?, ?)",
                        (os.path.abspath(item.path), item.stamp, item.digest),
                    )
                    for frame, image in item.images.items():
                        key = (item.digest, frame)
                        row = self._index.execute(
                            "SELECT slot FROM images WHERE digest = ? AND frame = ?", key
                        ).fetchone()
                        if row is None:
                            row = (int(image) if isinstance(image, Unfit) else free,)
                            self._index.execute("INSERT INTO images VALUES (?, ?, ?)", (*key, *row))
                            if not isinstance(image, Unfit):
                                data.write(image.tobytes())
                                free += 1
                        slots[key] = row[0]
                data.flush()
                os.fsync(data.fileno())
        return digests, slots

    def stack(self, order: np.ndarray) -> Stack:
        """The records in the slots ``order``, int64 (N,)."""
        if len(order) == 0:
            return Stack(np.zeros((0, *self._form.shape), self._form.dtype), order)
        self._check(int(order.max()) + 1)
        whole = self._data.stat().st_size // self._bytes
        return Stack(np.memmap(self._data, self._form.dtype, mode="r", shape=(whole, *self._form.shape)), order)

    def _data_name(self, stem: str) -> str:
        ask = "SELECT name FROM data"
        found = self._index.execute(ask).fetchone()
        if found is None:
            with writing(self._base), self._writing_alone():
                found = self._index.execute(ask).fetchone()  # another process may have been faster
                if found is None:
                    for orphan in self._base.glob(f"{stem}-*.u8"):  # of an index that was deleted
                        orphan.unlink(missing_ok=True)
                    found = (f"{stem}-{uuid.uuid4().hex[:8]}.u8",)
                    self._index.execute("INSERT INTO data VALUES (?)", found)
        return str(found[0])

    def _free(self) -> int:
        return int(self._index.execute("SELECT COALESCE(MAX(slot) + 1, 0) FROM images").fetchone()[0])

    def _check(self, count: int) -> None:
        """The data file holds ``count`` images: it may have been deleted or cut off while the index was not."""
        try:
            held = self._data.stat().st_size
        except FileNotFoundError:
            held = 0
        if held < count * self._bytes:
            raise Damaged(f"{self._data} holds {held} bytes, fewer than {count} images")

    @contextmanager
    def _writing_alone(self) -> Iterator[None]:
        """The write lock of all processes that share this cache; committed at the end, undone on any error."""
        self._index.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._index.execute("COMMIT")
        except BaseException:
            if self._index.in_transaction:  # SQLite itself has ended it when the disk is full
                self._index.execute("ROLLBACK")
            raise

    @contextmanager
    def _speaking(self) -> Iterator[None]:
        """Tell a machine that refuses from an index that is damaged."""
        try:
            yield
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorcode & 0xFF not in _REFUSED:
                raise Damaged(str(error)) from error
            raise EnvironmentFailure(
                f"cannot write the image cache {self._base}: {error}",
                hint="free some space, or point TUMORLENS_CACHE at another folder",
                code="disk_full" if database_full(error) else "environment",
            ) from error


def discard(folder: str | os.PathLike[str], form: Form) -> None:
    """Delete the cache of one form; it is made again from the files it came from.

    Raises:
        EnvironmentFailure: when it cannot be deleted.
    """
    index = _index_file(folder, form)
    with writing(folder):
        for path in (index, Path(f"{index}-wal"), Path(f"{index}-shm"), *Path(folder).glob(f"{_stem(form)}-*.u8")):
            path.unlink(missing_ok=True)


def stamp_of(path: str) -> str:
    """What changes when the file behind a path (of a member: its archive) is changed or replaced; empty: no file."""
    try:
        status = os.stat(path.partition("!")[0])
    except (OSError, ValueError):
        return ""
    return f"{status.st_size}-{status.st_mtime_ns}-{status.st_ino}"


def _stem(form: Form) -> str:
    return f"{form.key}-v{_FORMAT}"


def _index_file(folder: str | os.PathLike[str], form: Form) -> Path:
    return Path(folder) / f"{_stem(form)}.sqlite"
