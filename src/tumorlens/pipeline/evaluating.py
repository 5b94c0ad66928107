"""Scoring a model on labelled data."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from tumorlens import bundle, config
from tumorlens.bundle import Bundle
from tumorlens.config import Settings
from tumorlens.data.manifest import Manifest, by_code
from tumorlens.data.split import leaked
from tumorlens.errors import DataError, MissingExtraError
from tumorlens.evaluation.localisation import Place, write_places
from tumorlens.evaluation.looking import write_looks
from tumorlens.inference import Outputs, Predictor, engines
from tumorlens.io.atomic import write_json, writing
from tumorlens.models.keras_setup import import_keras
from tumorlens.pipeline import looking, placing, robustness
from tumorlens.pipeline.dataset import Data, held_out, labelled, outlined, read, standardised
from tumorlens.pipeline.dividing import examined
from tumorlens.pipeline.explaining import ByOcclusion, Explains
from tumorlens.pipeline.kerasfile import keras_file
from tumorlens.pipeline.reporter import Reporter
from tumorlens.pipeline.rescoring import after_training
from tumorlens.pipeline.scoring import scores, table_of, tumour_shares
from tumorlens.pipeline.seen import learned, seen
from tumorlens.preprocess.cache import Standardised
from tumorlens.preprocess.outlines import Outlines
from tumorlens.report.robustness import robustness_figure
from tumorlens.training.gradcam import Explainer
from tumorlens.training.shuffled import shuffled


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
    be used. ``subgroups``, ``calibration``, ``series`` and ``by_patient`` (there ``patients``) are those of a run's
    test slices in its ``metrics.json``, and missing where no slice is left. ``clever_hans`` says whether the answers
    hang on the tumour, where slices have a mask (see :func:`tumorlens.evaluation.looking.clever_hans`), else None; so
    do ``localisation`` and ``pointing_game`` say whether its maps lie on the tumour (see
    :func:`tumorlens.evaluation.localisation.localisation`).

    Args:
        model: MODEL.
        data: DATA.
        out: folder for ``metrics.json``, ``predictions.csv``, ``edits.csv`` and ``maps.csv``, or None.
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
    # A likeness is no leak, so what was seen is told by copies and patients; for intervals look-alikes are one case.
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
    outlines = outlined(ready, recipe, tell)
    if outlines.problems:
        tell.warn(f"{len(outlines.problems)} masks are not used, for example: {outlines.problems[0].reason}")
    chained = dict(zip((row.id for row in found.manifest), found.together, strict=True))
    cases = ready.manifest.with_rows(replace(row, group=chained[row.id]) for row in ready.manifest)
    table = table_of(cases, predictor.labels, outputs, ready.images, tumour_shares(outlines))
    sets = predictor.trust.conformal
    alpha = sets.alpha if sets else None
    document = scores(table, familiar & set(table.ids), chosen.evaluate, chosen.seed, alpha)
    _tell(document, ready.manifest, tell)
    fresh = [i for i, row in enumerate(ready.manifest) if row.id not in familiar]
    if fresh:
        more = after_training(table.take(fresh), predictor.trust, predictor.series, chosen)
        document |= {"by_patient": more.pop("patients"), **more}
    left_out = sorted(familiar & set(table.ids))
    unseen = ready.choose(fresh)
    looks = looking.look(unseen.manifest, predictor, chosen, tell)
    document["clever_hans"] = looking.gap(looks, table, chosen)
    places = _places(unseen, outlines.choose(fresh), outputs.take(np.array(fresh)), predictor, chosen, tell)
    document["localisation"] = placing.scored(places, table, chosen)
    document["pointing_game"] = placing.pointing_game(document["localisation"])
    document["robustness"] = None
    if corruptions:
        asked = robustness.ask(unseen.manifest, predictor, chosen, tell)
        document["robustness"] = robustness.scored(asked, chosen)
    document["leaked"] = {"removed": len(left_out), "ids": left_out} if left_out else None
    document["skipped"] = [asdict(item) for item in ready.manifest.skipped]
    if out is not None:
        folder = Path(out)
        write_json(folder / "metrics.json", document)
        table.write_csv(folder / "predictions.csv")
        write_looks(folder / "edits.csv", looks)
        write_places(folder / "maps.csv", places)
        if corruptions:
            _draw(document["robustness"], folder, tell)
    return document


def _places(
    tested: Standardised, outlines: Outlines, outputs: Outputs, predictor: Predictor, settings: Settings, tell: Reporter
) -> list[Place]:
    """Where the maps lie, as after a training."""
    if not (outlines.place >= 0).any():
        return []

    def mixed() -> Predictor:
        # Whatever the engine: it is the network whose weights are shuffled.
        return Predictor(replace(predictor.bundle, model=shuffled(predictor.bundle.model, settings.seed)))

    possible = importlib.util.find_spec("onnx") is not None
    shuffles = mixed if possible else None
    explainers = (
        []
        if outputs.activation is not None
        else [*_grad_cam(predictor.bundle, settings), ByOcclusion(predictor, shuffles)]
    )
    with tell.progress("scoring maps"):
        places = placing.place(tested, outlines, outputs, settings, shuffles, explainers)
    if not possible:
        tell.note("the maps are not compared with those of shuffled weights: that needs the extra train")
    return places


def _grad_cam(loaded: Bundle, settings: Settings) -> list[Explains]:
    """Where the network is at hand as a Keras file, and Keras on TensorFlow as well."""
    path = keras_file(loaded.where)
    if path is None:
        return []
    try:
        keras = import_keras()
    except MissingExtraError:
        return []
    if keras.backend.backend() != "tensorflow":
        return []
    return [Explainer(keras.models.load_model(path, compile=False, safe_mode=True), settings.seed)]


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
