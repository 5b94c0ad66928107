"""What a node did, one JSON line after another: by UID, never by a person's name or number."""

from __future__ import annotations

import json
import os
import threading
from datetime import UTC, datetime
from pathlib import Path

from tumorlens.io.atomic import writing

#: Its name in the folder of a node.
JOURNAL = "audit.jsonl"


class Journal:
    """An append-only log file.

    Args:
        path: of the file.

    Raises:
        EnvironmentFailure: when it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        with writing(path):
            self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)
        self._closed = False

    def note(self, event: str, **known: str | int | float) -> None:
        """Append an event; a disk that is full, or a journal that is closed, loses the line and nothing else."""
        told = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "event": event, **known}
        with self._lock:
            if self._closed:  # its number may be another file's by now
                return
            try:
                os.write(self._file, json.dumps(told, ensure_ascii=True).encode() + b"\n")
            except OSError:
                return

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._closed = True
            os.close(self._file)
