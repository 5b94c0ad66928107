"""The tables of a node's queue, in SQLite: what was acknowledged is there after a power cut."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from tumorlens.errors import EnvironmentFailure
from tumorlens.io.atomic import database_full

_SCHEMA = 1
_TABLES = """
CREATE TABLE IF NOT EXISTS instance (
    sop TEXT PRIMARY KEY, series TEXT NOT NULL, study TEXT NOT NULL, file TEXT NOT NULL, received REAL NOT NULL);
CREATE INDEX IF NOT EXISTS instance_series ON instance (series);
CREATE TABLE IF NOT EXISTS series (
    uid TEXT PRIMARY KEY, state TEXT NOT NULL, changed REAL NOT NULL, attempts INTEGER NOT NULL DEFAULT 0, reason TEXT);
CREATE TABLE IF NOT EXISTS outbox (
    sop TEXT NOT NULL, destination TEXT NOT NULL, file TEXT NOT NULL, series TEXT NOT NULL, state TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0, due REAL NOT NULL, PRIMARY KEY (sop, destination));
CREATE INDEX IF NOT EXISTS outbox_due ON outbox (destination, state, due);
CREATE TABLE IF NOT EXISTS begun (series TEXT PRIMARY KEY);
"""


def opened(folder: Path, name: str) -> sqlite3.Connection:
    """The database of a folder, made when it is not there.

    Raises:
        EnvironmentFailure: when it cannot be written, or is of another version.
    """
    try:
        base = sqlite3.connect(folder / name, isolation_level=None, check_same_thread=False, timeout=30)
        base.execute("PRAGMA journal_mode=WAL")
        base.execute("PRAGMA synchronous=FULL")
        version = base.execute("PRAGMA user_version").fetchone()[0]
        if version not in (0, _SCHEMA):
            raise EnvironmentFailure(
                f"{folder} holds a queue of version {version}; this version of tumorlens reads {_SCHEMA}",
                hint="let the version that wrote it finish it, or name another folder",
                code="unknown_schema",
            )
        base.executescript(f"{_TABLES} PRAGMA user_version={_SCHEMA};")
    except sqlite3.Error as error:
        full = database_full(error)
        raise EnvironmentFailure(
            f"the queue in {folder} cannot be opened: {error}",
            hint="free some space on its disk" if full else "name another folder",
            code="disk_full" if full else "not_writable",
        ) from None
    return base
