"""After training: export, evaluate, explain, report. Everything is read from what was saved."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from tumorlens import __version__, bundle, config
from tumorlens.bundle import Bundle, BundleInfo
from tumorlens.bundle.info import sha256
from tumorlens.config import Settings
from tumorlens.data import split as splitting
from tumorlens.data.manifest import Manifest
from tumorlens.errors import MissingExtraError
from tumorlens.evaluation.localisation import write_places
from tumorlens.evaluation.looking import write_looks
from tumorlens.evaluation.subgroups import patients, subgroups
from tumorlens.evaluation.table import PredictionTable
from tumorlens.inference import Outputs, Predictor
from tumorlens.inference.trust import Trust
from tumorlens.inference.trust.series import SeriesTrust
from tumorlens.inference.trust.trust import LEAST_GROUPS, LEAST_SLICES
from tumorlens.io.atomic import json_bytes, write_json
from tumorlens.labels import LabelEncoding
from tumorlens.models import registry
from tumorlens.models.keras_setup import import_keras
from tumorlens.pipeline import drawing, looking, pictures, placing, runs, serial, trusting
from tumorlens.pipeline.dataset import outlined
from tumorlens.pipeline.explaining import ByOcclusion, Explains
from tumorlens.pipeline.gating import gate_file, gate_for
from tumorlens.pipeline.public import (
    public_metrics,
    public_predictions,
    public_provenance,
    public_settings,
    public_sources,
)
from tumorlens.pipeline.reporter import Reporter
from tumorlens.pipeline.scoring import scores, table_of, tumour_shares
from tumorlens.preprocess.cache import Standardised
from tumorlens.preprocess.recipe import Recipe
from tumorlens.report.card import model_card
from tumorlens.report.findings import class_probes
from tumorlens.training import export
from tumorlens.training.gradcam import Explainer
from tumorlens.training.shuffled import shuffled
from tumorlens.training.state import Progress

# Enough to see any difference between two implementations, few enough to cost nothing.
PARITY_SLICES = 64


def finish(
    folder: Path,
    settings: Settings,
    ready: Standardised,
    made: tuple[Any, str],
    progress: Progress,
    start: runs.Start,
    tell: Reporter,
    *,
    folds: dict[str, Any] | None = None,
) -> tuple[dict[str, Any], Path | None]:
    """Turn a fitted network into a bundle, scores and a report.

    Args:
        folder: of the run.
        settings: of the run.
        ready: slices with their split.
        made: the network, and the device it was fitted on.
        progress: of the fit.
        start: what the run decided before it began.
        tell: told how it goes.
        folds: scores of the cross-validation, where there was one.

    Returns:
        ``metrics.json`` as a dictionary, and the report's path (None where it is not wanted, or without the ``report``
        extra).
    """
    encoding = LabelEncoding.fit(ready.manifest.labels)
    held_out = [i for i, row in enumerate(ready.manifest.rows) if row.split in ("val", "test")]
    manifest = ready.manifest.with_rows(ready.manifest.rows[i] for i in held_out)
    images = np.asarray(ready.images[held_out])

    samples = images[:: max(1, len(images) // PARITY_SLICES)]
    info, onnx = exported(folder, settings, ready, made, progress, start, samples, tell)
    leaks = splitting.leaked(ready.manifest)
    copied = set(splitting.leaked(ready.manifest, "val"))
    # The validation slices that share nothing with training: all that may decide about a model.
    held = np.array([row.split == "val" and row.id not in copied for row in manifest], bool)
    network, rejection = gate_for(images[held], info.recipe.size, settings.evaluate, tell)
    info = msgspec.structs.replace(info, rejection=rejection)
    # The scores are made by the very bytes that are deployed.
    with tell.progress("evaluating") as update:
        outputs = Predictor(Bundle(info, "", onnx, folder / "bundle", network)).run(images, update)
    outlines = outlined(ready.choose(held_out), info.recipe, tell)
    raw = table_of(manifest, encoding.names, outputs, images, tumour_shares(outlines))
    trust = _trust(raw.where(held), outputs.logits[held], settings, tell)
    table = trusting.judged(raw, trust, outputs.logits)
    series = serial.fitted(table.where(held), settings.evaluate)
    fields = {**trust.fields("validation"), "series": series.fields("validation")}
    info = msgspec.structs.replace(info, **fields)
    predictor = Predictor(Bundle(info, "", onnx, folder / "bundle", network))
    outputs = predictor.judged(outputs)
    table.write_csv(folder / "predictions.csv")

    metrics = claims(settings, ready.manifest, table, info, sha256(onnx), start)
    tested = np.array([row.split == "test" and row.id not in leaks for row in manifest], bool)
    metrics["calibration"] = trusting.calibration(raw.where(tested), table.where(tested), trust, settings.seed)
    metrics |= {"selective": info.selective, "conformal": info.conformal}
    chosen = np.flatnonzero(tested)
    honest = ready.choose([held_out[i] for i in chosen])
    looks = looking.look(honest.manifest, predictor, settings, tell)
    write_looks(folder / "edits.csv", looks)

    def mixed() -> Predictor:
        return Predictor(Bundle(info, "", shuffled(onnx, settings.seed), folder / "bundle", network))

    explainers = _explainers(made[0], outputs, settings, predictor, mixed)
    places = placing.place(honest, outlines.choose(chosen.tolist()), outputs.take(chosen), settings, mixed, explainers)
    write_places(folder / "maps.csv", places)
    found = placing.scored(places, table, settings)
    metrics["test"]["pointing_game"] = placing.pointing_game(found)
    metrics |= {
        "localisation": found,
        "cross_validation": folds,
        "shortcut": best_shortcut(folder),
        "clever_hans": looking.gap(looks, table, settings),
        "subgroups": subgroups(
            table.where(tested),
            bootstrap=settings.evaluate.bootstrap,
            seed=settings.seed,
        ),
        "patients": patients(table.where(tested)),
        "series": _of_series(table.where(tested), series, settings),
    }
    write_json(folder / "metrics.json", metrics)
    report = None
    if settings.evaluate.report:
        try:
            pictures.draw(folder, settings, ready, manifest, images, table, outputs, predictor, explainers, looks)
            from tumorlens.report.html import render_report

            report = render_report(folder)
        except MissingExtraError as error:
            tell.warn(f"no report: {error.message}; {error.hint}")
    public = public_metrics(metrics, start.provenance)
    travelling = public_predictions(table, ready, held_out, start.provenance, {*leaks, *copied})
    # Last, so that a run with a bundle is a run that has finished.
    bundle.write_bundle(
        folder / "bundle",
        info,
        {
            "model.onnx": onnx,
            **gate_file(network),
            "metrics.json": json_bytes(public),
            "predictions.csv": travelling.to_csv().encode(),
            "MODEL_CARD.md": model_card(public, config.to_toml(public_settings(settings))).encode(),
        },
    )
    import_keras().backend.clear_session()
    return metrics, report


def _trust(held: PredictionTable, logits: np.ndarray, settings: Settings, tell: Reporter) -> Trust:
    """Fitted to held-out slices, and their logits (N, classes)."""
    trust = trusting.fitted(held, settings.evaluate, logits)
    if settings.evaluate.calibrate and trust.temperature is None:
        tell.note(
            f"not calibrated: {len(held)} validation slices of {len(set(held.groups))} groups are too few (at least "
            f"{LEAST_SLICES} and {LEAST_GROUPS})"
        )
    return trust


def _of_series(table: PredictionTable, series: SeriesTrust, settings: Settings) -> dict[str, Any]:
    return serial.scored(serial.judged(table, series), table, settings.evaluate, settings.seed)


def _explainers(
    model: Any, outputs: Outputs, settings: Settings, predictor: Predictor, mixed: Callable[[], Predictor]
) -> list[Explains]:
    """For a network without a map of its own; Grad-CAM needs TensorFlow."""
    if outputs.activation is not None:
        return []
    graded = import_keras().backend.backend() == "tensorflow"
    return [*([Explainer(model, settings.seed)] if graded else []), ByOcclusion(predictor, mixed)]


def exported(
    folder: Path,
    settings: Settings,
    ready: Standardised,
    made: tuple[Any, str],
    progress: Progress,
    start: runs.Start,
    samples: np.ndarray,
    tell: Reporter,
) -> tuple[BundleInfo, bytes]:
    """The fitted network as ONNX, compared with Keras on ``samples`` (uint8 (N, S, S)), and what its bundle says of it.

    ``checkpoints/model.keras`` is written, too.
    """
    model, device = made
    encoding = LabelEncoding.fit(ready.manifest.labels)
    tell.note("exporting to ONNX and comparing it with Keras")
    deployable = export.in_float32(model, settings, len(encoding.names))
    # One file, replaced as a whole; kept for `tumorlens export --to keras` and for further training.
    keras_file = folder / "checkpoints" / "model.keras"
    temporary = keras_file.with_name("part-model.keras")
    deployable.save(temporary)
    temporary.replace(keras_file)
    onnx, parity = export.to_onnx(deployable, samples[:PARITY_SLICES])

    info = BundleInfo(
        name=start.name,
        version=re.sub(r"[^0-9]", "", start.created)[:14],
        created=start.created,
        labels=encoding.names,
        recipe=Recipe.from_settings(settings.preprocess),
        outputs=tuple(name for name in export.OUTPUTS if name in deployable.output),
        flip_average=settings.evaluate.flip_average,
        data={
            "fingerprint": start.fingerprint,
            "counts": _counts(ready.manifest),
            "sources": public_sources(_sources(ready.manifest), start.provenance),
            "provenance": public_provenance(start.provenance),
        },
        training=_training(settings, ready, model, progress, device),
        parity=parity,
        versions=start.versions,
    )
    return info, onnx


def claims(
    settings: Settings, manifest: Manifest, table: PredictionTable, info: BundleInfo, network: str, start: runs.Start
) -> dict[str, Any]:
    """What ``metrics.json`` says of the answers, the data and the network; training adds the rest.

    Args:
        settings: of the run.
        manifest: all slices with their split.
        table: the answers for those that were held out.
        info: of the bundle.
        network: SHA-256 of ``model.onnx``.
        start: what the run decided before it began.
    """
    leaks = splitting.leaked(manifest)
    alpha = info.conformal["alpha"] if info.conformal else None
    tested = scores(table.where("test"), set(leaks), settings.evaluate, settings.seed, alpha)
    unit = tested["unit"]
    copied = splitting.leaked(manifest, "val")
    return {
        "schema": 1,
        "name": start.name,
        "created": start.created,
        "labels": list(info.labels),
        "validation": scores(table.where("val"), set(copied), settings.evaluate, settings.seed, alpha),
        "test": tested,
        "as_shipped": tested["as_shipped"],
        "leaked": {"removed": len(leaks), "pairs": [list(pair) for pair in leaks.items()]} if leaks else None,
        "leaked_validation": {"removed": len(copied), "pairs": [list(pair) for pair in copied.items()]}
        if copied
        else None,
        "training": info.training,
        "data": {
            "sources": _sources(manifest),
            "counts": _counts(manifest),
            "groups": {name: len(set(manifest.split(name).groups)) for name in splitting.SPLITS},
            "skipped": [{"path": item.path, "code": item.code, "reason": item.reason} for item in start.skipped],
            "notes": list(start.notes),
            "unit": unit,
            "fingerprint": start.fingerprint,
        },
        "parity": info.parity,
        "model": {"name": info.name, "version": info.version, "sha256": network},
        "versions": {**start.versions, "tumorlens": __version__},
    }


def best_shortcut(folder: Path) -> dict[str, Any] | None:
    """The probe of the run's audit that names the class best without seeing a tumour; None where none was scored."""
    path = folder / "audit.json"
    scored = class_probes(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}
    if not scored:
        return None
    best = max(scored, key=lambda name: scored[name]["balanced_accuracy"])
    found = scored[best]
    numbers = {key: found[key] for key in ("balanced_accuracy", "ci95", "chance", "n")}
    return {"probe": best, **numbers, "clear": bool(found["finding"])}


