"""Which slices a model has seen, as far as the run folder that it lies in tells."""

from __future__ import annotations

from pathlib import Path

from tumorlens.audit import exact
from tumorlens.data.manifest import Manifest, Row, patient_key
from tumorlens.data.tables import read_table
from tumorlens.io import cache_dir
from tumorlens.pipeline.reporter import Reporter
from tumorlens.preprocess.cache import standardise_all
from tumorlens.preprocess.recipe import Recipe


def seen(where: Path, recipe: Recipe, manifest: Manifest, keys: list[str], reporter: Reporter) -> set[str]:
    """The slices of a data set whose group, patient or picture the model was trained or chosen on.

    Args:
        where: the bundle; its run folder is the one around it. A bundle on its own tells nothing.
        recipe: in which the keys were made.
        manifest: the data set, grouped.
        keys: of its pictures, in the order of its rows.
        reporter: told what cannot be compared.

    Returns:
        Ids of its rows.
    """
    table = where.parent / "manifest.csv"
    if where.name != "bundle" or not table.is_file():
        return set()
    rows = {
        row.id: row
        for record in read_table(str(table)).records
        if record.split in ("train", "val")
        for row in [Row(record.path, record.frame, patient=record.patient, group=record.group, source=record.source)]
    }
    with reporter.progress("comparing with the training data") as progress:
        ready = standardise_all(Manifest(tuple(rows.values())), recipe, cache_dir() / "images", progress)
    if ready.manifest.skipped:
        reporter.warn(
            f"{len(ready.manifest.skipped)} of the {len(rows)} images that the model was trained on cannot be read "
            "now: copies of them are not found, only their patients"
        )
    pictures = set(exact.picture_keys(ready))
    known = {name for row in rows.values() for name in _names(row)}
    # One slice that was seen gives its whole group away.
    groups = {
        group
        for row, group, key in zip(manifest, manifest.groups, keys, strict=True)
        if key in pictures or known & _names(row)
    }
    return {row.id for row, group in zip(manifest, manifest.groups, strict=True) if group in groups}


def _names(row: Row) -> set[tuple[str, str]]:
    """What a row shares with those that must not be on the other side; group names hold within one data set."""
    names = {("group", f"{row.source}/{row.group}")} if row.group else set()
    return names | {("patient", patient_key(row))} if row.patient else names
