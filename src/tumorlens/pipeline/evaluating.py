"""Scoring a model on labelled data."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from tumorlens import bundle, config
from tumorlens.config import Settings
from tumorlens.data.manifest import Manifest, by_code
from tumorlens.data.split import leaked
from tumorlens.errors import DataError, MissingExtraError
from tumorlens.evaluation.looking import write_looks
from tumorlens.inference import Predictor, engines
from tumorlens.io.atomic import write_json, writing
from tumorlens.pipeline import looking, robustness
from tumorlens.pipeline.dataset import Data, held_out, labelled, outlined, read, standardised
from tumorlens.pipeline.dividing import examined
from tumorlens.pipeline.reporter import Reporter
from tumorlens.pipeline.scoring import scores, table_of, tumour_shares
from tumorlens.pipeline.seen import learned, seen
from tumorlens.report.robustness import robustness_figure


def evaluate(
    model: str | os.PathLike[str],
    data: Data,
    *,
    out: str | os.PathLike[str] | None = None,
    settings: Settings | Mapping[str, Any] | None = None,
    corruptions: bool = False,
    engine: str = engines.DEFAULT,
    reporter: Reporter | None = None,
) -> dict[str, Any]:
    """Every metric of a model on labelled data; the contract's ``evaluate --json`` document.

    With ``data.test_fold`` only that fold is scored; with a data set that brings a test split, only that. Slices that
    share a patient, group or picture with the data's own training part, or with what the model's run was trained on,
    are left out of the scores (``leaked`` names them, ``as_shipped`` scores them too). ``skipped`` lists what could not
    be used. ``clever_hans`` says whether the answers hang on the tumour, where slices have a mask (see
    :func:`tumorlens.evaluation.looking.clever_hans`), else None.

    Args:
        model: MODEL.
        data: DATA.
        out: folder for ``metrics.json``, ``predictions.csv`` and ``edits.csv``, or None.
        settings: columns and bootstrap.
        corruptions: whether to ask again about some slices as worse scanners would show them: ``robustness`` (see
            :func:`tumorlens.pipeline.robustness.scored`), and ``robustness.png`` and ``.svg`` in ``out``.
        engine: which program runs the network, of :data:`tumorlens.inference.engines.ENGINES`.
        reporter: told how it goes.

    Raises:
        ModelError: when there is no such model.
        DataError: when the data cannot be used, has classes that the model does not know, or holds nothing but what
            the model was trained on.
        EnvironmentFailure: when ``out`` cannot be written.
    """
    chosen, tell = config.as_settings(settings), reporter or Reporter()
    predictor = Predictor(bundle.load(model), engine=engine)
    if caution := predictor.bundle.info.caution:
        tell.warn(caution)
    if out is not None:
        with writing(out):  # rather now than after the work
            Path(out).mkdir(parents=True, exist_ok=True)
    recipe = predictor.bundle.info.recipe
    manifest = held_out(labelled(read(data, settings=chosen.data, reporter=tell)), chosen.data)
    part = "test" if any(row.split == "test" for row in manifest) else ""
    _check_classes(manifest.split(part) if part else manifest, predictor.labels)
    # Nothing is divided here, so slices that merely look alike need not stay together.
    _, found = examined(manifest, chosen, tell, chains=False)
    for note in found.manifest.notes:
        tell.note(note)
    familiar = seen(predictor.bundle.where, found.manifest, tell)
    ready = standardised(found.manifest, recipe, tell)
    familiar |= learned(predictor.bundle, ready)
    if part:
        # What is not for testing counts as training, whether or not it says so.
        familiar |= set(
            leaked(ready.manifest.with_rows(replace(row, split=row.split or "train") for row in ready.manifest))
        )
        ready = ready.part(part)
        tell.note(f"scoring the {len(ready.manifest)} slices of the data's test set")
    if not len(ready.manifest):
        raise DataError("no test slice could be read", hint="look at the files of the test set", code="empty")
    with tell.progress("predicting") as progress:
        outputs = predictor.run(ready.images, progress)
    shares = tumour_shares(outlined(ready, recipe, tell))
    table = table_of(ready.manifest, predictor.labels, outputs, ready.images, shares)
    sets = predictor.trust.conformal
    alpha = sets.alpha if sets else None
    document = scores(table, familiar & set(table.ids), chosen.evaluate, chosen.seed, alpha)
    _tell(document, ready.manifest, tell)
    left_out = sorted(familiar & set(table.ids))
    looks = looking.look(ready.manifest.where(lambda row: row.id not in familiar), predictor, chosen, tell)
    document["clever_hans"] = looking.gap(looks, table, chosen)
    document["robustness"] = None
    if corruptions:
        fresh = ready.manifest.where(lambda row: row.id not in familiar)
        document["robustness"] = robustness.scored(robustness.ask(fresh, predictor, chosen, tell), chosen)
    document["leaked"] = {"removed": len(left_out), "ids": left_out} if left_out else None
    document["skipped"] = [asdict(item) for item in ready.manifest.skipped]
    if out is not None:
        folder = Path(out)
        write_json(folder / "metrics.json", document)
        table.write_csv(folder / "predictions.csv")
        write_looks(folder / "edits.csv", looks)
        if corruptions:
            _draw(document["robustness"], folder, tell)
    return document


def _draw(found: dict[str, Any], folder: Path, tell: Reporter) -> None:
    try:
        robustness_figure(found, folder / "robustness")
    except MissingExtraError as error:
        tell.warn(f"no figure: {error.message}; {error.hint}")


def _tell(document: dict[str, Any], manifest: Manifest, tell: Reporter) -> None:
    """Warn of what the scores leave out.

    Raises:
        DataError: when that is everything.
    """
    if manifest.skipped:
        tell.warn(f"{len(manifest.skipped)} inputs were left out ({by_code(manifest.skipped)}); -v lists them")
    if not document["n"]:
        raise DataError(
            "every slice shares a patient or picture with what the model was trained on, so there is no honest score",
            hint="score slices of other patients",
            code="all_leaked",
        )
    if document["as_shipped"]:
        count = document["as_shipped"]["n"] - document["n"]
        tell.warn(
            f"{count} slices share a patient or picture with training; the scores leave them out (as_shipped has them)"
        )


def _check_classes(manifest: Manifest, known: tuple[str, ...]) -> None:
    unknown = sorted(set(manifest.labels) - set(known))
    if unknown:
        raise DataError(
            f"the data has class {unknown[0]!r}, which the model does not know; it knows {', '.join(known)}",
            hint="leave those images out, or rename the class folder",
            code="unknown_class",
        )
