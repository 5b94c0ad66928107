"""A folder or a zip archive of images becomes rows."""

from __future__ import annotations

import os
from collections.abc import Callable

from tumorlens.data import expand
from tumorlens.data.expand import Wanted
from tumorlens.data.layout import means_nothing, place, unwrap
from tumorlens.data.listing import Entry, listing
from tumorlens.data.manifest import Manifest, Row, Skipped, skip
from tumorlens.data.pairing import pair
from tumorlens.errors import InputError
from tumorlens.io import kind_of
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
    candidates: list[Entry] = []
    for entry in found.entries:
        problem = no_image(entry)
        if problem is None:
            candidates.append(entry)
        else:
            skipped.append(problem)
    entries, repeated = unwrap(candidates)
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
        if classes and not wanted.label and not expand.is_volume(entry.suffix):
            reason = f"{entry.path} lies outside the class folders"
            skipped.append(Skipped(entry.path, "unlabelled", reason))
            continue
        made, unusable = expand.rows(wanted)
        rows += made
        skipped += unusable
    return Manifest(tuple(rows), tuple(skipped), tuple(notes))


def patient_folder(entry: Entry) -> str:
    """The folder around a scan when its name can only be a patient's, else an empty string."""
    name = entry.folders[-1] if entry.folders else ""
    return "" if means_nothing(name) or is_known(name) else name


def no_image(entry: Entry) -> Skipped | None:
    """Why a file cannot be an image; a file with an unknown extension is opened to see."""
    if expand.is_never(entry.suffix):
        return Skipped(entry.path, "not_an_image", f"{entry.path} is a {entry.suffix} file, not an image")
    if expand.has_image_name(entry.suffix):
        return None
    try:
        kind = kind_of(entry.path)
    except InputError as error:
        return skip(entry.path, error)
    if kind in ("zip", "npz"):
        return Skipped(entry.path, "unsupported", f"{entry.path} is an archive; give it as a data set of its own")
    return None


def _place_label(entry: Entry) -> str:
    return place(entry, known_only=_is_scan(entry)).label


def _is_scan(entry: Entry) -> bool:
    return not expand.is_picture(entry.suffix)


def _wanted(entry: Entry, source: str, label: str, mask: str) -> Wanted:
    scan = _is_scan(entry)
    where = place(entry, known_only=scan)
    folder = patient_folder(entry) if scan and where.rest else ""
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
