"""Which reader opens which file: the dispatch behind ``tumorlens.io``."""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Iterator
from typing import Protocol

from tumorlens.errors import InputError
from tumorlens.io import archive, raster
from tumorlens.io import content as contents
from tumorlens.io.content import Content
from tumorlens.io.inspecting import Header
from tumorlens.io.limits import DEFAULT, Limits
from tumorlens.io.slice import Slice
from tumorlens.io.sniff import HEAD, RASTER, sniff
from tumorlens.io.volumes import Frames, recent


class _Reader(Protocol):
    """What a module that opens a format offers."""

    def inspect(self, content: Content, kind: str, limits: Limits) -> Header: ...

    def frames(self, content: Content, kind: str, limits: Limits) -> Frames: ...


# Format → module; imported only when a file of that format comes.
_READERS = {
    **dict.fromkeys(RASTER, "raster"),
    "dicom": "dicom",
    "nifti": "nifti",
    "nifti.gz": "nifti",
    "hdf5": "matlab",
    "npz": "arrays",
}
_KEYED = frozenset({"npz", "hdf5"})  # formats with named things inside: ``set.npz!train_images``, ``1.mat!tumorMask``


def read(path: str, *, limits: Limits = DEFAULT) -> list[Slice]:
    """Every slice of a file, of a member (``archive.zip!dir/a.png``) or of an array (``set.npz!train_images``).

    Returns:
        One slice with ``frame=None`` for a single image, else one per frame in order.

    Raises:
        InputError: with a code of its own for whatever is wrong with the file.
        MissingExtraError: when the format needs a package that is not installed.
    """
    return list(_each(*find(path, limits), limits))


def read_slice(path: str, frame: int | None = None, *, limits: Limits = DEFAULT) -> Slice:
    """One slice; ``frame`` is None (or 0) for a single image.

    Raises:
        InputError: as :func:`read`; ``not_found`` for a frame the file does not have, or none named where it has many.
        MissingExtraError: as :func:`read`.
    """
    content, kind = find(path, limits)
    return _frames(content, kind, limits).slice(content.name, frame)


def read_bytes(content: bytes, name: str = "upload", *, limits: Limits = DEFAULT) -> list[Slice]:
    """Every slice of a file that is in memory; its format comes from the bytes, ``name`` is only what to call it.

    Raises:
        InputError, MissingExtraError: as :func:`read`.
    """
    return list(stream_bytes(content, name, limits=limits))


def stream_bytes(content: bytes, name: str = "upload", *, limits: Limits = DEFAULT) -> Iterator[Slice]:
    """As :func:`read_bytes`, one slice at a time: of a volume only the stored frames are in memory.

    Raises:
        InputError, MissingExtraError: as :func:`read`, from the first slice on.
    """
    limits.check_bytes(name, len(content))
    found = contents.from_bytes(content, name)
    yield from _each(found, sniff(found.head(HEAD), name), limits)


def frame_count(path: str, *, limits: Limits = DEFAULT) -> int | None:
    """Number of frames, None for a single image; reads the header only.

    Raises:
        InputError: when the file is unusable as far as its header tells.
        MissingExtraError: when the format needs a package that is not installed.
    """
    return inspect(path, limits=limits).frames


def inspect(path: str, *, limits: Limits = DEFAULT) -> Header:
    """What the header of a file says: format, frames, patient, and the class where the file names one.

    Raises:
        InputError: when the file is unusable as far as its header tells.
        MissingExtraError: when the format needs a package that is not installed.
    """
    content, kind = find(path, limits)
    return _reader(content, kind).inspect(content, kind, limits)


def inspect_bytes(content: bytes, name: str = "upload", *, limits: Limits = DEFAULT) -> Header:
    """As :func:`inspect`, of a file that is in memory.

    Raises:
        InputError, MissingExtraError: as :func:`inspect`.
    """
    limits.check_bytes(name, len(content))
    found = contents.from_bytes(content, name)
    kind = sniff(found.head(HEAD), name)
    return _reader(found, kind).inspect(found, kind, limits)


