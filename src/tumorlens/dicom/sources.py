"""The files that a folder, a zip archive or a single name stands for, one after the other; no link is followed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

from tumorlens.data.listing import listing, shown
from tumorlens.errors import InputError
from tumorlens.io.content import Content, from_file, not_found
from tumorlens.io.files import find
from tumorlens.io.limits import Limits
from tumorlens.io.sniff import HEAD, sniff


@dataclass(frozen=True, slots=True)
class Source:
    """A file that may be DICOM.

    Attributes:
        path: as it can be opened; a folder or a link where there is a ``problem``.
        name: its place below what was named, for the person who named it. It may hold a patient's name.
        problem: code of why it cannot be used whatever it is, or empty.
    """

    path: str
    name: str
    problem: str = ""


def sources(root: str) -> Iterator[Source]:
    """Every file below a folder at any depth, in the order of their names; every member of an archive; or the file.

    Args:
        root: what was named; it may itself be a link.

    Raises:
        InputError: when there is nothing of that name, or the archive is damaged.
    """
    if os.path.isdir(root):
        yield from _below(root)
    elif not os.path.exists(root):
        raise not_found(shown(root))
    elif _kind(from_file(root)) == "zip":
        found = listing(root)
        yield from (Source(item.path, item.path.removeprefix(f"{root}!"), item.code) for item in found.skipped)
        yield from (Source(entry.path, "/".join(entry.parts)) for entry in found.entries)
    else:
        yield Source(root, shown(root))


def opened(source: Source, limits: Limits) -> Content | None:
    """The bytes of a file; None where it is no DICOM file.

    Raises:
        InputError: when it cannot be opened.
    """
    content, _ = find(source.path, limits, any_kind=True)
    return content if _kind(content) == "dicom" else None


def _kind(content: Content | None) -> str:
    """The format by the bytes alone: files on a hospital's disc have no extension, and some no preamble."""
    try:
        return "" if content is None else sniff(content.head(HEAD), ".dcm")
    except InputError:
        return ""


def _below(root: str) -> Iterator[Source]:
    # A stack of our own: folders may be nested deeper than Python may recurse.
    stack = [(root, "")]
    while stack:
        folder, name = stack.pop()
        try:
            with os.scandir(folder) as children:
                found = sorted((child.name, _sort(child)) for child in children)
        except OSError as error:
            code = "no_permission" if isinstance(error, PermissionError) else "not_found"
            yield Source(folder, shown(name or folder), code)
            continue
        for child, sort in found:
            if sort != "folder":
                yield Source(os.path.join(folder, child), shown(os.path.join(name, child)), sort)
        stack += [
            (os.path.join(folder, child), os.path.join(name, child)) for child, sort in found[::-1] if sort == "folder"
        ]


def _sort(child: os.DirEntry[str]) -> str:
    """``folder``, the problem with it, or empty for a file."""
    if child.is_symlink():
        return "link"
    return "folder" if child.is_dir(follow_symlinks=False) else ""
