"""What is to be predicted: every file behind a name, one after another, without the rules of a training set."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import groupby

from tumorlens import io
from tumorlens.data import expand
from tumorlens.data.dicomweb.address import is_address, shown
from tumorlens.data.expand import Wanted
from tumorlens.data.gather import candidate
from tumorlens.data.listed import read_listed
from tumorlens.data.listing import Entry, Folder, listing, walk
from tumorlens.data.manifest import Manifest, Row, Skipped
from tumorlens.data.pairing import is_below_masks, masks_beside, may_be_mask
from tumorlens.data.reading import read
from tumorlens.data.specs import parse
from tumorlens.errors import DataError, EnvironmentFailure, InputError, UsageError
from tumorlens.io.arrays import image_array_names
from tumorlens.io.content import not_found

Paths = Collection[str | os.PathLike[str]]
# How the names of maps end, see tumorlens.pipeline.model.
_MAP = re.compile(r"-[0-9a-f]{8}\.png")


@dataclass(frozen=True, slots=True)
class Item:
    """One file to answer for. It has not been opened: that is for whoever answers.

    Attributes:
        path: as it can be opened, or the address of a series on a DICOMweb server.
        frames: those that are meant; None for all that its header tells of.
        root: the folder or archive that it was found in, where what is plainly no image is passed over; empty when the
            file was named itself.
        problem: why it cannot be used, where that is known without opening it.
    """

    path: str
    frames: tuple[int | None, ...] | None = None
    root: str = ""
    problem: Skipped | None = None


@dataclass(frozen=True, slots=True)
class Note:
    """A sentence about an input.

    Attributes:
        text: the sentence.
    """

    text: str


def stream(named: str, aside: Paths = ()) -> Iterator[Item | Note]:
    """The files behind one input, in an order that is the same every time; labels and splits mean nothing here.

    Of a folder, names are read while the files are answered, and no file is opened. A ``.csv``, ``.npz``, data set of
    Kaggle and the phantom are read first. On a DICOMweb server a series counts as one file.

    Args:
        named: a file, ``archive.zip!member``, a folder, a ``.zip``, a ``.csv`` of paths, an ``.npz``, ``kaggle:…``,
            ``phantom``, ``dicomweb:…``.
        aside: folders and files that are passed over wherever they lie below a folder: what is being written.

    Yields:
        Files, those that cannot be used and tumour masks with their ``problem``. An input that is nothing at all is one
        such file.

    Raises:
        EnvironmentFailure: when a DICOMweb server cannot be reached.
    """
    try:
        yield from _found(named, aside)
    except (DataError, InputError, UsageError) as error:
        yield Item(shown(named), problem=Skipped(shown(named), error.code, error.message, error.hint))


def frames_of(item: Item) -> tuple[int | None, ...] | None:
    """The frames that are meant, None for a file that is plainly no image and is passed over.

    Raises:
        InputError: when it cannot be used, as far as its header tells.
        MissingExtraError: when its format needs a package that is not installed.
    """
    entry = Entry(item.path, (os.path.basename(item.path),))
    problem = item.problem
    if problem is None and item.frames is not None:
        return item.frames
    if problem is None and item.root:
        found = candidate(entry)
        problem = found if isinstance(found, Skipped) else None
    # Nobody would take it for an image: by its extension, or by its content where that says nothing.
    if problem and item.root and (problem.code == "not_an_image" or expand.is_never(entry.suffix)):
        return None
    rows: list[Row] = []
    if problem is None:
        rows, problems = expand.rows(Wanted(path=item.path, suffix=entry.suffix))
        problem = problems[0] if problems else None
    if problem:
        raise InputError(problem.reason, hint=problem.hint, code=problem.code)
    return tuple(row.frame for row in rows)


def passed_over(root: str, count: int, example: str) -> str:
    """The sentence about files below a folder that are plainly no images."""
    return f"{root}: {count} files that are no images passed over, for example {example}"


def nothing_in(root: str, others: int) -> InputError:
    """The error for a folder or archive without a file that could be an image; ``others`` are passed over."""
    held = f"only {others} files that are no images" if others else "no files"
    return InputError(f"{root} holds {held}", hint="name images, or a folder with images", code="empty")


def check_maps(named: str, maps: str, own: Collection[str] = ()) -> None:
    """Refuse a folder of maps that would hide inputs: it is passed over where it lies below a folder that is read.

    Args:
        named: an input.
        maps: where maps go; need not be there.
        own: names of other files that are written there.

    Raises:
        UsageError: when it lies in the input and holds what are no maps.
    """
    root, folder = os.path.realpath(named), os.path.realpath(maps)
    if not os.path.isdir(root) or not os.path.isdir(folder) or os.path.commonpath([root, folder]) != root:
        return
    with os.scandir(folder) as found:
        others = any(not (one.name.startswith(".") or one.name in own or _MAP.search(one.name)) for one in found)
    if others:
        raise UsageError(
            f"the folder of maps {maps} lies in the input {named} and holds other files, which would be passed over",
            hint="name a new folder",
        )


def _found(named: str, aside: Paths) -> Iterator[Item | Note]:
    if is_address(named):
        yield from _series_on(named)
        return
    spec = parse(named)
    path, lower = spec.path, spec.path.lower()
    if spec.kind != "path":
        yield from _listed(read(named))
    elif not os.path.exists(path):
        if "!" not in path:
            raise not_found(path)
        yield Item(path)
    elif os.path.isdir(path) or lower.endswith(".zip"):
        yield from _below(path, aside)
    elif lower.endswith((".csv", ".tsv")):
        yield from _listed(read_listed(path, spec.source))
    elif lower.endswith(".npz"):
        for name in image_array_names(path):
            count = io.frame_count(f"{path}!{name}")
            yield Item(f"{path}!{name}", (None,) if count is None else tuple(range(count)))
    else:
        yield Item(path)


def _series_on(named: str) -> Iterator[Item]:
    from tumorlens.data.dicomweb.address import parse as parse_address
    from tumorlens.data.dicomweb.walking import Refused, connect
    from tumorlens.data.dicomweb.walking import walk as walk_server

    address = parse_address(named)
    with connect(address) as site:
        for found in walk_server(site, address):
            if not isinstance(found, Refused):
                yield Item(found.name)
            elif isinstance(found.error, EnvironmentFailure):
                raise found.error
            else:
                error = found.error
                yield Item(found.name, problem=Skipped(found.name, error.code, error.message, error.hint))


def _listed(manifest: Manifest) -> Iterator[Item | Note]:
    yield from map(Note, manifest.notes)
    for skipped in manifest.skipped:
        yield Item(skipped.path, problem=skipped)
    for path, rows in groupby(manifest, key=lambda row: row.path):
        yield Item(path, tuple(row.frame for row in rows))


def _below(root: str, aside: Paths) -> Iterator[Item]:
    """The files in a folder or archive, the masks among them with a problem."""
    found = None
    # Whether an image lies anywhere but in folders called masks, which else are what is meant; None: not known yet.
    others: bool | None = None
    for found, is_mask in _marked(root, aside):
        problem = None
        if isinstance(found, Skipped):
            problem = found
        elif is_below_masks(found):
            if others is None:  # looked for once: the whole tree may be read for it
                others = any(_is_other(one) for one, _ in _marked(root, aside))
            is_mask = is_mask or others
        elif others is None and _is_other(found):
            others = True
        if isinstance(found, Entry) and is_mask and isinstance(candidate(found), Entry):
            problem = _mask(found)
        yield Item(found.path, root=root, problem=problem)
    if found is None:
        raise nothing_in(root, 0)


def _is_other(found: Entry | Skipped) -> bool:
    return isinstance(found, Entry) and not is_below_masks(found) and isinstance(candidate(found), Entry)


def _marked(root: str, aside: Paths) -> Iterator[tuple[Entry | Skipped, bool]]:
    """The files in a folder or archive, and whether each is a mask of one beside it."""
    masks: set[str] = set()
    if os.path.isdir(root):
        for found in walk(root, aside):
            if isinstance(found, Folder) and any(map(may_be_mask, found.names)):
                masks |= masks_beside([found.entry(name) for name in found.names])
            elif isinstance(found, (Entry, Skipped)):
                yield found, found.path in masks
                masks.discard(found.path)
        return
    archive = listing(root)
    folders: dict[tuple[str, ...], list[Entry]] = defaultdict(list)
    for entry in archive.entries:
        folders[entry.folders].append(entry)
    for siblings in folders.values():
        masks |= masks_beside(siblings)
    yield from ((skipped, False) for skipped in archive.skipped)
    yield from ((entry, entry.path in masks) for entry in archive.entries)


def _mask(entry: Entry) -> Skipped:
    return Skipped(
        entry.path,
        "mask",
        f"{entry.path} is a tumour mask by its name, not an image",
        "name the file itself to have it judged all the same",
    )
