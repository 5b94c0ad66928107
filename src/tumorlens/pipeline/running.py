"""One training in a run folder: the network and its fit."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from tumorlens import config
from tumorlens.config import Settings
from tumorlens.data import split as splitting
from tumorlens.data.manifest import Manifest, by_code
from tumorlens.errors import DataError
from tumorlens.labels import NO_TUMOR, LabelEncoding
from tumorlens.models import keras_setup, registry
from tumorlens.models import start as starting
from tumorlens.pipeline import drawing, runs
from tumorlens.pipeline.dataset import Data, labelled, outlined, read
from tumorlens.pipeline.dividing import warn_of_leaks
from tumorlens.pipeline.reporter import Reporter
from tumorlens.preprocess.cache import Standardised
from tumorlens.preprocess.outlines import Outlines
from tumorlens.preprocess.plane import guess_planes
from tumorlens.preprocess.recipe import Recipe
from tumorlens.preprocess.stack import Stack
from tumorlens.training.batches import Drawn, TrainingBatches
from tumorlens.training.implants import Implants
from tumorlens.training.loop import Loop, Validation, Watcher
from tumorlens.training.state import Progress


def check(settings: Settings, out: str | os.PathLike[str] | None) -> None:
    """Say what is wrong with settings, or with where a run is to be kept, before an hour of decoding, not after.

    Raises:
        ConfigError: for a model or a device that do not exist, or weights to start from that cannot be.
        UsageError: when ``out`` already holds something.
    """
    if out is not None:
        runs.check_free(Path(out))
    keras_setup.check(settings.train.device)
    registry.check(settings.model)
    starting.check(settings.train.start)


def trainable(data: Data, given: Settings | Mapping[str, Any] | None, tell: Reporter) -> Manifest:
    """The labelled slices of a data set, and what a network lacks in it said before an hour of decoding, not after.

    Args:
        data: DATA.
        given: complete settings; or those chosen by hand, the rest being planned, drawn masks where too few are there.
        tell: told how reading goes.

    Raises:
        DataError: without a label, with a single class, or without masks where the network learns from them.
    """
    settings = config.as_settings(given)
    manifest = labelled(read(data, settings=settings.data, reporter=tell))
    LabelEncoding.fit(manifest.labels)
    drawn = drawing.count(settings) or drawing.planned(given, manifest)
    if needs_masks(settings) and not any(row.mask for row in manifest) and (_implanting(settings) or not drawn):
        raise _without_masks(settings)
    if settings.train.start == starting.PHANTOM and "phantom" in manifest.provenance:
        tell.warn("train.start=phantom was learned from drawings of the same kind: scores on them are too good")
    if _implanting(settings) and NO_TUMOR not in manifest.labels:
        raise DataError(
            "augment.twins and augment.transplants need slices of the class no_tumor, and there are none",
            hint="add tumour-free slices (no_tumor=FOLDER), or set both to 0",
            code="no_healthy",
        )
    return manifest


def with_precision(settings: Settings, tell: Reporter) -> Settings:
    """The settings with the faster precision where they leave it open: measured once, so that resuming keeps it."""
    train = settings.train
    if train.precision != "auto":
        return settings
    keras_setup.prepare(train.device, "float32", train.deterministic, settings.seed)
    faster = keras_setup.faster_precision()
    tell.note(f"precision: {faster} was measured faster")
    return msgspec.structs.replace(settings, train=msgspec.structs.replace(train, precision=faster))


def tell_start(tell: Reporter) -> None:
    """Say why nothing happens for some seconds, where the backend has yet to be loaded."""
    if backend := keras_setup.not_loaded():
        tell.note(f"starting {backend}")


def network(settings: Settings, ready: Standardised, tell: Reporter) -> tuple[Any, str]:
    """The network with its initial weights, and the device it is on."""
    encoding = LabelEncoding.fit(ready.manifest.labels)
    train = settings.train
    device = keras_setup.prepare(train.device, train.precision, train.deterministic, settings.seed)
    model = registry.build(settings.model, settings.preprocess.size, len(encoding.names))
    if started := starting.begin(model, train.start):
        tell.note(started)
    return model, device


def fit(
    folder: Path, settings: Settings, ready: Standardised, made: tuple[Any, str], start: runs.Start, tell: Reporter
) -> Progress:
    """Fit a network to the training slices, from where the folder's checkpoints say it stands.

    Args:
        folder: of the run.
        settings: of the run.
        ready: slices with their split.
        made: from :func:`network`; its weights are those that the settings keep when this returns.
        start: what the run decided before it began.
        tell: told how it goes.

    Raises:
        DataError: when the network learns from masks and there are none.
        Interrupted: after Ctrl-C.
    """
    model, device = made
    _tell_data(ready.manifest, start, tell)
    tell.note(f"{settings.model.name}: {model.count_params():,} parameters, on the {device.upper()}")
    training, validation = ready.part("train"), ready.part("val")
    outlines = outlines_of(ready, settings, tell) if needs_masks(settings) else None
    encoding = LabelEncoding.fit(ready.manifest.labels)
    batches = batches_of(
        training.images,
        training.manifest.labels,
        encoding,
        outlines,
        model,
        settings,
        drawn=drawing.drawn_slices(settings, tell),
    )
    epochs = settings.train.epochs
    watcher = Watcher(
        on_batch=lambda epoch, step, steps, loss, accuracy: tell.batch(epoch, epochs, step, steps, loss, accuracy),
        on_epoch=lambda row: tell.epoch(row, epochs),
    )
    held_out = Validation(validation.images, encoding.encode(validation.manifest.labels))
    try:
        progress = Loop(model, batches, held_out, settings.train, folder / "checkpoints", watcher).run()
    finally:
        tell.trained()
    if progress.edits:
        told = (f"{kind} {made / tried:.0%} of {tried:,}" for kind, (tried, made) in sorted(progress.edits.items()))
        tell.note(f"edits that came off: {', '.join(told)}")
    return progress


def needs_masks(settings: Settings) -> bool:
    """Whether anything in a training learns from tumour masks: the network, or the augmentation."""
    return registry.learns_from_masks(settings.model) or _implanting(settings)


def batches_of(
    images: np.ndarray | Stack,
    labels: Sequence[str],
    encoding: LabelEncoding,
    outlines: Outlines | None,
    model: Any,
    settings: Settings,
    *,
    drawn: Drawn | None = None,
) -> TrainingBatches:
    """What a network is fitted to.

    Args:
        images: uint8 (N, S, S), the training slices.
        labels: of the same N.
        encoding: of all classes.
        outlines: of the training slices; needed where :func:`needs_masks`.
        model: the network.
        settings: of the run.
        drawn: slices beside them.
    """
    guided = registry.learns_from_masks(settings.model)
    return TrainingBatches(
        images=images,
        targets=encoding.one_hot(labels),
        weights=_weights(labels, settings.train.class_weights),
        size=min(settings.train.batch_size, len(labels)),
        settings=settings.augment,
        seed=settings.seed,
        outlines=outlines,
        mask_size=int(model.output["mask_logits"].shape[1]) if guided else 0,
        implants=_implants(images, labels, encoding, outlines, settings) if outlines is not None else None,
        drawn=drawn,
    )


def _implanting(settings: Settings) -> bool:
    return settings.augment.enabled and (settings.augment.twins > 0 or settings.augment.transplants > 0)


def _implants(
    images: np.ndarray | Stack,
    labels: Sequence[str],
    encoding: LabelEncoding,
    outlines: Outlines,
    settings: Settings,
) -> Implants | None:
    """Where tumours come from and go to; None where the settings ask for none."""
    if not _implanting(settings):
        return None
    return Implants(
        images=images,
        outlines=outlines,
        classes=encoding.encode(labels),
        healthy=encoding.names.index(NO_TUMOR),
        planes=np.array(guess_planes(images)),
        twins=settings.augment.twins,
        transplants=settings.augment.transplants,
    )


def outlines_of(ready: Standardised, settings: Settings, tell: Reporter) -> Outlines:
    """The tumour masks of the training slices.

    Raises:
        DataError: when there is none, and none is drawn.
    """
    every = outlined(ready, Recipe.from_settings(settings.preprocess), tell)
    for problem in every.problems:
        tell.warn(f"a mask is not used: {problem.reason}")
    chosen = [i for i, row in enumerate(ready.manifest) if row.split == "train"]
    outlines = every.choose(chosen)
    with_tumour = int((outlines.place >= 0).sum())
    if not with_tumour and (_implanting(settings) or not drawing.count(settings)):
        raise _without_masks(settings)
    tell.note(f"masks: {with_tumour} of {len(chosen)} training slices have one")
    return outlines


def _without_masks(settings: Settings) -> DataError:
    guided = not _implanting(settings)
    needs = f"the network {settings.model.name} learns" if guided else "augment.twins and augment.transplants learn"
    instead = "have some drawn (--set train.drawn=500), or use --model compact" if guided else "or set both to 0"
    return DataError(
        f"{needs} from tumour masks, and no training slice has one",
        hint=f"give masks (x_mask.png beside x.png, masks/ beside images/, a column mask), {instead}",
        code="no_mask",
    )


def _weights(labels: Sequence[str], how: str) -> np.ndarray:
    """How much each slice counts, float32 (N,), mean 1."""
    if how == "none":
        return np.ones(len(labels), np.float32)
    counts = Counter(labels)
    return np.array([len(labels) / (len(counts) * counts[label]) for label in labels], np.float32)


def _tell_data(manifest: Manifest, start: runs.Start, tell: Reporter) -> None:
    for note in start.notes:
        tell.note(note)
    for name in splitting.SPLITS:
        part = manifest.split(name)
        classes = ", ".join(f"{label} {count}" for label, count in part.count().items())
        tell.note(f"{name}: {len(part)} slices of {len(set(part.groups))} groups ({classes})")
    if start.skipped:
        kinds = by_code(start.skipped)
        tell.warn(f"{len(start.skipped)} inputs were left out ({kinds}); run.json and the report list them")
    warn_of_leaks(manifest, tell)
