"""Which slices a model has seen, as far as the run folder that it lies in tells."""

from __future__ import annotations

import json
from pathlib import Path

from tumorlens.bundle import Bundle
from tumorlens.bundle.info import slice_hash
from tumorlens.data.manifest import Manifest, Row, patient_key
from tumorlens.data.tables import read_table
from tumorlens.evaluation.table import PredictionTable
from tumorlens.pipeline.auditing import looked, same_pictures
from tumorlens.pipeline.reporter import Reporter
from tumorlens.preprocess.cache import Standardised


def seen(where: Path, manifest: Manifest, reporter: Reporter) -> set[str]:
    """The slices of a data set whose group, patient or picture the model was trained or chosen on.

    Args:
        where: the bundle; its run folder is the one around it. A bundle on its own tells nothing.
        manifest: the data set, grouped; every slice of it can be read.
        reporter: told what cannot be compared.

    Returns:
        Ids of its rows.
    """
    table = where.parent / "manifest.csv"
    if where.name != "bundle" or not table.is_file():
        return set()
    records = read_table(str(table)).records
    # The network that a cross-validation trains in the end has seen every slice; its manifest has folds and no split.
    all_of_it = not any(record.split for record in records)
    rows = {
        row.id: row
        for record in records
        if all_of_it or record.split in ("train", "val")
        for row in [Row(record.path, record.frame, patient=record.patient, group=record.group, source=record.source)]
    }
    own = {row.id for row in manifest}
    others = tuple(row for row in rows.values() if row.id not in own)
    # Both sets are looked at together, so that a copy is found however it was changed.
    looks = looked(Manifest(manifest.rows + others), reporter)
    lost = len(own) + len(others) - len(looks.manifest)
    if lost:
        reporter.warn(
            f"{lost} of the {len(rows)} images that the model was trained on cannot be read now: copies of them are "
            "not found, only their patients"
        )
    found = same_pictures(looks, reporter)
    pictures = dict(zip((row.id for row in looks.manifest), found.root.tolist(), strict=True))
    trained = {pictures[name] for name in rows if name in pictures}
    known = {name for row in rows.values() for name in _names(row)}
    # One slice that was seen gives its whole group away.
    groups = {
        group
        for row, group in zip(manifest, manifest.groups, strict=True)
        if pictures.get(row.id) in trained or known & _names(row)
    }
    return {row.id for row, group in zip(manifest, manifest.groups, strict=True) if group in groups}


def learned(loaded: Bundle, ready: Standardised) -> set[str]:
    """The slices of a data set whose files a bundle on its own names as trained on, with all of their groups.

    The predictions of a bundle are named by hashes of files. Out-of-fold ones are of every slice that its network
    learned from; others tell nothing of that. A copy that was written anew has another hash.

    Returns:
        Ids of rows.

    Raises:
        ModelError: when the bundle's files were changed.
        DataError: when its predictions are no table.
    """
    if not json.loads(loaded.read("metrics.json")).get("out_of_fold"):
        return set()
    known = set(PredictionTable.of_bundle(loaded).ids)
    rows = list(zip(ready.manifest, ready.manifest.groups, ready.digests, strict=True))
    groups = {group for row, group, digest in rows if slice_hash(digest, row.frame) in known}
    return {row.id for row, group, _ in rows if group in groups}


def _names(row: Row) -> set[tuple[str, str]]:
    """What a row shares with those that must not be on the other side; group names hold within one data set."""
    names = {("group", f"{row.source}/{row.group}")} if row.group else set()
    return names | {("patient", patient_key(row))} if row.patient else names
