"""Writing so that a reader sees the old file or the new one, never half of either."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from tumorlens.errors import EnvironmentFailure

# os.umask can only be read by setting it, which is not safe once there are threads; so once, at import.
_UMASK = os.umask(0)
os.umask(_UMASK)


@contextlib.contextmanager
def atomic_writer(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a temporary file beside ``path``; on success flush it to disk and rename it over ``path``.

    Raises:
        EnvironmentFailure: when the disk is full, read-only or not writable for this user.
    """
    target = Path(path)
    temporary: str | None = None
    with writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.chmod(temporary, 0o666 & ~_UMASK)
            os.replace(temporary, target)
            temporary = None
        finally:
            if temporary is not None:
                with contextlib.suppress(OSError):
                    os.unlink(temporary)


@contextlib.contextmanager
def writing(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turn the operating system's refusals to write at ``path`` into one clear error."""
    try:
        yield
    except OSError as error:
        known = refusal(path, error)
        reason = error.strerror or str(error)
        raise known or EnvironmentFailure(
            f"cannot write to {path}: {reason}", hint="choose another place to write to"
        ) from error


def refusal(path: str | os.PathLike[str], error: OSError) -> EnvironmentFailure | None:
    """The failure behind an error that can only come from writing; None for any other."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return EnvironmentFailure(
            f"no space left on the disk while writing {path}",
            hint="free some space or choose another folder (--out for runs, TUMORLENS_CACHE for the image cache)",
            code="disk_full",
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return EnvironmentFailure(
            f"not allowed to write {path}", hint="choose a folder you may write to", code="no_permission"
        )
    return None


def write_bytes(path: str | os.PathLike[str], content: bytes) -> None:
    """Write a whole file at once, atomically."""
    with atomic_writer(path) as file:
        file.write(content)


def write_text(path: str | os.PathLike[str], content: str) -> None:
    """Write a whole UTF-8 file at once, atomically."""
    write_bytes(path, content.encode())


def write_json(path: str | os.PathLike[str], content: Any) -> None:
    """Write JSON (indented, keys in the order given, no NaN), atomically."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
