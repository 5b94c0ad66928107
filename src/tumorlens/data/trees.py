"""A folder or a zip archive of images becomes rows."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace

from tumorlens.data import expand
from tumorlens.data.expand import Wanted
from tumorlens.data.folders import Folders, merged, patients, visit
from tumorlens.data.gather import gather
from tumorlens.data.layout import Place, place
from tumorlens.data.listing import Entry, listing
from tumorlens.data.manifest import Manifest, Row, Skipped
from tumorlens.data.nested import folder_groups

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
    gathered = gather(found)
    pairs, skipped = gathered.pairs, list(gathered.skipped)
    notes = []
    if gathered.repeated:
        copy, count = gathered.repeated[0].parts[0], len(gathered.repeated)
        notes.append(f"{root}: {copy}/ repeats the class folders beside it; its {count} files are left out")
    if found.junk:
        notes.append(f"{root}: {found.junk} hidden and operating-system files ignored")
    groups = folder_groups(pairs.images, source, labelled=bool(label))
    if groups:
        count = len(set(groups.values()))
        notes.append(f"{root}: the images of each of {count} sub-folders of the class folders are kept together")
    if pairs.lonely:
        notes.append(f"{root}: {len(pairs.lonely)} masks belong to no image, for example {pairs.lonely[0].path}")
    patient_of = patients(_place(entry).rest for entry in pairs.images if entry.scan)
    notes += [note] if (note := merged(patient_of)) else []
    classes = bool(label) or any(_place(entry).label for entry in pairs.images)
    rows: list[Row] = []
    for done, entry in enumerate(pairs.images):
        if progress is not None:
            progress(done, len(pairs.images))
        group = groups.get(entry.path, "")
        mask = pairs.mask_of.get(entry.path, "")
        wanted = replace(_wanted(entry, source, label, mask, patient_of), group=group)
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


def _place(entry: Entry) -> Place:
    return place(entry, known_only=entry.scan)


def _wanted(entry: Entry, source: str, label: str, mask: str, patient_of: Mapping[Folders, str]) -> Wanted:
    where = _place(entry)
    below = len(where.rest) if entry.scan else 0  # pictures have groups by their sub-folders
    when = visit(entry.folders, below)
    return Wanted(
        path=entry.path,
        suffix=entry.suffix,
        label=label or where.label,
        source=source,
        split=where.split,
        mask=mask,
        folder=patient_of[where.rest] if entry.scan else "",
        visit=f"{source}/{when}" if when else "",
        around="/".join((source, *entry.folders)) if below else "",
        series=os.path.join(*entry.folders, entry.stem),
    )
