"""What the folder of a run keeps, read without its pictures, which may be gone."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tumorlens.config import Settings
from tumorlens.data.manifest import Manifest, Row
from tumorlens.errors import DataError
from tumorlens.evaluation.table import PredictionTable
from tumorlens.labels import LabelEncoding
from tumorlens.pipeline import runs
from tumorlens.pipeline.verifying.checks import Check, of_wrong


@dataclass(frozen=True)
class Kept:
    """A run that has finished.

    Attributes:
        folder: of it.
        settings: ``config.toml``.
        start: ``run.json``.
        manifest: ``manifest.csv``, every line of it.
        metrics: ``metrics.json``.
    """

    folder: Path
    settings: Settings
    start: runs.Start
    manifest: Manifest
    metrics: dict[str, Any]

    @property
    def places(self) -> dict[str, tuple[str, int | None]]:
        """File and frame of each slice, by id, whether or not they are still there."""
        return {row.id: (row.path, row.frame) for row in self.manifest}


def open_folder(folder: Path, kind: str) -> Kept:
    """The run in a folder.

    Args:
        folder: of the run.
        kind: ``training`` or ``crossval``.

    Raises:
        UsageError: when it has not finished, or a file of it is missing or damaged.
        DataError: when ``manifest.csv`` is damaged.
    """
    if not (folder / "metrics.json").is_file():
        raise runs.unfinished(folder, folder)
    settings, start = runs.begun(folder, kind)
    return Kept(folder, settings, start, manifest_of(folder), runs.document(folder / "metrics.json"))


def manifest_of(folder: Path) -> Manifest:
    """``manifest.csv`` as it was written, none of its files looked for.

    Raises:
        DataError: when it is damaged.
    """
    path = folder / "manifest.csv"
    try:
        with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
            found = Manifest(tuple(_row(folder, line) for line in csv.DictReader(file)))
    except (OSError, KeyError, ValueError, TypeError, csv.Error) as error:
        raise DataError(f"{path} is damaged: {type(error).__name__}", hint="restore that file") from error
    if not len(found):
        raise DataError(f"{path} is damaged: it lists no slice", hint="restore that file")
    return found


def _row(folder: Path, line: dict[str, str]) -> Row:
    texts = {name: line[name] for name in ("id", "label", "patient", "group", "source", "split", "fold")}
    return Row(path=str(folder / line["path"]), frame=int(line["frame"]) if line["frame"] else None, **texts)


def against_manifest(name: str, table: PredictionTable, manifest: Manifest, tested: Iterable[Row]) -> Check:
    """Whether a table has an answer for every slice that it should, each with the label, patient and part it has there.

    Args:
        name: of the check.
        table: of a run.
        manifest: of the run, for its groups and classes.
        tested: its rows that must be in the table, as they must be there.
    """
    group = dict(zip((row.id for row in manifest), manifest.groups, strict=True))
    wanted = {row.id: (row.label, row.patient, group[row.id], row.source, row.split, row.fold) for row in tested}
    columns = ("label", "patient", "group", "source", "split", "fold")
    found = zip(
        table.labels, table.patients, table.groups, table.sources, table.splits, table.folds, strict=True
    )  # fmt: skip
    wrong = []
    for slice_id, values in zip(table.ids, found, strict=True):
        if slice_id not in wanted:
            wrong.append(f"{slice_id} is not among the slices that were held out")
            continue
        wrong += [
            f"{column} of {slice_id} is another"
            for column, one, other in zip(columns, values, wanted[slice_id], strict=True)
            if one != other
        ]
    counts = Counter(table.ids)
    wrong += [f"{slice_id} is there {n} times" for slice_id, n in counts.items() if n > 1]
    wrong += [f"{slice_id} has no answer" for slice_id in wanted if slice_id not in counts]
    if table.names != LabelEncoding.fit(manifest.labels).names:
        wrong.append(f"the classes are {', '.join(table.names)}")
    return of_wrong(name, wrong, f"{len(table)} slices")
