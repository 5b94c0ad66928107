"""What a node is doing, read from its folder by another program: numbers and reasons, no UID and no address."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import time
from collections import deque
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from tumorlens.dicom.journal import JOURNAL
from tumorlens.dicom.queue import DATABASE
from tumorlens.errors import UsageError
from tumorlens.pipeline.locking import running

_TAIL_BYTES = 64 << 10
_EVENTS = 20


@dataclass(frozen=True)
class NodeStatus:
    """A node at one moment.

    Attributes:
        running: whether a program has the folder.
        received: instances that were ever kept.
        series: state → how many.
        objects: state of the results → how many, over all destinations.
        refusals: reason → series that could not be answered.
        waiting: seconds that the series which waits longest has waited, or None.
        failing: the most attempts that an unsent object has behind it.
        free: bytes free on its disk.
        events: the last of the journal, newest first: time, event, reason.
    """

    running: bool
    received: int = 0
    series: dict[str, int] = field(default_factory=dict)
    objects: dict[str, int] = field(default_factory=dict)
    refusals: dict[str, int] = field(default_factory=dict)
    waiting: float | None = None
    failing: int = 0
    free: int = 0
    events: tuple[dict[str, str], ...] = ()


def status(folder: Path) -> NodeStatus:
    """What the node of a folder is doing.

    Raises:
        UsageError: when no node has ever used the folder.
    """
    try:
        if not (folder / DATABASE).is_file():
            raise UsageError(
                f"{folder} is no folder of a node: it holds no {DATABASE}",
                hint="name what tumorlens dicom-node was given as --data",
                code="not_found",
            )
        return _read(folder)
    except (OSError, sqlite3.Error) as error:
        raise UsageError(
            f"the queue in {folder} cannot be read: {error}",
            hint="let the server run as the user that the node runs as",
            code="corrupt" if isinstance(error, sqlite3.Error) else "no_permission",
        ) from None


def _read(folder: Path) -> NodeStatus:
    with closing(sqlite3.connect(f"{(folder / DATABASE).resolve().as_uri()}?mode=ro", uri=True, timeout=5)) as base:
        series = dict(base.execute("SELECT state, COUNT(*) FROM series GROUP BY state").fetchall())
        objects = dict(base.execute("SELECT state, COUNT(*) FROM outbox GROUP BY state").fetchall())
        refusals = dict(
            base.execute(
                "SELECT COALESCE(reason, ''), COUNT(*) FROM series WHERE state = 'refused' GROUP BY reason"
            ).fetchall()
        )
        (received,) = base.execute("SELECT COUNT(*) FROM instance").fetchone()
        (oldest,) = base.execute("SELECT MIN(changed) FROM series WHERE state IN ('open', 'closed')").fetchone()
        (failing,) = base.execute("SELECT MAX(attempts) FROM outbox WHERE state = 'due'").fetchone()
    return NodeStatus(
        running(folder),
        received,
        series,
        objects,
        refusals,
        None if oldest is None else max(0.0, time.time() - oldest),
        failing or 0,
        shutil.disk_usage(folder).free,
        _events(folder / JOURNAL),
    )


def _events(path: Path) -> tuple[dict[str, str], ...]:
    try:
        with path.open("rb") as file:
            start = max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES)
            file.seek(start)
            lines = file.read().splitlines()[1 if start else 0 :]
    except OSError:
        return ()
    last: deque[dict[str, str]] = deque(maxlen=_EVENTS)
    for line in lines:
        try:
            told = json.loads(line)
            last.appendleft({name: str(told.get(name, "")) for name in ("time", "event", "reason")})
        except (ValueError, AttributeError):
            continue  # a line that a full disk cut off
    return tuple(last)
