"""One process per run folder."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tumorlens.errors import UsageError
from tumorlens.io.atomic import writing

# Left in the folder: it also marks a folder as one that a run has made.
LOCK = "run.lock"
# Somebody who asks whether it is held holds it for an instant.
_TRIES, _PAUSE = 4, 0.05


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Inside, the run folder is this process's alone; the operating system lets go of it when the process ends.

    Raises:
        UsageError: ``running``, when another process has it.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    with writing(folder):
        lock = (folder / LOCK).open("ab")
    with lock:
        for left in reversed(range(_TRIES)):
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if left:
                    time.sleep(_PAUSE)
                    continue
                raise UsageError(
                    f"{folder} is running", hint="wait until it has ended, or stop it first", code="running"
                ) from None
            except OSError:  # a file system without locks
                break
        yield


def running(folder: Path) -> bool:
    """Whether a process holds the folder; nothing is written to find out, and others may ask at the same time.

    Raises:
        OSError: when that may not be read.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        return False
    try:
        lock = (folder / LOCK).open("rb")
    except FileNotFoundError:
        return False
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:  # a file system without locks
            return False
    return False
