"""One process per run folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tumorlens.errors import UsageError
from tumorlens.io.atomic import writing

# Left in the folder: it also marks a folder as one that a run has made.
LOCK = "run.lock"


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
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(
                f"{folder} is running", hint="wait until it has ended, or stop it first", code="running"
            ) from None
        except OSError:  # a file system without locks
            yield
            return
        yield
