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

    def walk(folder: str, parts: tuple[str, ...]) -> Iterator[tuple[os.DirEntry[str], tuple[str, ...]]]:
        try:
            found = Path(folder).stat()
            children = list(os.scandir(folder))
        except OSError as error:
            code = "no_permission" if isinstance(error, PermissionError) else "not_found"
            skipped.append(Skipped(folder, code, f"the folder {folder} cannot be opened"))
            return
        # A link may lead back up or to a folder that is read anyway: each real folder is read once.
        if (found.st_dev, found.st_ino) in seen:
            skipped.append(Skipped(folder, "link", f"{folder} links to a folder that has been read already"))
            return
        seen.add((found.st_dev, found.st_ino))
        children.sort(key=lambda child: (child.is_symlink(), natural((child.name,))))
        for child in children:
            if child.is_dir() and not _is_junk_folder(child.name):
                yield from walk(child.path, (*parts, child.name))
            else:
                yield child, (*parts, child.name)

    for child, parts in walk(root, ()):
        if child.is_dir() or _is_junk(parts[-1]):
            junk += 1
            continue
        try:
            size = child.stat().st_size
        except OSError:
            skipped.append(Skipped(child.path, "not_found", f"{child.path} is a link to nothing"))
            continue
        if size == 0:
            skipped.append(Skipped(child.path, "empty", f"{child.path} is empty (0 bytes)"))
            continue
        entries.append(Entry(child.path, parts))
    entries.sort(key=lambda entry: natural(entry.parts))
    return Listing(tuple(entries), tuple(skipped), junk)


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
