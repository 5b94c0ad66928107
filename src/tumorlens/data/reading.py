"""Everything that DATA can be, in one function."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from tumorlens.data.listed import read_listed
from tumorlens.data.listing import shown
from tumorlens.data.manifest import Manifest, join
from tumorlens.data.specs import Spec, parse
from tumorlens.data.tables import columns_of, named
from tumorlens.data.trees import read_tree
from tumorlens.errors import DataError, InputError
from tumorlens.io.content import not_found
from tumorlens.labels import canonical

Progress = Callable[[int, int], None]
OneOrMany = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]

_CLASSES = "expected a folder per class with images, for example glioma/ and no_tumor/"
_PATHS = "paths in a manifest are relative to the folder that it lies in"


def read(
    specs: OneOrMany,
    *,
    min_mask_pixels: int = 200,
    group_column: str = "",
    fold_column: str = "",
    progress: Progress | None = None,
) -> Manifest:
    """Read one or several data sets as one manifest.

    Pictures are listed without being opened (one that cannot be read is found when it is standardised); of volumes
    and multi-frame files the header is read.

    Args:
        specs: folder, ``.zip``, manifest ``.csv``, ``.npz``, ``.mat``, DICOM or NIfTI file or tree,
            ``kaggle:owner/name[/versions/N]``, ``phantom[:N]``, ``LABEL=PATH``, ``mask:LABEL=PATH``.
        min_mask_pixels: for ``mask:``: how many mask pixels make a slice a tumour slice.
        group_column: the column of a manifest ``.csv`` that must not cross a split.
        fold_column: the column of a manifest ``.csv`` that holds its own folds.
        progress: called with (files done, files in all) of the data set being read.

    Returns:
        Rows in natural order per data set, what was skipped and why, and notes (renamed classes, …).

    Raises:
        DataError: ``not_found``, ``empty``, ``no_column``, ``duplicate_id``, …
        MissingExtraError: when a format needs a package that is not installed.
    """
    parsed = [parse(spec) for spec in _as_list(specs)]
    if not parsed:
        raise DataError("no data set was named", hint="name a folder, for example: data/", code="empty")
    headers = _headers(parsed) if group_column or fold_column else {}
    for column in filter(None, (group_column, fold_column)):
        _check_column(column, headers)
    taken: Counter[str] = Counter()
    manifests: list[Manifest] = []
    for spec in parsed:
        taken[spec.source] += 1
        source = spec.source if taken[spec.source] == 1 else f"{spec.source}-{taken[spec.source]}"
        try:
            here = headers.get(spec.path, ())
            columns = {
                "group_column": group_column if named(here, group_column) is not None else "",
                "fold_column": fold_column if named(here, fold_column) is not None else "",
            }
            manifest = _read_one(spec, source, min_mask_pixels, columns, progress)
        except InputError as error:
            raise DataError(error.message, hint=error.hint, code=error.code) from error
        manifests.append(_labelled(manifest, spec))
    return join(_apart(manifests))


def _read_one(
    spec: Spec, source: str, min_mask_pixels: int, columns: dict[str, str], progress: Progress | None
) -> Manifest:
    if spec.kind == "kaggle":
        from tumorlens.data.kaggle import read_kaggle

        return read_kaggle(spec.path, source, label=spec.label, progress=progress)
    if spec.kind == "phantom":
        from tumorlens.data.phantoms import read_phantom

        return read_phantom(spec.path, progress=progress)
    if not os.path.exists(spec.path):
        raise not_found(spec.path.rstrip("/\\") or spec.path)
    if shown(spec.path) != spec.path:
        raise InputError(
            f"the name {shown(spec.path)} is not valid UTF-8", hint="rename the file or folder", code="bad_name"
        )
    if spec.kind == "mask":
        from tumorlens.data.masked import read_masked

        return read_masked(spec.path, source, spec.label, min_mask_pixels, progress=progress)
    lower = spec.path.lower()
    if os.path.isdir(spec.path) or lower.endswith(".zip"):
        return read_tree(spec.path, source, label=spec.label, progress=progress)
    if lower.endswith((".csv", ".tsv")):
        return read_listed(spec.path, source, label=spec.label, **columns)
    if lower.endswith(".npz"):
        from tumorlens.data.medmnist import read_npz

        return read_npz(spec.path, source, label=spec.label)
    from tumorlens.data.single import read_file

    return read_file(spec.path, source, label=spec.label)


def _as_list(specs: OneOrMany) -> list[str]:
    if isinstance(specs, (str, os.PathLike)):
        return [os.fspath(specs)]
    return [os.fspath(spec) for spec in specs]


def _headers(specs: Sequence[Spec]) -> dict[str, tuple[str, ...]]:
    """The column names of every table among the data sets."""
    paths = [spec.path for spec in specs if spec.path.lower().endswith((".csv", ".tsv")) and os.path.isfile(spec.path)]
    return {path: columns_of(path) for path in paths}


def _check_column(name: str, headers: Mapping[str, Sequence[str]]) -> None:
    """A column named by the user must be in at least one of the tables; the others need not have it."""
    if any(named(columns, name) is not None for columns in headers.values()):
        return
    there = "; ".join(f"{path} has the columns {', '.join(columns)}" for path, columns in headers.items())
    raise DataError(
        f"no data set has a column {name!r}",
        hint=there or "only a manifest .csv has columns: give one, or leave the option out",
        code="no_column",
    )


def _labelled(manifest: Manifest, spec: Spec) -> Manifest:
    """Report renamed classes; refuse a data set without a single usable slice."""
    if not manifest.rows:
        first = manifest.skipped[0] if manifest.skipped else None
        found = f"none of its {len(manifest.skipped)} files can be used" if first else "it holds no files"
        raise DataError(
            f"no image in {spec.text}: {found}" + (f"; the first: {first.reason}" if first else ""),
            hint=_PATHS if spec.path.lower().endswith(".csv") else _CLASSES,
            code="empty",
        )
    rows = []
    counts: Counter[tuple[str, str]] = Counter()
    for row in manifest.rows:
        label = canonical(row.label) if row.label else ""
        counts[row.label, label] += 1
        rows.append(row if label == row.label else replace(row, label=label))
    notes = [
        f"{old} → {new} ({count} image{'s' if count != 1 else ''})"
        for (old, new), count in sorted(counts.items())
        if old != new
    ]
    return replace(manifest, rows=tuple(rows), notes=(*manifest.notes, *notes))


def _apart(manifests: Sequence[Manifest]) -> list[Manifest]:
    """Data sets whose tables number their lines 1, 2, 3 … must not clash: such ids get the source in front."""
    owners: Counter[str] = Counter()
    for manifest in manifests:
        owners.update(row.id for row in manifest.rows)
    paths = Counter((row.path, row.frame) for manifest in manifests for row in manifest.rows)
    return [
        manifest.with_rows(
            replace(row, id=f"{row.source}:{row.id}") if owners[row.id] > 1 and paths[row.path, row.frame] == 1 else row
            for row in manifest.rows
        )
        for manifest in manifests
    ]
