"""The network that is shipped: trained on every slice, with the out-of-fold scores of its recipe.

No slice is left to test it on, so nothing is claimed about this one network: its bundle and its card carry what
networks of the same recipe answered for patients that they had not seen, and say so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from tumorlens import bundle, config
from tumorlens.bundle.info import sha256
from tumorlens.config import Settings
from tumorlens.data.manifest import Manifest
from tumorlens.evaluation.metrics import evaluate_table
from tumorlens.evaluation.subgroups import patients, subgroups
from tumorlens.evaluation.table import PredictionTable
from tumorlens.io.atomic import json_bytes
from tumorlens.models.keras_setup import import_keras
from tumorlens.pipeline import crossscoring, finishing, locking, placing, running, runs
from tumorlens.pipeline.gating import gate_file, gate_for
from tumorlens.pipeline.public import public_metrics, public_predictions, public_settings
from tumorlens.pipeline.reporter import LogReporter, Reporter
from tumorlens.preprocess.cache import Standardised
from tumorlens.preprocess.recipe import Recipe
from tumorlens.report.card import model_card

FINAL = "final"


def ship(
    folder: Path,
    settings: Settings,
    ready: Standardised,
    whole: runs.Start,
    found: crossscoring.Scored,
    tell: Reporter,
) -> Path:
    """Train on all slices and write ``bundle/`` into the folder of the cross-validation.

    Args:
        folder: of a cross-validation whose trainings have ended.
        settings: of its recipe; the network is trained with its first seed.
        ready: all slices, in folds.
        whole: what the cross-validation decided before it began.
        found: the scores of the cross-validation, and the out-of-fold answers and trust that the bundle gets.
        tell: told how it goes.

    Returns:
        The bundle.

    Raises:
        Interrupted: after Ctrl-C; calling it again continues.
    """
    place, target = folder / FINAL, folder / "bundle"
    settings = _to_the_end(settings, tell)
    every = replace(
        ready, manifest=ready.manifest.with_rows(replace(row, split="train", fold="") for row in ready.manifest)
    )
    if (place / "config.toml").is_file():
        with locking.held(place):
            runs.sweep(place)
            start = runs.reopen(place)[2]
            return _made(place, target, settings, every, ready, start, found, tell)
    recipe = Recipe.from_settings(settings.preprocess)
    fingerprint = runs.fingerprint(every.manifest, ready.digests, recipe.key)
    start = replace(whole, created=runs.now(), fingerprint=fingerprint, notes=(), kind="training")
    with runs.new_folder(place, start.name):
        runs.begin(place, settings, every.manifest, start)
        return _made(place, target, settings, every, ready, start, found, tell)


def _to_the_end(settings: Settings, tell: Reporter) -> Settings:
    """All epochs, and the last one's weights: without validation slices no epoch is known to be better."""
    train = settings.train
    if train.patience == 0 and train.keep == "last":
        return settings
    tell.note("on all slices: every epoch is trained and the last one's weights are kept, as none are left to judge by")
    return msgspec.structs.replace(settings, train=msgspec.structs.replace(train, patience=0, keep="last"))


def _made(
    place: Path,
    target: Path,
    settings: Settings,
    every: Standardised,
    ready: Standardised,
    start: runs.Start,
    found: crossscoring.Scored,
    tell: Reporter,
) -> Path:
    log = LogReporter(tell, place / "log.txt")
    made = running.network(settings, every, log)
    progress = running.fit(place, settings, every, made, start, log)
    samples = np.asarray(every.images[:: max(1, len(every.manifest) // finishing.PARITY_SLICES)])
    info, onnx = finishing.exported(place, settings, every, made, progress, start, samples, log)
    gate, rejection = gate_for(every.images, info.recipe.size, settings.evaluate, log)
    if rejection is None:  # the folds may have had one
        found = found.without_gate(settings)
    trust, series, table = found.trust, found.series, found.table
    info = msgspec.structs.replace(
        info, **trust.fields("out-of-fold"), series=series.fields("out-of-fold"), rejection=rejection
    )
    metrics = claims(settings, every.manifest, table, found.metrics, info, sha256(onnx), start)
    index = {row.id: i for i, row in enumerate(ready.manifest)}
    public = public_metrics(metrics, start.provenance)
    travelling = public_predictions(table, ready, [index[name] for name in table.ids], start.provenance)
    bundle.write_bundle(
        target,
        info,
        {
            "model.onnx": onnx,
            **gate_file(gate),
            "metrics.json": json_bytes(public),
            "predictions.csv": travelling.to_csv().encode(),
            "MODEL_CARD.md": model_card(public, config.to_toml(public_settings(settings))).encode(),
        },
    )
    import_keras().backend.clear_session()
    return target


def claims(
    settings: Settings,
    manifest: Manifest,
    table: PredictionTable,
    crossval: Mapping[str, Any],
    info: bundle.BundleInfo,
    network: str,
    start: runs.Start,
) -> dict[str, Any]:
    """What the bundle claims: the out-of-fold scores in the place of a test's.

    Args:
        settings: of the recipe.
        manifest: all slices.
        table: out-of-fold answers, without leaked slices.
        crossval: ``metrics.json`` of the cross-validation.
        info: of the bundle.
        network: SHA-256 of ``model.onnx``.
        start: what the training on all slices decided before it began.
    """
    resamples, seed = settings.evaluate.bootstrap, settings.seed
    tested = evaluate_table(table, bootstrap=resamples, seed=seed, alpha=settings.evaluate.alpha)
    folds = sorted(set(table.folds))
    return {
        "schema": 1,
        "name": start.name,
        "created": start.created,
        "labels": list(info.labels),
        "validation": None,
        "test": {
            **tested,
            "as_shipped": None,
            "pointing_game": placing.pointing_game(crossval["localisation"]),
        },
        "localisation": crossval["localisation"],
        "as_shipped": None,
        "out_of_fold": {
            "folds": len(folds),
            "seeds": crossval["scores"]["runs"],
            "accuracy_sd_between_seeds": crossval["scores"]["accuracy"]["sd"],
        },
        "subgroups": subgroups(table, bootstrap=resamples, seed=seed),
        "patients": patients(table),
        "calibration": crossval["calibration"],
        "selective": crossval["selective"],
        "conformal": crossval["conformal"],
        "series": crossval["series"],
        "clever_hans": crossval["clever_hans"],
        "shortcut": crossval["shortcut"],
        "cross_validation": None,
        "leaked": None,
        "leaked_validation": None,
        "training": info.training,
        "data": {
            "sources": sorted({row.source for row in manifest}),
            "counts": {"train": manifest.count()},
            "groups": {"train": len(set(manifest.groups))},
            "skipped": crossval["data"]["skipped"],
            "notes": crossval["data"]["notes"],
            "published": start.provenance.get("published") or {},
            "unit": tested["unit"],
            "fingerprint": start.fingerprint,
        },
        "parity": info.parity,
        "model": {"name": info.name, "version": info.version, "sha256": network},
        "versions": crossval["versions"],
    }
