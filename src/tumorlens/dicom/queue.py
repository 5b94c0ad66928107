"""What a node has received and has to send, on disk: what was acknowledged is there after a power cut.

Objects lie as files, written, flushed and renamed before the database names them; the database (SQLite, write-ahead
log, ``synchronous=FULL``) says what has to be done with them. Whatever stops the program, it is started again with the
same folder and goes on. Files are named by a hash, never by what they are about.

States of a series: ``open`` (more may come) → ``closed`` (somebody said that it is complete; or it has been quiet) →
``answered``, or ``refused`` where nothing of it can be answered. A new instance opens it again. States of an object to
send: ``due`` → ``sent``. Which series is being answered is noted down first, so that the next start knows what killed
the program.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import threading
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tumorlens.dicom.tables import opened
from tumorlens.errors import EnvironmentFailure
from tumorlens.io.atomic import atomic_writer, database_full, writing

#: Its name in the folder of a node.
DATABASE = "queue.sqlite"


@dataclass(frozen=True)
class Instance:
    """A received object.

    Attributes:
        sop: SOP Instance UID.
        series: Series Instance UID.
        study: Study Instance UID.
        file: where it lies.
    """

    sop: str
    series: str
    study: str
    file: Path


@dataclass(frozen=True)
class Sending:
    """An object on its way to a destination.

    Attributes:
        sop: SOP Instance UID.
        destination: where to.
        file: where it lies.
        attempts: that failed so far.
    """

    sop: str
    destination: str
    file: Path
    attempts: int


class Queue:
    """The durable queue of a node; for many threads.

    Args:
        folder: where everything lies; made when it is not there. One program at a time may use it.

    Raises:
        EnvironmentFailure: when it cannot be written, or holds a queue of another version.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.RLock()
        with writing(folder):
            for name in ("in", "out"):
                (folder / name).mkdir(parents=True, exist_ok=True)
        self._base = opened(folder, DATABASE)
        with writing(folder):
            self._sweep()

    def close(self) -> None:
        """Close the database."""
        with self._lock:
            self._base.close()

    def receive(self, sop: str, series: str, study: str, content: bytes, now: float | None = None) -> bool:
        """Keep an object; when this returns, it is on the disk.

        Args:
            sop: SOP Instance UID.
            series: Series Instance UID.
            study: Study Instance UID.
            content: DICOM file format.
            now: seconds since the epoch; the clock's when None.

        Returns:
            Whether it is new; one that is there already changes nothing.

        Raises:
            EnvironmentFailure: when it could not be written.
        """
        with self._lock:
            known = self._base.execute("SELECT file FROM instance WHERE sop = ?", (sop,)).fetchone()
        if known and (self.folder / known[0]).is_file():
            return False
        name = f"in/{_name(sop)}.dcm"
        self._write(name, content)
        moment = time.time() if now is None else now
        with self._transaction():
            self._base.execute(
                "INSERT OR REPLACE INTO instance VALUES (?, ?, ?, ?, ?)", (sop, series, study, name, moment)
            )
            self._base.execute(
                "INSERT INTO series (uid, state, changed) VALUES (?, 'open', ?) "
                "ON CONFLICT (uid) DO UPDATE SET state = 'open', changed = excluded.changed, attempts = 0, "
                "reason = NULL",
                (series, moment),
            )
        return True

    def close_series(self, series: str, whole: Collection[str] = ()) -> bool:
        """Note that a series is complete, so that it need not be quiet first.

        Args:
            series: its UID.
            whole: SOP Instance UIDs of all that belongs to it; nothing happens where one of them is missing.

        Returns:
            Whether it was open and is closed now.
        """
        with self._transaction():
            if not self._sops(series).issuperset(whole):
                return False
            changed = self._base.execute(
                "UPDATE series SET state = 'closed' WHERE uid = ? AND state = 'open' AND attempts = 0", (series,)
            )
        return changed.rowcount > 0

    def ready(self, quiet: float, now: float | None = None) -> list[str]:
        """Series that are closed, or that nothing was added to for so many seconds; the oldest first."""
        moment = (time.time() if now is None else now) - quiet
        with self._lock:
            rows = self._base.execute(
                "SELECT uid FROM series WHERE state = 'closed' OR state = 'open' AND changed <= ? ORDER BY changed",
                (moment,),
            ).fetchall()
        return [row[0] for row in rows]

    def instances(self, series: str) -> list[Instance]:
        """What was received of a series, in the order in which it came."""
        with self._lock:
            rows = self._base.execute(
                "SELECT sop, series, study, file FROM instance WHERE series = ? ORDER BY received, sop", (series,)
            ).fetchall()
        return [Instance(sop, one, study, self.folder / file) for sop, one, study, file in rows]

    def begun(self, series: str) -> None:
        """Note that a series is about to be answered, for the case that answering it kills the program."""
        with self._transaction():
            self._base.execute("INSERT OR IGNORE INTO begun VALUES (?)", (series,))

    def ended(self, series: str) -> None:
        """Note that answering a series did not kill the program, whatever came of it."""
        with self._transaction():
            self._base.execute("DELETE FROM begun WHERE series = ?", (series,))

    def killed(self, wait: float, now: float | None = None) -> dict[str, int]:
        """Note that a killed program failed with what it was answering; to be called before anything is begun.

        Args:
            wait: seconds until such a series is tried again; what is ready comes first.
            now: seconds since the epoch; the clock's when None.

        Returns:
            Series UID → how often answering it has failed.
        """
        moment = time.time() if now is None else now
        with self._transaction():
            rows = self._base.execute(
                "SELECT uid, attempts + 1 FROM series JOIN begun ON series = uid WHERE state IN ('open', 'closed')"
            ).fetchall()
            for uid, attempts in rows:
                self._base.execute(
                    "UPDATE series SET state = 'open', attempts = ?, reason = 'crashed', changed = ? WHERE uid = ?",
                    (attempts, moment + wait, uid),
                )
            self._base.execute("DELETE FROM begun")
        return dict(rows)

    def answered(
        self, series: str, seen: Sequence[str], made: Mapping[str, bytes], destinations: Sequence[str]
    ) -> bool:
        """Put what was made of a series into the outbox.

        Args:
            series: its UID.
            seen: SOP Instance UIDs of the instances that were answered.
            made: SOP Instance UID → DICOM file format. What was made and sent before is not sent again.
            destinations: where all of it goes.

        Returns:
            Whether the series is done; not where instances came meanwhile, which it then has to be answered with again.

        Raises:
            EnvironmentFailure: when it could not be written.
        """
        names = {sop: f"out/{_name(sop)}.dcm" for sop in made}
        for sop, content in made.items():
            self._write(names[sop], content)
        with self._transaction():
            if self._sops(series) != set(seen):
                return False
            for sop in made:
                for destination in destinations:
                    self._base.execute(
                        "INSERT OR IGNORE INTO outbox (sop, destination, file, series, state, due) "
                        "VALUES (?, ?, ?, ?, 'due', 0)",
                        (sop, destination, names[sop], series),
                    )
            self._base.execute("UPDATE series SET state = 'answered', reason = NULL WHERE uid = ?", (series,))
        return True

    def refused(self, series: str, seen: Sequence[str], reason: str) -> bool:
        """Note that a series cannot be answered.

        Args:
            series: its UID.
            seen: SOP Instance UIDs of the instances that say so.
            reason: a code.

        Returns:
            Whether the series is done; not where instances came meanwhile.
        """
        with self._transaction():
            if self._sops(series) != set(seen):
                return False
            self._base.execute("UPDATE series SET state = 'refused', reason = ? WHERE uid = ?", (reason, series))
        return True

    def failed(self, series: str, reason: str, wait: float, now: float | None = None) -> int:
        """Note that answering a series failed, and that it is tried again later; returns how often it has."""
        moment = time.time() if now is None else now
        with self._transaction():
            self._base.execute(
                "UPDATE series SET state = 'open', attempts = attempts + 1, reason = ?, changed = ? WHERE uid = ?",
                (reason, moment + wait, series),
            )
            row = self._base.execute("SELECT attempts FROM series WHERE uid = ?", (series,)).fetchone()
        return int(row[0]) if row else 0

    def waiting(self, now: float | None = None) -> list[str]:
        """Destinations that something has to be sent to now; with ``math.inf``, now or later."""
        moment = time.time() if now is None else now
        with self._lock:
            rows = self._base.execute(
                "SELECT DISTINCT destination FROM outbox WHERE state = 'due' AND due <= ? ORDER BY destination",
                (moment,),
            ).fetchall()
        return [row[0] for row in rows]

    def due(self, destination: str, now: float | None = None, most: int = 20) -> list[Sending]:
        """What has to be sent to a destination now, the longest waiting first."""
        moment = time.time() if now is None else now
        with self._lock:
            rows = self._base.execute(
                "SELECT sop, destination, file, attempts FROM outbox WHERE destination = ? AND state = 'due' "
                "AND due <= ? ORDER BY due, sop LIMIT ?",
                (destination, moment, most),
            ).fetchall()
        return [Sending(sop, destination, self.folder / file, attempts) for sop, destination, file, attempts in rows]

    def sent(self, one: Sending, now: float | None = None) -> None:
        """Note that a destination has taken an object, and when: from then on ``due`` is that."""
        moment = time.time() if now is None else now
        with self._transaction():
            self._base.execute(
                "UPDATE outbox SET state = 'sent', due = ? WHERE sop = ? AND destination = ?",
                (moment, one.sop, one.destination),
            )

    def unsent(self, one: Sending, wait: float, now: float | None = None) -> None:
        """Note that a destination has not taken an object, and when to try again."""
        moment = time.time() if now is None else now
        with self._transaction():
            self._base.execute(
                "UPDATE outbox SET attempts = attempts + 1, due = ? WHERE sop = ? AND destination = ?",
                (moment + wait, one.sop, one.destination),
            )

    def counts(self) -> dict[str, dict[str, int]]:
        """How many series and objects are in which state, for people who watch."""
        with self._lock:
            series = dict(self._base.execute("SELECT state, COUNT(*) FROM series GROUP BY state").fetchall())
            outbox = dict(self._base.execute("SELECT state, COUNT(*) FROM outbox GROUP BY state").fetchall())
            received = self._base.execute("SELECT COUNT(*) FROM instance").fetchone()[0]
        return {"series": series, "outbox": outbox, "instances": {"received": received}}

    def forget(self, older: float, now: float | None = None) -> int:
        """Delete the files of series that are done, and whose results were taken by all; that they were there is kept.

        Args:
            older: seconds that the last instance and the last taking lie back.
            now: seconds since the epoch; the clock's when None.

        Returns:
            How many files.
        """
        moment = (time.time() if now is None else now) - older
        done = (
            "JOIN series ON series = uid WHERE series.state IN ('answered', 'refused') AND changed <= ? AND NOT EXISTS "
            "(SELECT 1 FROM outbox AS one WHERE one.series = uid AND (one.state = 'due' OR one.due > ?))"
        )
        with self._lock:
            rows = [
                row
                for table in ("instance", "outbox")
                for row in self._base.execute(
                    f"SELECT DISTINCT file FROM {table} {done}",  # noqa: S608 - fixed names
                    (moment, moment),
                ).fetchall()
            ]
        return sum(_deleted(self.folder / row[0]) for row in rows)

    def _sops(self, series: str) -> set[str]:
        return {row[0] for row in self._base.execute("SELECT sop FROM instance WHERE series = ?", (series,))}

    def _sweep(self) -> None:
        """Delete what a killed program was about to write and has not acknowledged."""
        for folder, table in (("in", "instance"), ("out", "outbox")):
            known = {row[0] for row in self._base.execute(f"SELECT file FROM {table}")}  # noqa: S608 - two fixed names
            for path in (self.folder / folder).iterdir():
                if f"{folder}/{path.name}" not in known:
                    _deleted(path)

    def _write(self, name: str, content: bytes) -> None:
        path = self.folder / name
        with atomic_writer(path) as file:
            file.write(content)
        with writing(path):  # the name itself has to be on the disk, too
            handle = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._lock:
            try:
                self._base.execute("BEGIN IMMEDIATE")
                try:
                    yield
                except BaseException:
                    self._base.execute("ROLLBACK")
                    raise
                self._base.execute("COMMIT")
            except sqlite3.Error as error:
                raise EnvironmentFailure(
                    f"the queue in {self.folder} cannot be written: {error}",
                    hint="free some space on its disk",
                    code="disk_full" if database_full(error) else "not_writable",
                ) from None


def _name(sop: str) -> str:
    return hashlib.sha256(sop.encode()).hexdigest()[:40]


def _deleted(path: Path) -> int:
    try:
        path.unlink()
    except FileNotFoundError:
        return 0
    return 1