def _training(settings: Settings, ready: Standardised, model: Any, progress: Progress, device: str) -> dict[str, Any]:
    guided = registry.learns_from_masks(settings.model)
    speeds = [row["images_per_second"] for row in progress.history]
    return {
        "model": settings.model.name,
        "parameters": int(model.count_params()),
        "epochs": progress.epoch,
        "best_epoch": progress.best_epoch,
        "kept": settings.train.keep,
        "seconds": round(progress.seconds, 1),
        "images_per_second": float(np.median(speeds)),
        "device": device,
        "precision": settings.train.precision,
        "seed": settings.seed,
        "backend": import_keras().backend.backend(),
        "size": settings.preprocess.size,
        "masks": sum(1 for row in ready.manifest.split("train") if row.mask) if guided else 0,
        # Slices of the phantom with masks, learned from beside the data's own.
        "drawn": drawing.count(settings),
        # Twins, transplants and decoys: how many were tried, and came off; what did not stays as it was.
        "edits": {kind: {"tried": tried, "made": made} for kind, (tried, made) in progress.edits.items()},
    }


def _counts(manifest: Manifest) -> dict[str, dict[str, int]]:
    return {name: manifest.split(name).count() for name in splitting.SPLITS}


def _sources(manifest: Manifest) -> list[str]:
    return sorted({row.source for row in manifest})
