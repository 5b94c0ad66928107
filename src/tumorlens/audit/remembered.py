"""Comparisons of pictures that were made before, kept beside the image cache: no pair is ever compared twice.

A pair is named by what was compared (the pixels, through which boxes, how turned), so what is remembered holds for any
data set. It is only ever a saving: a file that is damaged, locked or cannot be written costs time and nothing else.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from tumorlens.audit import look, verify
from tumorlens.audit.verify import Agreement

# Seconds of comparing that a kill may cost.
_EVERY: Final = 2.0
_PATIENCE: Final = 10.0  # seconds that another process may hold the table
# Bytes beyond which all is forgotten: some eight million comparisons.
_LARGEST: Final = 400_000_000
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS compared (pair BLOB PRIMARY KEY, median REAL NOT NULL, worst REAL NOT NULL) WITHOUT ROWID
"""

_ASK: Final = "SELECT median, worst FROM compared WHERE pair = ?"


def name(first: bytes, second: bytes, first_box: int, second_box: int, orientation: int) -> bytes:
    """What stands for a comparison: 16 bytes.

    Args:
        first: SHA-256 of the pixels, see :data:`tumorlens.audit.look.LOOK`.
        second: likewise.
        first_box: through which of its boxes the first is seen.
        second_box: likewise.
        orientation: how the first is turned.
    """
    boxes = bytes((first_box, second_box, orientation))
    return hashlib.blake2b(first.ljust(32, b"\0") + second.ljust(32, b"\0") + boxes, digest_size=16).digest()


class Remembered:
    """What is known of pairs; use it in a ``with`` statement, whose end keeps what is new.

    Several processes may share one folder.

    Args:
        folder: the image cache; None keeps everything in memory only.
    """

    def __init__(self, folder: str | os.PathLike[str] | None) -> None:
        self._fresh: dict[bytes, Agreement] = {}
        self._kept = time.monotonic()
        self._path = Path(folder) / f"compared-{look.VERSION}-{verify.VERSION}.sqlite" if folder is not None else None
        self._table: sqlite3.Connection | None = None
        self._open()

    def __enter__(self) -> Remembered:
        return self

    def __exit__(self, *_: object) -> None:
        self.keep()
        self.keep()  # what a damaged file refused goes into the one that has taken its place
        self._close()

    def known(self, pairs: Iterable[bytes]) -> dict[bytes, Agreement]:
        """What is known of some pairs, by their :func:`name`."""
        found: dict[bytes, Agreement] = {}
        with self._forgiving():
            for pair in pairs:
                if pair in self._fresh:
                    found[pair] = self._fresh[pair]
                elif self._table is not None and (row := self._table.execute(_ASK, (pair,)).fetchone()):
                    found[pair] = Agreement(*row)
        return found

    def add(self, pair: bytes, agreement: Agreement) -> None:
        """Remember a comparison; it reaches the disk within a few seconds of work."""
        self._fresh[pair] = agreement
        if time.monotonic() - self._kept > _EVERY:
            self.keep()

    def keep(self) -> None:
        """Write what is new."""
        self._kept = time.monotonic()
        if self._table is None or not self._fresh:
            return
        rows = [(pair, agreement.median, agreement.worst) for pair, agreement in self._fresh.items()]
        with self._forgiving():
            with self._table:  # committed at the end, undone on any error and on Ctrl-C
                self._table.execute("BEGIN IMMEDIATE")
                self._table.executemany("INSERT OR REPLACE INTO compared VALUES (?, ?, ?)", rows)
            self._fresh.clear()

    def _open(self) -> None:
        if self._path is None:
            return
        for _ in range(2):  # a damaged file is begun anew, once
            try:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._table = sqlite3.connect(self._path, timeout=_PATIENCE, isolation_level=None)
                self._table.execute("PRAGMA journal_mode=WAL")
                self._table.execute("PRAGMA synchronous=NORMAL")  # a power cut may cost the last comparisons, no more
                self._table.execute(_SCHEMA)
                self._table.execute("SELECT pair, median, worst FROM compared LIMIT 1").fetchone()
                if self._path.stat().st_size > _LARGEST:
                    self._table.execute("DELETE FROM compared")
                    self._table.execute("VACUUM")
                return
            except (sqlite3.Error, OSError) as error:
                self._close()
                if _refused(error):
                    return
                self._discard()

    @contextlib.contextmanager
    def _forgiving(self) -> Iterator[None]:
        """Whatever the file says, the audit goes on; without it when need be."""
        try:
            yield
        except sqlite3.Error as error:
            self._close()
            if not _refused(error):
                self._discard()
                self._open()

    def _close(self) -> None:
        if self._table is not None:
            with contextlib.suppress(sqlite3.Error):
                self._table.close()
        self._table = None

    def _discard(self) -> None:
        for suffix in ("", "-wal", "-shm"):
            with contextlib.suppress(OSError):
                Path(f"{self._path}{suffix}").unlink(missing_ok=True)


def _refused(error: Exception) -> bool:
    """Whether the machine refuses (disk full, locked, not allowed), rather than the file being damaged."""
    damaged = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
    code = getattr(error, "sqlite_errorcode", None)
    return code is None or code & 0xFF not in (*damaged, sqlite3.SQLITE_ERROR)
