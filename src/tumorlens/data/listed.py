"""A manifest ``.csv`` becomes rows."""

from __future__ import annotations

import os
from pathlib import Path

from tumorlens.data import expand
from tumorlens.data.expand import Wanted
from tumorlens.data.listing import Entry
from tumorlens.data.manifest import Manifest, Row, Skipped
from tumorlens.data.tables import read_table


def read_listed(path: str, source: str, *, label: str = "", group_column: str = "", fold_column: str = "") -> Manifest:
    """The images that a table lists. A file that does not exist is skipped, not opened.

    Args:
        path: the table.
        source: name of the data set, for lines without one.
        label: the class of everything in it, whatever the table says.
        group_column: the column that holds the group; default: one named ``group``.
        fold_column: the column that holds the fold; default: one named ``fold``.

    Raises:
        DataError: when the table itself is unusable.
        MissingExtraError: when a format needs a package that is not installed.
    """
    table = read_table(path, group_column, fold_column)
    rows: list[Row] = []
    skipped: list[Skipped] = []
    ignored = 0
    for record in table.records:
        if not record.path:
            skipped.append(Skipped(f"{path}, line {record.line}", "not_found", "the line names no image"))
            continue
        problem = _missing(record.path)
        if problem is not None:
            skipped.append(problem)
            continue
        entry = Entry(record.path, (os.path.basename(record.path),))
        made, unusable = expand.rows(
            Wanted(
                path=record.path,
                suffix=entry.suffix,
                label=label or record.label,
                patient=record.patient,
                group=record.group,
                source=record.source or source,
                split=record.split,
                fold=record.fold,
                mask=record.mask,
                id=record.id,
                frame=record.frame,
                series=os.path.splitext(record.path)[0],
                sure_frame=table.sure_frames,
            )
        )
        ignored += sum(row.frame is None for row in made) if record.frame is not None else 0
        rows += made
        skipped += unusable
    notes = list(table.notes)
    if ignored:
        notes.append(f"{path}: the slice number of {ignored} single images is ignored")
    if not table.has_labels and not label:
        notes.append(f"{path} has no column with the class; its columns are {', '.join(table.columns)}")
    return Manifest(tuple(rows), tuple(skipped), tuple(notes))


def _missing(path: str) -> Skipped | None:
    try:
        if Path(path).stat().st_size == 0:
            return Skipped(path, "empty", f"{path} is empty (0 bytes)")
    except (OSError, ValueError):
        # Members of archives are looked up when they are read; that their archive exists is checked here.
        head = path.split("!", 1)[0]
        if "!" not in path or not os.path.isfile(head):
            return Skipped(path, "not_found", f"{path} does not exist")
    return None
