"""Finding the slices of a bundle's table among those of a data set, by what their files hold."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from tumorlens import io
from tumorlens.bundle import slice_hash
from tumorlens.config import DataSettings, Settings
from tumorlens.data.manifest import Row
from tumorlens.errors import InputError
from tumorlens.evaluation.table import PredictionTable
from tumorlens.pipeline.dataset import Data, read
from tumorlens.pipeline.reporter import Reporter
from tumorlens.pipeline.verifying.checks import Check, of_wrong
from tumorlens.pipeline.verifying.reasking import Places


@dataclass(frozen=True)
class Matched:
    """Slices of a table that are at hand.

    Attributes:
        rows: those of the data set with the same content, by the name that the table has for it; never empty lists.
        looked: how many slices the data set has.
    """

    rows: dict[str, list[Row]]
    looked: int

    @property
    def places(self) -> Places:
        """File and frame of each, by name."""
        return {name: (rows[0].path, rows[0].frame) for name, rows in self.rows.items()}


def matched(table: PredictionTable, data: Data, settings: Settings, tell: Reporter) -> Matched:
    """The slices of a bundle's table that a data set holds.

    Args:
        table: its names are hashes (:func:`tumorlens.bundle.slice_hash`), with ``-2``, … where one comes again.
        data: no column of it is needed, whatever columns the bundle's training named: files are told by content.
        settings: of the bundle, for the smallest mask that names a class.
        tell: told how it goes.

    Raises:
        DataError: when there is nothing to read.
    """
    masks = DataSettings(min_mask_pixels=settings.data.min_mask_pixels)
    manifest = read(data, settings=masks, reporter=tell)
    paths = list(dict.fromkeys(row.path for row in manifest))
    digests: dict[str, str] = {}
    with tell.progress("comparing files") as progress:
        for done, path in enumerate(paths, start=1):
            try:
                digests[path] = io.digest(path)
            except InputError:
                continue
            finally:
                progress(done, len(paths))
    known = defaultdict(list)
    for row in manifest:
        if row.path in digests:
            known[slice_hash(digests[row.path], row.frame)].append(row)
    plain = {name: name.partition("-")[0] for name in table.ids}
    return Matched({name: known[own] for name, own in plain.items() if own in known}, len(manifest))


def labels_again(table: PredictionTable, found: Matched) -> Check:
    """Whether a table has the classes that the data set gives its slices."""
    label = dict(zip(table.ids, table.labels, strict=True))
    given = {name: {row.label for row in rows} - {""} for name, rows in found.rows.items()}
    compared = [name for name, labels in given.items() if labels]
    if not compared:
        return Check("classes, against DATA", None, "DATA names no class of the slices that are known")
    wrong = [f"{name} is {label[name]}, in DATA {', '.join(sorted(given[name]))}" for name in compared]
    wrong = [text for name, text in zip(compared, wrong, strict=True) if label[name] not in given[name]]
    return of_wrong("classes, against DATA", wrong, f"{len(compared)} slices")
