"""The files under a folder or in a zip archive, in natural order, as one kind of list or one after another."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator
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


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder whose files come next, those of the folders in it between them.

    Attributes:
        path: as it can be opened.
        parts: its place below the root; empty for the root itself.
        names: of its own files.
    """

    path: str
    parts: tuple[str, ...]
    names: tuple[str, ...]

    def entry(self, name: str) -> Entry:
        """One of its files."""
        return Entry(os.path.join(self.path, name), (*self.parts, name))


@dataclass(frozen=True, slots=True)
class Junk:
    """A hidden file or folder, or what an operating system has left behind.

    Attributes:
        path: where it lies.
    """

    path: str


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
    return [_pieces(part) for part in parts] + [[(1, 0, part)] for part in parts]


def _pieces(part: str) -> list[tuple[int, int, str]]:
    return [
        (0, int(piece), piece) if piece.isascii() and piece.isdigit() else (1, 0, piece.lower())
        for piece in re.split(r"(\d+)", part[:512])
    ]


def listing(root: str) -> Listing:
    """The files below the folder ``root``, or in the zip archive ``root``.

    Raises:
        InputError: when the archive is damaged.
    """
    return _in_folder(root) if os.path.isdir(root) else _in_zip(root)


def walk(root: str, aside: Collection[str | os.PathLike[str]] = ()) -> Iterator[Folder | Entry | Skipped | Junk]:
    """The files below a folder, one after another; only the names in the folders that are open are in memory.

    Args:
        root: the folder.
        aside: folders and files that are passed over wherever they lie; files need not be there yet.

    Yields:
        Every folder before what it holds, which is in natural order, links last; files that may be images; files that
        cannot be used whatever they are; junk.
    """
    # A link may lead back up or to a folder that is read anyway: each real folder is read once.
    seen: dict[tuple[int, int], bool] = {}
    left_out: set[tuple[tuple[int, int], str]] = set()
    for one in map(Path, aside):
        if one.is_dir():
            seen[_number(one)] = False
        elif one.parent.is_dir():
            left_out.add((_number(one.parent), one.name))
    # A stack of our own: folders may be nested deeper than Python may recurse.
    stack = [_inside(root, (), seen, left_out)]
    while stack:
        found = next(stack[-1], None)
        if found is None:
            stack.pop()
        elif isinstance(found, tuple):
            stack.append(_inside(*found, seen, left_out))
        else:
            yield found


def _inside(
    folder: str,
    parts: tuple[str, ...],
    seen: dict[tuple[int, int], bool],
    left_out: Collection[tuple[tuple[int, int], str]],
) -> Iterator[Folder | Entry | Skipped | Junk | tuple[str, tuple[str, ...]]]:
    """What a folder holds, the folders among it as path and parts; nothing when it cannot be opened or is known."""
    try:
        number = _number(folder)
        if number in seen:
            if seen[number]:
                yield Skipped(folder, "link", f"{folder} links to a folder that has been read already")
            return
        with os.scandir(folder) as found:
            children = sorted(
                (child.is_symlink(), _name_key(child.name), _is_folder(child))
                for child in found
                if (number, child.name) not in left_out
            )
    except OSError as error:
        code = "no_permission" if isinstance(error, PermissionError) else "not_found"
        yield Skipped(shown(folder), code, f"the folder {shown(folder)} cannot be opened")
        return
    seen[number] = True
    own = (name for _, (_, name), is_folder in children if not is_folder and not _is_junk(name))
    yield Folder(folder, parts, tuple(own))
    for _, (_, name), is_folder in children:
        path = os.path.join(folder, name)
        if _is_junk_folder(name) if is_folder else _is_junk(name):
            yield Junk(path)
        elif shown(path) != path:
            reason = f"the name {shown(path)} is not valid UTF-8; rename it"
            yield Skipped(shown(path), "bad_name", reason)
        elif is_folder:
            yield path, (*parts, name)
        else:
            yield _file(path, (*parts, name))


def _file(path: str, parts: tuple[str, ...]) -> Entry | Skipped:
    try:
        size = Path(path).stat().st_size
    except OSError:  # also a link to itself
        return Skipped(path, "not_found", f"{path} is a link to nothing")
    return Entry(path, parts) if size else Skipped(path, "empty", f"{path} is empty (0 bytes)")


def _name_key(name: str) -> tuple[tuple[int | str, ...], str]:
    """As :func:`natural`, of one name, in less memory."""
    return tuple(value for piece in _pieces(name) for value in piece), name


def _is_folder(child: os.DirEntry[str]) -> bool:
    try:
        return child.is_dir()
    except OSError:  # a link to itself
        return False


def _number(folder: str | os.PathLike[str]) -> tuple[int, int]:
    """What tells a real folder from all others."""
    found = Path(folder).stat()
    return found.st_dev, found.st_ino


def _in_folder(root: str) -> Listing:
    entries: list[Entry] = []
    skipped: list[Skipped] = []
    junk = 0
    for found in walk(root):
        if isinstance(found, Entry):
            entries.append(found)
        elif isinstance(found, Skipped):
            skipped.append(found)
        elif isinstance(found, Junk):
            junk += 1
    entries.sort(key=lambda entry: natural(entry.parts))
    return Listing(tuple(entries), tuple(skipped), junk)


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
