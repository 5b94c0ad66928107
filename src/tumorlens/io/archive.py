"""Members of a zip archive, read in place. Nothing is ever extracted to disk."""

from __future__ import annotations

import os
import stat
import struct
import threading
import zipfile
from collections import OrderedDict
from dataclasses import dataclass
from typing import IO, BinaryIO

from tumorlens.errors import InputError
from tumorlens.io.content import Content
from tumorlens.io.guard import decoding
from tumorlens.io.limits import DEFAULT, Limits, too_large

_OPEN = 4
_SMALL = 1 << 20
_LOCATOR, _RECORD64 = 20, 56  # bytes of the zip64 end-of-directory locator and of its record
_TAIL = 65_600  # bytes: an end record with the longest comment
_lock = threading.Lock()
_open: OrderedDict[tuple[object, ...], zipfile.ZipFile] = OrderedDict()


@dataclass(frozen=True, slots=True)
class Member:
    """One entry of an archive.

    Attributes:
        name: as written in the archive, with ``/`` between folders.
        size: unpacked bytes, as the archive claims.
        problem: why it is not usable, or None.
    """

    name: str
    size: int
    problem: InputError | None


def members(content: Content, limits: Limits = DEFAULT) -> list[Member]:
    """Every file in the archive, in its order, folders left out. Reads the directory of the archive only.

    Raises:
        InputError: when the archive itself is damaged or has too many entries.
    """
    with decoding(content.name, "zip archive"):
        entries = _archive(content, limits).infolist()
        if len(entries) > limits.members:
            raise too_large(content.name, f"{len(entries)} entries", f"{limits.members}")
        seen: set[str] = set()
        found: list[Member] = []
        for info in entries:
            if info.is_dir():
                continue
            problem = _problem(f"{content.name}!{info.filename}", info, limits)
            if problem is None and info.filename in seen:
                problem = InputError(
                    f"{content.name}!{info.filename} is in the archive twice", hint="pack it again", code="unsafe_name"
                )
            seen.add(info.filename)
            found.append(Member(info.filename, info.file_size, problem))
        return found


def read_member(content: Content, name: str, limits: Limits = DEFAULT) -> bytes | None:
    """The unpacked bytes of one member, None when there is no such member.

    Raises:
        InputError: ``unsafe_name``, ``encrypted``, ``too_large``, ``corrupt``.
    """
    with decoding(f"{content.name}!{name}", "zip member"):
        archive = _archive(content, limits)
        info = _info(archive, name, content, limits)
        if info is None:
            return None
        with archive.open(info) as file:
            data = file.read(limits.member_bytes + 1)
        if len(data) > limits.member_bytes:
            raise too_large(f"{content.name}!{name}", "more bytes than it says", f"{limits.member_bytes >> 20} MiB")
        return data


def open_member(content: Content, name: str, limits: Limits = DEFAULT) -> IO[bytes]:
    """One member as a file object that unpacks while it is read.

    To be used inside :func:`~tumorlens.io.guard.decoding`.

    Raises:
        InputError: as :func:`read_member`, and ``not_found``.
    """
    archive = _archive(content, limits)
    info = _info(archive, name, content, limits)
    if info is None:
        raise no_member(content.name, name.removesuffix(".npy"))
    return archive.open(info)


def no_member(archive: str, name: str) -> InputError:
    """The error for a member that is not there."""
    return InputError(f"{archive} has no member {name!r}", hint="list its members with a zip tool", code="not_found")


def _info(archive: zipfile.ZipFile, name: str, content: Content, limits: Limits) -> zipfile.ZipInfo | None:
    try:
        info = archive.getinfo(name)
    except KeyError:
        return None
    if info.is_dir():
        return None
    problem = _problem(f"{content.name}!{name}", info, limits)
    if problem is not None:
        raise problem
    return info


def _problem(name: str, info: zipfile.ZipInfo, limits: Limits) -> InputError | None:
    raw = info.orig_filename
    inside = info.filename
    unsafe = (
        inside.startswith("/")
        or "\\" in raw
        or "\x00" in raw
        or (len(inside) > 1 and inside[1] == ":")
        or ".." in inside.split("/")
    )
    if unsafe:
        return InputError(
            f"{name} has a name that points outside the archive", hint="pack it again", code="unsafe_name"
        )
    if stat.S_ISLNK(info.external_attr >> 16):
        return InputError(f"{name} is a symbolic link", hint="pack the file itself", code="unsafe_name")
    if info.flag_bits & 0x1:
        return InputError(f"{name} is encrypted", hint="unpack it with its password first", code="encrypted")
    # The array members of an .npz are bounded by their pixels, when they are opened.
    if info.file_size > limits.member_bytes and not inside.endswith(".npy"):
        return too_large(name, f"{info.file_size >> 20} MiB unpacked", f"{limits.member_bytes >> 20} MiB")
    if info.file_size > _SMALL and info.file_size > limits.ratio * max(info.compress_size, 1):
        return too_large(
            name, f"a packing ratio of {info.file_size // max(info.compress_size, 1)}", f"{limits.ratio} to 1"
        )
    return None


def _archive(content: Content, limits: Limits) -> zipfile.ZipFile:
    if content.file is None:
        _check_directory(content, limits)
        return zipfile.ZipFile(content.open())
    # Reading the directory of a large archive takes longer than reading a member of it. The process is part of the
    # key because two processes must not share one file position.
    key = (*content.key, os.getpid())
    with _lock:
        if key in _open:
            _open.move_to_end(key)
            return _open[key]
    _check_directory(content, limits)
    archive = zipfile.ZipFile(content.file)
    with _lock:
        _open[key] = archive
        while len(_open) > _OPEN:
            _open.popitem(last=False)  # closed when its last reader lets go of it
    return archive


def _check_directory(content: Content, limits: Limits) -> None:
    """Refuse an archive with too many entries before ``zipfile`` makes an object of each (APPNOTE 4.3.16)."""
    with content.open() as file:
        start = max(0, content.size - _TAIL)
        file.seek(start)
        tail = file.read()
        at = tail.rfind(b"PK\x05\x06")
        counts = _zip64_counts(file, start + at) if at >= 0 else []
    if at < 0 or len(tail) < at + 22:
        raise InputError(
            f"{content.name} is a cut-off zip archive: its directory is missing",
            hint="copy or download it again",
            code="truncated",
        )
    # Where there is a zip64 record it counts, whatever the end record says.
    for entries, size in counts or [struct.unpack_from("<HI", tail, at + 10)]:
        if max(entries, size // 128) > limits.members:
            raise too_large(content.name, "too many entries", f"{limits.members}")


def _zip64_counts(file: BinaryIO, end: int) -> list[tuple[int, int]]:
    """Entries and bytes of the directory, of every zip64 record that belongs to the end record at byte ``end``.

    Its locator stands right before the end record (APPNOTE 4.3.15). Older versions of ``zipfile`` look for the record
    right before the locator, newer ones first at the place that the locator names.
    """
    if end < _LOCATOR:
        return []
    file.seek(end - _LOCATOR)
    mark, _, named, _ = struct.unpack("<4sIQI", file.read(_LOCATOR))
    if mark != b"PK\x06\x07":
        return []
    found = []
    for at in (end - _LOCATOR - _RECORD64, named):
        if 0 <= at <= end - _LOCATOR - _RECORD64:
            file.seek(at)
            record = file.read(_RECORD64)
            if record[:4] == b"PK\x06\x06":
                found.append(struct.unpack_from("<QQ", record, 32))
    return found
