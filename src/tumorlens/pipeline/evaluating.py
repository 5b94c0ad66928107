"""Scoring a model on labelled data."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tumorlens import bundle, config
from tumorlens.config import Settings
from tumorlens.errors import DataError
from tumorlens.inference import Predictor
from tumorlens.io.atomic import write_json
from tumorlens.pipeline.dataset import Data, labelled, read, standardised
from tumorlens.pipeline.reporter import Reporter
from tumorlens.pipeline.scoring import scores, table_of


def evaluate(
    model: str | os.PathLike[str],
    data: Data,
    *,
    out: str | os.PathLike[str] | None = None,
    settings: Settings | Mapping[str, Any] | None = None,
    reporter: Reporter | None = None,
) -> dict[str, Any]:
    """Every metric of a model on labelled data; the contract's ``evaluate --json`` document.

    With ``data.test_fold`` only that fold is scored; with a data set that brings a test split, only that.

    Args:
        model: MODEL.
        data: DATA.
        out: folder for ``metrics.json`` and ``predictions.csv``, or None.
        settings: columns and bootstrap.
        reporter: told how it goes.

    Raises:
        ModelError: when there is no such model.
        DataError: when the data cannot be used, or has classes that the model does not know.
    """
    chosen, tell = config.as_settings(settings), reporter or Reporter()
    predictor = Predictor(bundle.load(model))
    if caution := predictor.bundle.info.caution:
        tell.warn(caution)
    manifest = labelled(read(data, settings=chosen.data, reporter=tell))
    if chosen.data.test_fold:
        manifest = manifest.where(lambda row: row.fold == chosen.data.test_fold)
    elif any(row.split == "test" for row in manifest):
        manifest = manifest.split("test")
        tell.note(f"scoring the {len(manifest)} slices of the data's test set")
    _check_classes(sorted(set(manifest.labels)), predictor.labels, len(manifest))
    ready = standardised(manifest, predictor.bundle.info.recipe, tell)
    with tell.progress("predicting") as progress:
        outputs = predictor.run(ready.images, progress)
    table = table_of(ready.manifest, predictor.labels, outputs)
    document = scores(table, set(), chosen.evaluate, chosen.seed)
    if out is not None:
        folder = Path(out)
        write_json(folder / "metrics.json", document)
        table.write_csv(folder / "predictions.csv")
    return document


def _check_classes(found: list[str], known: tuple[str, ...], count: int) -> None:
    if not count:
        raise DataError("no slice is left to score", hint="look at --fold-column and --test-fold", code="empty")
    unknown = sorted(set(found) - set(known))
    if unknown:
        raise DataError(
            f"the data has class {unknown[0]!r}, which the model does not know; it knows {', '.join(known)}",
            hint="leave those images out, or rename the class folder",
            code="unknown_class",
        )
