"""Writing so that a reader sees the old file or the new one, never half of either."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from tumorlens.errors import EnvironmentFailure

if TYPE_CHECKING:
    import sqlite3

# os.umask can only be read by setting it, which is not safe once there are threads; so once, at import.
_UMASK = os.umask(0)
os.umask(_UMASK)

# Refusals that come from writing only, wherever they are met.
FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
FORBIDDEN = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})


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
    """Turn the operating system's refusals to write at ``path`` into one clear error.

    Raises:
        EnvironmentFailure: ``disk_full``, ``no_permission``, ``not_writable``.
    """
    try:
        yield
    except OSError as error:
        raise refusal(path, error) from error


def database_full(error: sqlite3.Error) -> bool:
    """Whether SQLite refused because there is no space left on the disk."""
    import sqlite3

    return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_FULL


def refusal(path: object, error: OSError) -> EnvironmentFailure:
    """What an operating system's refusal to write at ``path`` means to the user."""
    if error.errno in FULL:
        return EnvironmentFailure(
            f"no space left on the disk while writing {path}",
            hint="free some space or choose another folder (--out for runs, TUMORLENS_CACHE for the image cache)",
            code="disk_full",
        )
    if error.errno in FORBIDDEN:
        return EnvironmentFailure(
            f"not allowed to write {path}", hint="choose a folder you may write to", code="no_permission"
        )
    return EnvironmentFailure(
        f"cannot write to {path}: {error.strerror or error}", hint="name another place", code="not_writable"
    )


def write_bytes(path: str | os.PathLike[str], content: bytes) -> None:
    """Write a whole file at once, atomically."""
    with atomic_writer(path) as file:
        file.write(content)


def write_text(path: str | os.PathLike[str], content: str) -> None:
    """Write a whole UTF-8 file at once, atomically."""
    write_bytes(path, content.encode())


def write_json(path: str | os.PathLike[str], content: Any) -> None:
    """Write JSON (indented, keys in the order given, no NaN), atomically."""
    write_bytes(path, json_bytes(content))


def json_bytes(content: Any) -> bytes:
    """What :func:`write_json` writes."""
    return (json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def replace_folder(fresh: Path, target: Path) -> None:
    """Put the folder ``fresh`` in the place of ``target``; when that fails, what stood there stands there again.

    Raises:
        OSError: when the operating system refuses.
    """
    if not target.exists():
        fresh.rename(target)
        return
    aside = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent))
    old = aside / "old"
    try:
        target.rename(old)
        try:
            fresh.rename(target)
        except OSError:
            old.rename(target)
            raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)
