"""``mask:LABEL=PATH``: the tumour mask of each slice decides its label."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from tumorlens import io
from tumorlens.data import expand
from tumorlens.data.expand import Wanted
from tumorlens.data.folders import merged, patients, visit
from tumorlens.data.gather import gather
from tumorlens.data.layout import place
from tumorlens.data.listing import Entry, Listing, listing
from tumorlens.data.manifest import Manifest, Row, Skipped, skip
from tumorlens.errors import DataError, InputError
from tumorlens.labels import NO_TUMOR

Progress = Callable[[int, int], None]


def read_masked(path: str, source: str, label: str, min_pixels: int, *, progress: Progress | None = None) -> Manifest:
    """Slices labelled by their masks.

    A slice is ``label`` when its mask holds at least ``min_pixels``, ``no_tumor`` when it holds none; what lies
    between is skipped as ``small_mask``, a slice of one grey value (padding) as ``blank``, one without a mask as
    ``no_mask``. Every slice is decoded. The folders around a slice name its patient.

    Args:
        path: a folder or zip archive of images and masks, or one ``.mat`` file.
        source: name of the data set.
        label: the class of a slice with a tumour.
        min_pixels: see above; at least 1.
        progress: called with (files done, files in all).

    Raises:
        DataError: when no image there has a mask.
        InputError: when the archive is damaged.
        MissingExtraError: when a format needs a package that is not installed.
    """
    gathered = gather(_files(path))
    pairs, skipped = gathered.pairs, list(gathered.skipped)
    patient_of = patients(entry.folders for entry in pairs.images)
    rows: list[Row] = []
    for done, entry in enumerate(pairs.images):
        if progress is not None:
            progress(done, len(pairs.images))
        when = visit(entry.folders, len(entry.folders))
        made, unusable = expand.rows(
            Wanted(
                path=entry.path,
                suffix=entry.suffix,
                source=source,
                split=place(entry).split,
                mask=pairs.mask_of.get(entry.path, ""),
                folder=patient_of[entry.folders],
                visit=f"{source}/{when}" if when else "",
                around="/".join((source, *entry.folders)) if entry.scan and entry.folders else "",
                series="/".join((*entry.folders, entry.stem)),
            )
        )
        skipped += unusable
        for row in made:
            judged = _judge(row, label, max(1, min_pixels))
            if isinstance(judged, Row):
                rows.append(judged)
            else:
                skipped.append(judged)
    if progress is not None:
        progress(len(pairs.images), len(pairs.images))
    counts = Counter(item.code for item in skipped)
    if not rows and counts["no_mask"]:
        raise DataError(
            f"no image below {path} has a mask",
            hint="expected x_mask.png beside x.png, masks/x.png beside images/x.png, or Mask.nii.gz beside a scan",
            code="no_mask",
        )
    notes = [_note(path, label, rows, counts, max(1, min_pixels)), merged(patient_of)]
    return Manifest(tuple(rows), tuple(skipped), tuple(filter(None, notes)))


def _files(path: str) -> Listing:
    if os.path.isdir(path) or path.lower().endswith(".zip"):
        return listing(path)
    return Listing((Entry(path, (os.path.basename(path),)),), (), 0)


def _judge(row: Row, label: str, min_pixels: int) -> Row | Skipped:
    if not row.mask:
        return Skipped(row.id, "no_mask", f"{row.id} has no mask")
    try:
        pixels = io.read_slice(row.path, row.frame).pixels
        mask = io.read_mask(row.mask, row.frame)
    except InputError as error:
        return skip(row.id, error)
    if mask.shape != pixels.shape:
        reason = f"{row.id} has {_size(pixels)} pixels and its mask {_size(mask)}"
        return Skipped(row.id, "corrupt", reason)
    count = int(np.count_nonzero(mask))
    if pixels.min() == pixels.max():
        return Skipped(row.id, "blank", f"{row.id} has only one grey value (padding)")
    if 0 < count < min_pixels:
        return Skipped(row.id, "small_mask", f"the mask of {row.id} holds {count} pixels, fewer than {min_pixels}")
    # A slice without tumour needs no mask to say so, and every stage may take "has a mask" for "has a tumour".
    return replace(row, label=label) if count else replace(row, label=NO_TUMOR, mask="")


def _size(pixels: np.ndarray) -> str:
    return f"{pixels.shape[1]} × {pixels.shape[0]}"


def _note(path: str, label: str, rows: Sequence[Row], counts: Counter[str], min_pixels: int) -> str:
    with_tumor = sum(row.label == label for row in rows)
    return (
        f"{path}: by mask, {with_tumor} {label}, {len(rows) - with_tumor} {NO_TUMOR}; dropped "
        f"{counts['small_mask']} with fewer than {min_pixels} mask pixels, {counts['blank']} blank, "
        f"{counts['no_mask']} without a mask"
    )
