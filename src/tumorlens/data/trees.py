"""A folder or a zip archive of images becomes rows."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace

from tumorlens.data import expand
from tumorlens.data.expand import Wanted
from tumorlens.data.layout import means_nothing, place, unwrap
from tumorlens.data.listing import Entry, listing
from tumorlens.data.manifest import Manifest, Row, Skipped, skip
from tumorlens.data.pairing import pair
from tumorlens.errors import InputError
from tumorlens.io import kind_of
from tumorlens.io.sniff import RASTER
from tumorlens.labels import is_known

Progress = Callable[[int, int], None]


def read_tree(root: str, source: str, *, label: str = "", progress: Progress | None = None) -> Manifest:
    """The images below a folder or in a zip archive.

    Args:
        root: the folder or archive.
        source: name of the data set.
        label: the class of everything in it; then folder names only tell splits and patients.
        progress: called with (files done, files in all).

    Raises:
        InputError: when the archive is damaged.
        MissingExtraError: when a format needs a package that is not installed.
    """
    found = listing(root)
    skipped = list(found.skipped)
    usable, unusable = candidates(found.entries)
    skipped += unusable
    entries, repeated = unwrap(usable)
    notes = []
    if repeated:
        copy = repeated[0].parts[0]
        notes.append(f"{root}: {copy}/ repeats the class folders beside it; its {len(repeated)} files are left out")
    if found.junk:
        notes.append(f"{root}: {found.junk} hidden and operating-system files ignored")
    pairs = pair(entries)
    if pairs.lonely:
        notes.append(f"{root}: {len(pairs.lonely)} masks belong to no image, for example {pairs.lonely[0].path}")
    classes = bool(label) or any(_place_label(entry) for entry in pairs.images)
    rows: list[Row] = []
    for done, entry in enumerate(pairs.images):
        if progress is not None:
            progress(done, len(pairs.images))
        wanted = _wanted(entry, source, label, pairs.mask_of.get(entry.path, ""))
        if classes and not wanted.label and not entry.scan:
            reason = f"{entry.path} lies outside the class folders"
            skipped.append(Skipped(entry.path, "unlabelled", reason))
            continue
        made, unusable = expand.rows(wanted)
        rows += made
        skipped += unusable
    if progress is not None:
        progress(len(pairs.images), len(pairs.images))
    return Manifest(tuple(rows), tuple(skipped), tuple(notes))


def patient_folder(entry: Entry) -> str:
    """The folder around a scan when its name can only be a patient's, else an empty string."""
    name = entry.folders[-1] if entry.folders else ""
    return "" if means_nothing(name) or is_known(name) else name


def candidates(entries: Sequence[Entry]) -> tuple[list[Entry], list[Skipped]]:
    """The entries that may be images, and why the others cannot; an unknown extension is opened to see."""
    kept: list[Entry] = []
    skipped: list[Skipped] = []
    for entry in entries:
        try:
            if expand.is_never(entry.suffix):
                reason = f"{entry.path} is a {entry.suffix} file, not an image"
                skipped.append(Skipped(entry.path, "not_an_image", reason))
            elif expand.is_picture(entry.suffix) or expand.is_volume(entry.suffix):
                kept.append(replace(entry, scan=expand.is_volume(entry.suffix)))
            else:
                kind = kind_of(entry.path)
                if kind in ("zip", "npz"):
                    reason = f"{entry.path} is an archive; give it as a data set of its own"
                    skipped.append(Skipped(entry.path, "unsupported", reason))
                else:
                    kept.append(replace(entry, scan=kind not in RASTER))
        except InputError as error:
            skipped.append(skip(entry.path, error))
    return kept, skipped


def _place_label(entry: Entry) -> str:
    return place(entry, known_only=entry.scan).label


def _wanted(entry: Entry, source: str, label: str, mask: str) -> Wanted:
    where = place(entry, known_only=entry.scan)
    folder = patient_folder(entry) if entry.scan and where.rest else ""
    return Wanted(
        path=entry.path,
        suffix=entry.suffix,
        label=label or where.label,
        source=source,
        split=where.split,
        mask=mask,
        folder=folder,
        series=os.path.join(*entry.folders, entry.stem),
    )
