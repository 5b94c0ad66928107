"""From the files that were found to the images among them, with their masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tumorlens.data import expand
from tumorlens.data.layout import unwrap
from tumorlens.data.listing import Entry, Listing
from tumorlens.data.manifest import Skipped, skip
from tumorlens.data.pairing import Pairing, pair
from tumorlens.errors import InputError
from tumorlens.io import kind_of
from tumorlens.io.sniff import RASTER


@dataclass(frozen=True)
class Gathered:
    """The images of a folder or archive.

    Attributes:
        pairs: images and masks, their wrapping folders taken off.
        skipped: what cannot be an image, and why.
        repeated: files of a folder that repeats the class folders beside it, left out.
    """

    pairs: Pairing
    skipped: tuple[Skipped, ...]
    repeated: tuple[Entry, ...]


def gather(found: Listing) -> Gathered:
    """The images among the files found.

    Raises:
        MissingExtraError: when a format needs a package that is not installed.
    """
    usable, unusable = candidates(found.entries)
    entries, repeated = unwrap(usable)
    return Gathered(pair(entries), (*found.skipped, *unusable), tuple(repeated))


def candidates(entries: Sequence[Entry]) -> tuple[list[Entry], list[Skipped]]:
    """The entries that may be images, and why the others cannot; an unknown extension is opened to see."""
    kept: list[Entry] = []
    skipped: list[Skipped] = []
    for entry in entries:
        found = candidate(entry)
        if isinstance(found, Entry):
            kept.append(found)
        else:
            skipped.append(found)
    return kept, skipped


def candidate(entry: Entry) -> Entry | Skipped:
    """The entry, if it may be an image, else why not; an unknown extension is opened to see."""
    try:
        if expand.is_never(entry.suffix):
            return Skipped(entry.path, "not_an_image", f"{entry.path} is a {entry.suffix} file, not an image")
        if expand.is_picture(entry.suffix) or expand.is_volume(entry.suffix):
            return replace(entry, scan=expand.is_volume(entry.suffix))
        kind = kind_of(entry.path)
        if kind in ("zip", "npz"):
            reason = f"{entry.path} is an archive; give it as a data set of its own"
            return Skipped(entry.path, "unsupported", reason)
        return replace(entry, scan=kind not in RASTER)
    except InputError as error:
        return skip(entry.path, error)
