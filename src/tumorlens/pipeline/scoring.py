"""From standardised slices and a predictor to a table and its metrics: the one path for every score."""

from __future__ import annotations

from typing import Any

import numpy as np

from tumorlens.config import EvaluateSettings
from tumorlens.data.manifest import Manifest
from tumorlens.evaluation.metrics import evaluate_table
from tumorlens.evaluation.table import PredictionTable
from tumorlens.inference import Outputs
from tumorlens.preprocess.plane import guess_planes
from tumorlens.preprocess.stack import Stack


def table_of(
    manifest: Manifest, labels: tuple[str, ...], outputs: Outputs, images: np.ndarray | Stack
) -> PredictionTable:
    """The predictions beside the truth, one row per slice of the manifest.

    Args:
        manifest: the slices.
        labels: the classes, in the order of the outputs.
        outputs: for them.
        images: uint8 (N, S, S), as standardised; their planes are guessed.
    """
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
        accepted=None if outputs.accepted is None else [bool(one) for one in outputs.accepted],
        sets=outputs.sets,
    )


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
