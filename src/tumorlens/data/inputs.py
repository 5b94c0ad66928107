"""What is to be predicted: every readable image behind a name, without the rules of a training set."""

from __future__ import annotations

import os
from collections.abc import Sequence

from tumorlens import io
from tumorlens.data import expand
from tumorlens.data.expand import Wanted
from tumorlens.data.gather import candidates
from tumorlens.data.listed import read_listed
from tumorlens.data.listing import Entry, listing
from tumorlens.data.manifest import Manifest, Row, Skipped
from tumorlens.data.pairing import pair
from tumorlens.data.reading import read
from tumorlens.data.single import read_file
from tumorlens.data.specs import parse
from tumorlens.errors import InputError, MissingExtraError
from tumorlens.io.arrays import image_array_names
from tumorlens.io.content import not_found


def read_inputs(named: str) -> Manifest:
    """The slices behind one input; labels, splits and class folders mean nothing here.

    Args:
        named: a file, ``archive.zip!member``, a folder, a ``.zip``, a ``.csv`` of paths, an ``.npz``, ``kaggle:…``,
            ``phantom``.

    Returns:
        Rows, and as ``skipped`` every file that looks like an image and cannot be one, and tumour masks. Files below a
        folder that are plainly something else are counted in a note.

    Raises:
        DataError: ``not_found``, and what a table can be wrong in.
        InputError: for a damaged archive or array file; ``empty`` when nothing is there that could be an image.
        MissingExtraError: when a format needs a package that is not installed.
    """
    spec = parse(named)
    if spec.kind != "path":
        return read(named)
    path, lower = spec.path, spec.path.lower()
    if not os.path.exists(path):
        if "!" not in path:
            raise not_found(spec.path)
    elif os.path.isdir(path) or lower.endswith(".zip"):
        return _tree(path)
    elif lower.endswith((".csv", ".tsv")):
        return read_listed(path, spec.source)
    elif lower.endswith(".npz"):
        return Manifest(tuple(row for name in image_array_names(path) for row in _array(f"{path}!{name}")))
    return read_file(path, spec.source)


def _array(path: str) -> list[Row]:
    count = io.frame_count(path)
    return [Row(path)] if count is None else [Row(path, frame) for frame in range(count)]


def _tree(root: str) -> Manifest:
    found = listing(root)
    usable, unusable = candidates(found.entries)
    other = [item for item in (*found.skipped, *unusable) if _is_something_else(item)]
    skipped = [item for item in (*found.skipped, *unusable) if item not in other]
    images = pair(usable).images
    skipped += _masks(usable, images)
    rows: list[Row] = []
    for entry in images:
        try:
            made, problems = expand.rows(Wanted(path=entry.path, suffix=entry.suffix))
        except MissingExtraError as error:
            made, problems = [], [Skipped(entry.path, error.code, error.message, error.hint)]
        rows += made
        skipped += problems
    if not rows and not skipped:
        held = f"only {len(other)} files that are no images" if other else "no files"
        raise InputError(f"{root} holds {held}", hint="name images, or a folder with images", code="empty")
    notes = [f"{root}: {len(other)} files that are no images passed over, for example {other[0].path}"] if other else []
    return Manifest(tuple(rows), tuple(skipped), tuple(notes))


def _is_something_else(item: Skipped) -> bool:
    """Whether nobody would take the file for an image: by its extension, or by its content where that says nothing."""
    suffix = os.path.splitext(item.path.lower())[1]
    return item.code == "not_an_image" or expand.is_never(suffix)


def _masks(usable: Sequence[Entry], images: Sequence[Entry]) -> list[Skipped]:
    kept = {entry.path for entry in images}
    return [
        Skipped(
            entry.path,
            "mask",
            f"{entry.path} is a tumour mask by its name, not an image",
            "name the file itself to have it judged all the same",
        )
        for entry in usable
        if entry.path not in kept
    ]
