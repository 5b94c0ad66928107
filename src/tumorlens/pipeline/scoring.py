"""From standardised slices and a predictor to a table and its metrics: the one path for every score."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tumorlens.config import EvaluateSettings
from tumorlens.data.manifest import Manifest
from tumorlens.errors import InputError, MissingExtraError
from tumorlens.evaluation.metrics import evaluate_table
from tumorlens.evaluation.table import PredictionTable
from tumorlens.inference import Outputs
from tumorlens.io.facts import file_facts
from tumorlens.io.files import inspect
from tumorlens.preprocess.outlines import Outlines
from tumorlens.preprocess.plane import guess_planes
from tumorlens.preprocess.stack import Stack


def table_of(
    manifest: Manifest,
    labels: tuple[str, ...],
    outputs: Outputs,
    images: np.ndarray | Stack,
    tumours: Sequence[float | None] = (),
) -> PredictionTable:
    """The predictions beside the truth, one row per slice of the manifest.

    Args:
        manifest: the slices.
        labels: the classes, in the order of the outputs.
        outputs: for them.
        images: uint8 (N, S, S), as standardised; their planes are guessed.
        tumours: the tumour's share of each, by its mask; none are known when empty.
    """
    files = {path: _told(path) for path in dict.fromkeys(row.path for row in manifest)}
    told = [files[row.path] for row in manifest]
    accepted = None
    if outputs.accepted is not None:  # of text in a picture the network knows nothing, its answer in service does
        accepted = [bool(sure) and not marked for sure, (_, marked) in zip(outputs.accepted, told, strict=True)]
    return PredictionTable.build(
        labels,
        [row.id for row in manifest],
        manifest.labels,
        outputs.probabilities,
        patients=[row.patient for row in manifest],
        groups=manifest.groups,
        sources=[row.source for row in manifest],
        splits=[row.split for row in manifest],
        folds=[row.fold for row in manifest],
        planes=guess_planes(images),
        accepted=accepted,
        sets=outputs.sets,
        refused=None if outputs.refused is None else [bool(one) for one in outputs.refused],
        sides=[side for side, _ in told],
        tumours=tumours,
        burnt_in=[marked for _, marked in told],
    )


def _told(path: str) -> tuple[int, bool]:
    """The longer side of a file's picture as stored, in pixels; whether its header says that text is part of it.

    The side is 0 for volumes, arrays and what cannot be read.
    """
    try:
        facts = file_facts(path)
        marked = facts.kind == "dicom" and inspect(path).burnt_in
    except (InputError, MissingExtraError):  # the pictures may come from the cache
        return 0, False
    return max(facts.height or 0, facts.width or 0), marked


def tumour_shares(outlines: Outlines) -> list[float | None]:
    """The tumour's share of each framed slice, 0..1, to four digits; None where it has no mask."""
    return [
        None if place < 0 else round(float(outlines.masks[place].mean()) / 255, 4) for place in outlines.place.tolist()
    ]


def scores(
    table: PredictionTable, leaked: set[str], settings: EvaluateSettings, seed: int, alpha: float | None = None
) -> dict[str, Any]:
    """The metrics of a table: the headline without leaked slices, and as shipped when there are any.

    Args:
        table: of one split.
        leaked: ids whose group was trained on.
        settings: bootstrap.
        seed: of the bootstrap.
        alpha: error rate that the table's sets were made for.
    """
    clean = table.where([name not in leaked for name in table.ids]) if leaked else table
    shipped: dict[str, Any] | None = None
    if leaked:
        shipped = {**evaluate_table(table, bootstrap=settings.bootstrap, seed=seed, alpha=alpha), "leaky": True}
    if leaked and not len(clean):
        # Every test slice was trained on: there is no honest score, and none is made up.
        return {"n": 0, "as_shipped": shipped}
    return {**evaluate_table(clean, bootstrap=settings.bootstrap, seed=seed, alpha=alpha), "as_shipped": shipped}
