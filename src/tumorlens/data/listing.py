"""The files under a folder or in a zip archive, in natural order, as one kind of list."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tumorlens import io
from tumorlens.data.manifest import Skipped, skip

# What operating systems and tools leave behind; nobody wants to read about each of them.
_JUNK_FILES = frozenset({"thumbs.db", "desktop.ini", ".ds_store", "icon\r"})
_JUNK_FOLDERS = frozenset({"__macosx", "$recycle.bin", "system volume information"})


@dataclass(frozen=True, slots=True)
class Entry:
    """One file.

    Attributes:
        path: as it can be opened: a path, or ``archive.zip!member``.
        parts: its place below the root: folders, then the file name.
        scan: a DICOM, NIfTI or MATLAB file rather than a picture, as far as is known.
    """

    path: str
    parts: tuple[str, ...]
    scan: bool = False

    @property
    def name(self) -> str:
        """The file name."""
        return self.parts[-1]

    @property
    def folders(self) -> tuple[str, ...]:
        """The folders between the root and the file."""
        return self.parts[:-1]

    @property
    def suffix(self) -> str:
        """The extension in lower case; ``.nii.gz`` counts as one."""
        lower = self.name.lower()
        return ".nii.gz" if lower.endswith(".nii.gz") else os.path.splitext(lower)[1]

    @property
    def stem(self) -> str:
        """The file name without its extension."""
        return self.name[: len(self.name) - len(self.suffix)]


@dataclass(frozen=True)
class Listing:
    """Everything found.

    Attributes:
        entries: files that may be images, in natural order.
        skipped: files that cannot be used whatever they are (0 bytes, unsafe archive names, unreadable folders).
        junk: number of hidden files and operating-system leftovers.
    """

    entries: tuple[Entry, ...]
    skipped: tuple[Skipped, ...]
    junk: int


def natural(parts: tuple[str, ...]) -> list[list[tuple[int, int, str]]]:
    """Sort key that puts ``2.png`` before ``10.png``, whatever the case, and is the same on every machine."""
    return [
        [(0, int(piece), piece) if piece.isascii() and piece.isdigit() else (1, 0, piece.lower()) for piece in pieces]
        for pieces in (re.split(r"(\d+)", part[:512]) for part in parts)
    ] + [[(1, 0, part)] for part in parts]


def listing(root: str) -> Listing:
    """The files below the folder ``root``, or in the zip archive ``root``.

    Raises:
        InputError: when the archive is damaged.
    """
    return _in_folder(root) if os.path.isdir(root) else _in_zip(root)


def _in_folder(root: str) -> Listing:
    entries: list[Entry] = []
    skipped: list[Skipped] = []
    junk = 0
    seen: set[tuple[int, int]] = set()
    # A stack of our own: folders may be nested deeper than Python may recurse.
    stack = [_children(root, (), seen, skipped)]
    while stack:
        child, parts = next(stack[-1], (None, ()))
        if child is None:
            stack.pop()
            continue
        name = parts[-1]
        try:
            folder = child.is_dir()
            size = 0 if folder else child.stat().st_size
        except OSError:  # also a link to itself
            skipped.append(Skipped(shown(child.path), "not_found", f"{shown(child.path)} is a link to nothing"))
            continue
        if _is_junk_folder(name) if folder else _is_junk(name):
            junk += 1
        elif shown(child.path) != child.path:
            reason = f"the name {shown(child.path)} is not valid UTF-8; rename it"
            skipped.append(Skipped(shown(child.path), "bad_name", reason))
        elif folder:
            stack.append(_children(child.path, parts, seen, skipped))
        elif size == 0:
            skipped.append(Skipped(child.path, "empty", f"{child.path} is empty (0 bytes)"))
        else:
            entries.append(Entry(child.path, parts))
    entries.sort(key=lambda entry: natural(entry.parts))
    return Listing(tuple(entries), tuple(skipped), junk)


def _children(
    folder: str, parts: tuple[str, ...], seen: set[tuple[int, int]], skipped: list[Skipped]
) -> Iterator[tuple[os.DirEntry[str], tuple[str, ...]]]:
    """What a folder holds, links last; nothing when it cannot be opened or was read before."""
    try:
        found = Path(folder).stat()
        children = list(os.scandir(folder))
    except OSError as error:
        code = "no_permission" if isinstance(error, PermissionError) else "not_found"
        skipped.append(Skipped(shown(folder), code, f"the folder {shown(folder)} cannot be opened"))
        return
    # A link may lead back up or to a folder that is read anyway: each real folder is read once.
    if (found.st_dev, found.st_ino) in seen:
        skipped.append(Skipped(folder, "link", f"{folder} links to a folder that has been read already"))
        return
    seen.add((found.st_dev, found.st_ino))
    children.sort(key=lambda child: (child.is_symlink(), natural((child.name,))))
    for child in children:
        yield child, (*parts, child.name)


def shown(path: str) -> str:
    """A path as it can be written anywhere: bytes of its name that are no UTF-8 appear as their numbers."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _in_zip(root: str) -> Listing:
    entries: list[Entry] = []
    skipped: list[Skipped] = []
    junk = 0
    for member in io.members(root):
        path = f"{root}!{member.name}"
        parts = tuple(part for part in member.name.split("/") if part not in ("", "."))
        if member.problem is not None:
            skipped.append(skip(path, member.problem))
        elif not parts or _is_junk(parts[-1]) or any(_is_junk_folder(part) for part in parts[:-1]):
            junk += 1
        elif member.size == 0:
            skipped.append(Skipped(path, "empty", f"{path} is empty (0 bytes)"))
        else:
            entries.append(Entry(path, parts))
    entries.sort(key=lambda entry: natural(entry.parts))
    return Listing(tuple(entries), tuple(skipped), junk)


def _is_junk(name: str) -> bool:
    return name.startswith(".") or name.lower() in _JUNK_FILES


def _is_junk_folder(name: str) -> bool:
    return name.startswith(".") or name.lower() in _JUNK_FOLDERS
