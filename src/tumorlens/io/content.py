"""The encoded bytes of one file or archive member, found by its path and opened with care."""

from __future__ import annotations

import contextlib
import difflib
import io
import itertools
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from tumorlens.errors import InputError
from tumorlens.io.limits import DEFAULT, Limits

_uploads = itertools.count()


@dataclass(frozen=True, slots=True)
class Content:
    """Encoded bytes and what they are called.

    Attributes:
        name: the path as the user wrote it, with any ``!member``.
        file: path on disk, or None when the bytes are in ``data``.
        data: the bytes of an archive member or an upload, else None.
        size: number of encoded bytes.
        inner: what is wanted inside the file (an array of an ``.npz``, a field of a ``.mat``), or empty.
        key: changes when the bytes change; identifies a decoded volume in the cache.
    """

    name: str
    file: str | None
    data: bytes | None
    size: int
    inner: str
    key: tuple[object, ...]

    def head(self, count: int) -> bytes:
        """The first ``count`` bytes, or fewer when there are fewer.

        Raises:
            InputError: ``no_permission``, ``not_found``, ``unreadable``.
        """
        if self.data is not None:
            return self.data[:count]
        with self.open() as file, reading(self.name):
            return file.read(count)

    def bytes(self, limits: Limits = DEFAULT) -> bytes:
        """All bytes.

        Raises:
            InputError: ``too_large``, ``no_permission``, ``not_found``, ``unreadable``.
        """
        if self.data is not None:
            return self.data
        limits.check_bytes(self.name, self.size)
        with self.open() as file, reading(self.name):
            return file.read()

    def open(self) -> BinaryIO:
        """A new binary file object, to be closed by the caller."""
        if self.file is None:
            return io.BytesIO(self.data or b"")
        try:
            return open(self.file, "rb", buffering=0) if self.size < 1 << 20 else open(self.file, "rb")
        except OSError as error:
            raise unopened(self.name, error) from error


def from_file(path: str) -> Content | None:
    """The content of a regular file on disk; None when there is no such path.

    Raises:
        InputError: ``not_found`` for a folder, ``no_permission``, ``empty``, ``not_an_image`` for a device or pipe.
    """
    try:
        found = Path(path).stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:  # ValueError: a NUL byte in the name
        raise unopened(path, error) from error
    if stat.S_ISDIR(found.st_mode):
        raise InputError(f"{path} is a folder, not an image", hint="name a file in it", code="not_found")
    if not stat.S_ISREG(found.st_mode):
        raise InputError(
            f"{path} is a device or a pipe, not a file", hint="save it as a file first", code="not_an_image"
        )
    if found.st_size == 0:
        raise empty(path)
    return Content(path, path, None, found.st_size, "", (path, found.st_mtime_ns, found.st_size))


def from_bytes(data: bytes, name: str, key: tuple[object, ...] | None = None) -> Content:
    """The content of an upload or of an archive member that has been read.

    Raises:
        InputError: ``empty``.
    """
    if not data:
        raise empty(name)
    return Content(name, None, data, len(data), "", key or ("upload", next(_uploads)))


def with_inner(content: Content, name: str, inner: str) -> Content:
    """The same bytes, of which only ``inner`` is wanted."""
    return replace(content, name=name, inner=inner, key=(*content.key, inner))


def empty(name: str) -> InputError:
    """The error for a file of 0 bytes."""
    return InputError(f"{name} is empty (0 bytes)", hint="copy or export it again", code="empty")


def not_found(path: str) -> InputError:
    """The error for a path that does not exist, with the nearest name there is."""
    folder, name = os.path.split(path)
    try:
        close = difflib.get_close_matches(name, os.listdir(folder or "."), n=1)
    except (OSError, ValueError):
        close = []
    hint = f"did you mean {os.path.join(folder, close[0])}?" if close else "check the spelling and the folder"
    return InputError(f"{path} does not exist", hint=hint, code="not_found")


@contextlib.contextmanager
def reading(name: str) -> Iterator[None]:
    """Turn a disk that fails in the middle of a file into :class:`InputError`.

    Raises:
        InputError: ``unreadable``.
    """
    try:
        yield
    except OSError as error:
        raise InputError(
            f"{name!r} cannot be read: {error.strerror or error}",
            hint="is its disk connected, and in order?",
            code="unreadable",
        ) from error


def unopened(name: str, error: Exception) -> InputError:
    """The error for a file that the operating system will not open."""
    if isinstance(error, PermissionError):
        return InputError(
            f"not allowed to read {name}", hint="change the permissions of the file or folder", code="no_permission"
        )
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return InputError(f"{name!r} cannot be opened: {reason}", hint="check the path", code="not_found")
