"""A file of answers and what is known about it, so that a run that was killed at any moment can go on.

Lines go into FILE; beside it ``FILE.state`` (SQLite) says how far FILE was written, which inputs these lines are about,
and what has to be kept of slices until their series is complete. About once a second, while answers come, FILE is
flushed to the disk, then the database commits. What FILE holds beyond the last commit is cut off when the run goes on,
and asked again. When the run has ended, only the settings and the counts stay in the state: it says that FILE is
complete.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

from tumorlens.errors import EnvironmentFailure, UsageError
from tumorlens.io.atomic import database_full, writing
from tumorlens.pipeline.answering import Part

SUFFIX = ".state"
_SCHEMA = 2
_OURS = 0x544C4153  # PRAGMA application_id
_TABLES = """
CREATE TABLE about (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE done (key BLOB PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE slice (number INTEGER PRIMARY KEY, series BLOB NOT NULL, kept TEXT NOT NULL);
CREATE INDEX slice_series ON slice (series);
CREATE TABLE root (
    name BLOB PRIMARY KEY, answered INTEGER NOT NULL, passed INTEGER NOT NULL, example BLOB NOT NULL) WITHOUT ROWID;
"""
_SECONDS = 1.0


class Ledger:
    """FILE and FILE.state, open for one process; to be used in a ``with`` statement.

    Args:
        out: FILE.
        settings: what makes answers comparable; a run that goes on must have the same.
        head: what FILE begins with.
        resume: go on, where there is something to go on with.

    Attributes:
        before: how many inputs had been answered when it was opened.
        going_on: there is a run to go on with.
        complete: that run has ended; nothing is to be done.

    Raises:
        UsageError: ``exists``; ``running`` when another process has it; ``other_run`` for other settings.
        EnvironmentFailure: when it cannot be written; ``changed`` when FILE is shorter than it was.
    """

    def __init__(self, out: Path, settings: Mapping[str, str], head: str, *, resume: bool) -> None:
        self._out, self._state = out, state_of(out)
        self.going_on = resume and out.exists() and self._state.exists()
        if out.exists() and not self.going_on:
            raise _exists(out, self._state)
        with writing(out):
            out.parent.mkdir(parents=True, exist_ok=True)
        self._file: BinaryIO | None = None
        self._begun: set[bytes] = set()
        self.before = 0
        self._base = self._opened()
        try:
            with self._failing():
                if not self.going_on:
                    self._begin(settings)
                self._check(settings)
                self._about = {name: int(value) for name, value in self._all() if name in _COUNTS}
                self.complete = bool(self._about["complete"])
                if not self.complete:
                    self.before = self._base.execute("SELECT COUNT(*) FROM done").fetchone()[0]
                    self._base.execute("BEGIN")
            if not self.complete:
                self._open_file()
        except BaseException:
            self.close()
            raise
        self._committed = time.monotonic()
        if not self._about["offset"]:
            self._write(head)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Without an error the run has ended.

        With one, what was added since the last commit is forgotten, as a kill would do: it may be half there.
        """
        try:
            if error is None and not self.complete:
                self._about["complete"] = 1
                self.commit()
                self._shrink()
        finally:
            self.close()

    @property
    def files(self) -> list[Path]:
        """What is being written."""
        return files_of(self._out)

    @property
    def used(self) -> int:
        """Answers in FILE."""
        return self._about["used"]

    @property
    def failed(self) -> int:
        """Inputs that could not be used."""
        return self._about["failed"]

    def begin(self, keys: Sequence[bytes]) -> set[bytes]:
        """Those inputs among ``keys`` that have no answer yet, and that were not begun before by this process."""
        marks = ", ".join("?" * len(keys))
        with self._failing():
            done = self._base.execute(f"SELECT key FROM done WHERE key IN ({marks})", keys).fetchall()  # noqa: S608
        new = set(keys).difference(self._begun, (row[0] for row in done))
        self._begun |= new
        return new

    def add(self, keys: Iterable[bytes], part: Part) -> None:
        """Write what was answered for some inputs.

        Args:
            keys: of the inputs.
            part: about all of them.
        """
        keys = list(keys)
        self._begun.difference_update(keys)
        self._write(part.text)
        self._about["used"] += part.used
        self._about["failed"] += len(part.failed)
        slices = ((_bytes(one["series"]), json.dumps(one)) for one in part.slices)
        roots = ((_bytes(root), answered, passed, _bytes(one)) for root, (answered, passed, one) in part.roots.items())
        with self._failing():
            self._base.executemany("INSERT OR IGNORE INTO done VALUES (?)", ((key,) for key in keys))
            self._base.executemany("INSERT INTO slice (series, kept) VALUES (?, ?)", slices)
            self._base.executemany(
                "INSERT INTO root VALUES (?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET "
                "answered = answered + excluded.answered, passed = passed + excluded.passed, "
                "example = CASE example WHEN x'' THEN excluded.example ELSE example END",
                roots,
            )
        if time.monotonic() - self._committed > _SECONDS:
            self.commit()

    def series(self) -> Iterator[tuple[str, list[dict[str, Any]]]]:
        """The slices of each series of several files, in the order in which they came."""
        with self._failing():
            several = self._base.execute(
                "SELECT series FROM slice GROUP BY series HAVING COUNT(*) > 1 ORDER BY MIN(number)"
            ).fetchall()
        for (series,) in several:
            with self._failing():
                rows = self._base.execute("SELECT kept FROM slice WHERE series = ? ORDER BY number", (series,))
                slices = [json.loads(row[0]) for row in rows]
            yield _text(series), slices

    def roots(self) -> list[tuple[str, int, int, str]]:
        """Folders and archives: name, answers, files passed over, and one of these."""
        with self._failing():
            rows = self._base.execute("SELECT name, answered, passed, example FROM root ORDER BY name").fetchall()
        return [(_text(name), answered, passed, _text(example)) for name, answered, passed, example in rows]

    def commit(self) -> None:
        """Make all that was added so far outlast a power cut."""
        if self._file is not None:
            with writing(self._out):
                self._file.flush()
                os.fsync(self._file.fileno())
                self._about["offset"] = self._file.tell()
        with self._failing():
            self._base.executemany("INSERT OR REPLACE INTO about VALUES (?, ?)", self._about.items())
            self._base.execute("COMMIT")
            self._base.execute("BEGIN")
        self._committed = time.monotonic()

    def close(self) -> None:
        """Close both; what was not committed is forgotten."""
        try:
            if self._file is not None:
                with suppress(OSError):  # it flushes once more: a full disk has been told of
                    self._file.close()
        finally:
            self._file = None
            self._base.close()

    def _shrink(self) -> None:
        """Remove what a complete run needs no more."""
        with suppress(sqlite3.Error):  # else it takes some room
            self._base.execute("COMMIT")
            for table in ("done", "slice", "root"):
                self._base.execute(f"DROP TABLE {table}")
            self._base.execute("VACUUM")

    def _opened(self) -> sqlite3.Connection:
        with self._failing():
            base = sqlite3.connect(self._state, isolation_level=None, timeout=0)
            try:
                # One process alone, and a journal that needs no memory shared between processes: also on a network.
                base.execute("PRAGMA locking_mode=EXCLUSIVE")
                base.execute("PRAGMA synchronous=FULL")
                base.execute("BEGIN EXCLUSIVE")
                base.execute("COMMIT")
                ours = base.execute("PRAGMA application_id").fetchone()[0]
                version = base.execute("PRAGMA user_version").fetchone()[0]
                tables = base.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()[0]
            except BaseException:
                base.close()
                raise
        if (ours, version) != (_OURS, _SCHEMA) and (tables or ours):
            base.close()
            raise UsageError(
                f"{self._state} is no state that this version of tumorlens can go on with",
                hint=f"write to another file than {self._out}",
                code="exists",
            )
        return base

    def _begin(self, settings: Mapping[str, str]) -> None:
        """A state without answers. One that is there belongs to a file that was removed."""
        for (name,) in self._base.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            self._base.execute(f'DROP TABLE "{name}"')
        self._base.executescript(
            f"BEGIN; {_TABLES} PRAGMA application_id={_OURS}; PRAGMA user_version={_SCHEMA}; COMMIT;"
        )
        about = {**settings, **dict.fromkeys(_COUNTS, "0")}
        self._base.executemany("INSERT INTO about VALUES (?, ?)", about.items())

    def _check(self, settings: Mapping[str, str]) -> None:
        before = dict(self._all())
        other = [name for name, value in settings.items() if before.get(name) != value]
        if other:
            raise UsageError(
                f"{self._out} was begun with another {' and another '.join(other)}: its answers could not be compared",
                hint="give the same options as then, or write to another file",
                code="other_run",
            )

    def _all(self) -> list[tuple[str, str]]:
        return self._base.execute("SELECT name, value FROM about").fetchall()

    def _open_file(self) -> None:
        offset = self._about["offset"]
        with writing(self._out):
            self._out.touch()
            self._file = self._out.open("r+b")
            if self._out.stat().st_size < offset:
                raise EnvironmentFailure(
                    f"{self._out} is shorter than it was when the run stopped: it was changed",
                    hint=f"remove it and {self._state}, and begin again",
                    code="changed",
                )
            self._file.truncate(offset)
            self._file.seek(offset)

    def _write(self, text: str) -> None:
        if self._file is not None:
            with writing(self._out):
                self._file.write(text.encode(errors="backslashreplace"))

    @contextmanager
    def _failing(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            text = str(error)
            if "locked" in text:
                raise UsageError(
                    f"another process is writing {self._out}", hint="wait for it, or name another file", code="running"
                ) from None
            full = database_full(error)
            raise EnvironmentFailure(
                f"{self._state} cannot be used: {text}",
                hint="free some space on its disk" if full else "name another file",
                code="disk_full" if full else "not_writable",
            ) from None


_COUNTS = ("offset", "used", "failed", "complete")


def state_of(out: Path) -> Path:
    """Where the state of a file of answers lies."""
    return out.with_name(out.name + SUFFIX)


def files_of(out: Path) -> list[Path]:
    """All that is written for a file of answers: itself, its state, and SQLite's journal of that."""
    state = state_of(out)
    return [out, state, state.with_name(state.name + "-journal")]


def _exists(out: Path, state: Path) -> UsageError:
    if state.exists():
        hint = "--resume goes on with it, unless it is complete; or name another file"
        return UsageError(f"{out} already exists", hint=hint, code="exists")
    return UsageError(
        f"{out} already exists, without {state.name}, which says what it holds",
        hint="name another file, or remove it",
        code="exists",
    )


def _bytes(text: str) -> bytes:
    """Text as SQLite can hold it: file names need be no text in any encoding."""
    return text.encode(errors="surrogatepass")


def _text(content: bytes) -> str:
    return content.decode(errors="surrogatepass")
