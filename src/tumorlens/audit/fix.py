"""A cleaned data set: one of each picture, without contradictions and foreign pictures, with groups."""

from __future__ import annotations

from tumorlens.audit.examine import Examination
from tumorlens.data.manifest import Manifest, Skipped


def fixed(found: Examination) -> Manifest:
    """The data set without what should not be trained on; what was left out is in ``skipped`` with its reason.

    Of the copies of one picture the first is kept, a test slice before one of training: the shipped test set stays as
    large as it honestly can be.
    """
    manifest = found.manifest
    left_out: dict[int, Skipped] = {}

    def leave(row: int, code: str, reason: str) -> None:
        left_out.setdefault(row, Skipped(manifest.rows[row].id, code, reason))

    for conflict in found.conflicts:
        for row in conflict.rows:
            leave(row, "conflict", f"copies of it are labelled {', '.join(sorted(set(conflict.labels)))}")
    for item in found.foreign or ():
        leave(item.row, "foreign", item.reason)
    for members in found.clusters.members():
        usable = [row for row in members if row not in left_out]
        usable.sort(key=lambda row: (manifest.rows[row].split != "test", row))
        for row in usable[1:]:
            leave(row, "copy", f"a copy of {manifest.rows[usable[0]].id}")
    return manifest.without(
        tuple(left_out[row] for row in sorted(left_out)), {manifest.rows[row].id for row in left_out}
    )