def digest(path: str, *, limits: Limits = DEFAULT) -> str:
    """SHA-256 (hex) of the encoded bytes of a file or member; of an array inside one, of its shape, type and bytes.

    Raises:
        InputError: when it cannot be opened.
    """
    content, kind = find(path, limits, any_kind=True)
    if kind == "npz" and content.inner:
        from tumorlens.io import arrays

        return arrays.digest(content, limits)
    if kind == "hdf5" and content.inner:
        pixels = _frames(content, kind, limits).pixels[0]
        return hashlib.sha256(repr((pixels.shape, pixels.dtype.str)).encode() + pixels.tobytes()).hexdigest()
    total = hashlib.sha256()
    with content.open() as file, contents.reading(content.name):
        while block := file.read(1 << 20):
            total.update(block)
    return total.hexdigest()


def kind_of(path: str, *, limits: Limits = DEFAULT) -> str:
    """The format of a file or member, as :func:`tumorlens.io.sniff.sniff` names it.

    Raises:
        InputError: when it cannot be opened or is no format known here.
    """
    return find(path, limits)[1]


def find(path: str, limits: Limits = DEFAULT, *, any_kind: bool = False) -> tuple[Content, str]:
    """The encoded bytes behind a path, and their format.

    A path that exists is that file, whatever is in its name; otherwise what follows ``!`` is looked for inside.

    Raises:
        InputError: ``not_found``, ``empty``, ``not_an_image``, …
    """
    content = contents.from_file(path)
    if content is not None:
        return content, _kind(content, any_kind)
    for head, rest in _cuts(path):
        try:
            outer = contents.from_file(head)
        except InputError as error:
            if error.code == "not_found":
                continue
            raise
        if outer is not None:
            return _inside(outer, rest, limits, any_kind)
    raise contents.not_found(path)


def _inside(outer: Content, rest: str, limits: Limits, any_kind: bool) -> tuple[Content, str]:
    name = f"{outer.name}!{rest}"
    kind = _kind(outer, False)
    if kind in _KEYED:
        return contents.with_inner(outer, name, rest), kind
    if kind != "zip":
        raise InputError(f"{outer.name} is not an archive", hint="leave out what follows the !", code="not_found")
    for member, inner in [(rest, ""), *_cuts(rest)]:
        data = archive.read_member(outer, member, limits)
        if data is None:
            continue
        found = contents.from_bytes(data, f"{outer.name}!{member}", (*outer.key, member))
        kind = _kind(found, any_kind)
        if not inner:
            return found, kind
        if kind in _KEYED:
            return contents.with_inner(found, name, inner), kind
        break
    raise archive.no_member(outer.name, rest)


def _cuts(path: str) -> Iterator[tuple[str, str]]:
    at = path.find("!")
    while at >= 0:
        yield path[:at], path[at + 1 :]
        at = path.find("!", at + 1)


def _kind(content: Content, any_kind: bool) -> str:
    try:
        return sniff(content.head(HEAD), content.name)
    except InputError:
        if any_kind:
            return ""
        raise


def _each(content: Content, kind: str, limits: Limits) -> Iterator[Slice]:
    if kind == "npz" and not content.inner:
        from tumorlens.io import arrays

        for name in arrays.image_arrays(content, limits):
            yield from _each(contents.with_inner(content, f"{content.name}!{name}", name), kind, limits)
        return
    frames = _frames(content, kind, limits)
    if frames.single:
        yield frames.slice(content.name, None)
        return
    for index in range(len(frames.pixels)):
        yield frames.slice(content.name, index)


def _frames(content: Content, kind: str, limits: Limits) -> Frames:
    if kind in ("jpeg", "png"):
        return raster.image(content, kind, limits)
    return recent((*content.key, limits), lambda: _reader(content, kind).frames(content, kind, limits))


def _reader(content: Content, kind: str) -> _Reader:
    if kind not in _READERS:
        raise _is_archive(content)
    reader: _Reader = importlib.import_module(f"tumorlens.io.{_READERS[kind]}")
    return reader


def _is_archive(content: Content) -> InputError:
    return InputError(
        f"{content.name} is a zip archive, not an image",
        hint=f"name a member ({content.name}!folder/image.png), or give the archive as a data set",
        code="not_an_image",
    )
