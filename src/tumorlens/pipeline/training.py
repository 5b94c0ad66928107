"""The whole pipeline: read, audit, split, standardise, train, export, evaluate, explain, report."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from tumorlens import config
from tumorlens.audit import exact
from tumorlens.config import Settings
from tumorlens.data import split as splitting
from tumorlens.data.manifest import Manifest, by_code
from tumorlens.errors import DataError, Interrupted
from tumorlens.io.atomic import write_json
from tumorlens.labels import LabelEncoding
from tumorlens.models import keras_setup, registry
from tumorlens.pipeline import finishing, locking, runs
from tumorlens.pipeline.dataset import Data, grouped, labelled, read, standardised, warn_of_leaks
from tumorlens.pipeline.reporter import LogReporter, Reporter
from tumorlens.preprocess.cache import Standardised
from tumorlens.preprocess.recipe import Recipe
from tumorlens.training.batches import TrainingBatches
from tumorlens.training.loop import Loop, Validation, Watcher
from tumorlens.training.state import Progress


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
        folder: where everything is.
        metrics: ``metrics.json``.
        report: the HTML report, or None when the ``report`` extra is not installed.
    """

    folder: Path
    metrics: dict[str, Any]
    report: Path | None

    @property
    def bundle(self) -> Path:
        """The bundle folder; pass it or :attr:`folder` to :func:`tumorlens.load`."""
        return self.folder / "bundle"


def train(
    data: Data,
    *,
    settings: Settings | Mapping[str, Any] | None = None,
    out: str | os.PathLike[str] | None = None,
    name: str | None = None,
    reporter: Reporter | None = None,
) -> Run:
    """Train, evaluate, explain and export a classifier.

    Args:
        data: DATA, several to join, or a manifest.
        settings: how: settings, or nested dictionaries (``{"train": {"epochs": 3}}``); the defaults when None.
        out: the run folder; ``runs/<time>-<name>`` when None.
        name: of the run and its model; the network's name when None.
        reporter: told how it goes.

    Raises:
        ConfigError: for settings, a model or a device that do not exist.
        DataError: when the data cannot be used (nothing in it, one class, a class left empty).
        EnvironmentFailure: when the machine refuses (disk full, no such device).
        Interrupted: after Ctrl-C; continue with :func:`resume`.
    """
    chosen, tell = config.as_settings(settings), reporter or Reporter()
    # Whatever is wrong with the settings is said before an hour of decoding, not after.
    keras_setup.check(chosen.train.device)
    registry.check(chosen.model)
    manifest = labelled(read(data, settings=chosen.data, reporter=tell))
    LabelEncoding.fit(manifest.labels)  # one class only is better said before decoding than after
    recipe = Recipe.from_settings(chosen.preprocess)
    ready, keys = grouped(manifest, recipe, chosen.data, tell)
    divided = splitting.split(ready.manifest, chosen.data, chosen.seed, every_part=True)
    ready = Standardised(divided, ready.images, ready.digests)
    _check_honest(divided)
    _tell_start(tell)
    if chosen.train.precision == "auto":  # measured once; a resumed run keeps what was found
        keras_setup.prepare(chosen.train.device, "float32", chosen.train.deterministic, chosen.seed)
        found = keras_setup.faster_precision()
        tell.note(f"precision: {found} was measured faster")
        chosen = msgspec.structs.replace(chosen, train=msgspec.structs.replace(chosen.train, precision=found))
    network = _network(chosen, ready)
    with runs.new_folder(out, name or chosen.model.name) as folder:
        start = runs.Start(
            name=name or chosen.model.name,
            created=runs.now(),
            fingerprint=runs.fingerprint(divided, ready.digests, recipe.key),
            notes=(*divided.notes, *_coarse(manifest, divided, chosen)),
            skipped=divided.skipped,
            provenance=divided.provenance,
            versions=runs.versions(),
        )
        write_json(folder / "audit.json", exact.audit(divided, keys))
        runs.begin(folder, chosen, divided, start)
        return _go_on(folder, chosen, ready, network, start, LogReporter(tell, folder / "log.txt"))


def resume(run: str | os.PathLike[str], *, reporter: Reporter | None = None) -> Run:
    """Continue a run that was stopped or killed, to the same weights, bit for bit, as if it had not been (on a CPU).

    A run that has finished is returned as it is.

    Raises:
        UsageError: when ``run`` is not a run folder, or is running.
        DataError: when the images are no longer those the run began with.
    """
    folder, tell = Path(run), reporter or Reporter()
    metrics = runs.finished(folder)
    if metrics is not None:
        tell.note(f"{folder} has already finished; nothing was changed")
        report = folder / "report.html"
        return Run(folder, metrics, report if report.is_file() else None)
    runs.check_begun(folder)
    with locking.held(folder):
        return _resume(folder, LogReporter(tell, folder / "log.txt"))


def _resume(folder: Path, tell: Reporter) -> Run:
    settings, manifest, start = runs.reopen(folder)
    keras_setup.check(settings.train.device)
    runs.sweep(folder)
    tell.note(f"continuing {folder}")
    recipe = Recipe.from_settings(settings.preprocess)
    ready = standardised(manifest, recipe, tell)
    if runs.fingerprint(ready.manifest, ready.digests, recipe.key) != start.fingerprint:
        raise DataError(
            f"the images are not those that {folder} began with: some were changed, moved or removed",
            hint="put them back, or start the training again",
            code="changed",
        )
    _tell_start(tell)
    return _go_on(folder, settings, ready, _network(settings, ready), start, tell)


def _tell_start(tell: Reporter) -> None:
    if backend := keras_setup.not_loaded():
        tell.note(f"starting {backend}")


def _network(settings: Settings, ready: Standardised) -> tuple[Any, str]:
    """The network with its initial weights, and the device it is on."""
    encoding = LabelEncoding.fit(ready.manifest.labels)
    train = settings.train
    device = keras_setup.prepare(train.device, train.precision, train.deterministic, settings.seed)
    return registry.build(settings.model, settings.preprocess.size, len(encoding.names)), device


def _go_on(
    folder: Path, settings: Settings, ready: Standardised, network: tuple[Any, str], start: runs.Start, tell: Reporter
) -> Run:
    _tell_data(ready.manifest, tell, start)
    encoding = LabelEncoding.fit(ready.manifest.labels)
    model, device = network
    tell.note(f"{settings.model.name}: {model.count_params():,} parameters, on the {device.upper()}")
    try:
        try:
            progress = _fit(folder, settings, ready, encoding, model, tell)
        finally:
            tell.trained()
        return Run(folder, *finishing.finish(folder, settings, ready, encoding, model, progress, start, device, tell))
    except (Interrupted, KeyboardInterrupt) as stopped:
        message = stopped.message if isinstance(stopped, Interrupted) else "stopped"
        raise Interrupted(message, hint=f"continue with: tumorlens train --resume {folder}") from None


def _fit(
    folder: Path, settings: Settings, ready: Standardised, encoding: LabelEncoding, model: Any, tell: Reporter
) -> Progress:
    training, validation = ready.part("train"), ready.part("val")
    labels = training.manifest.labels
    batches = TrainingBatches(
        images=training.images,
        targets=encoding.one_hot(labels),
        weights=_weights(labels, settings.train.class_weights),
        size=min(settings.train.batch_size, len(labels)),
        settings=settings.augment,
        seed=settings.seed,
    )
    epochs = settings.train.epochs
    watcher = Watcher(
        on_batch=lambda epoch, step, steps, loss, accuracy: tell.batch(epoch, epochs, step, steps, loss, accuracy),
        on_epoch=lambda row: tell.epoch(row, epochs),
    )
    held_out = Validation(validation.images, encoding.encode(validation.manifest.labels))
    return Loop(model, batches, held_out, settings.train, folder / "checkpoints", watcher).run()


def _weights(labels: Sequence[str], how: str) -> np.ndarray:
    """How much each slice counts, float32 (N,), mean 1."""
    if how == "none":
        return np.ones(len(labels), np.float32)
    counts = Counter(labels)
    return np.array([len(labels) / (len(counts) * counts[label]) for label in labels], np.float32)


def _tell_data(manifest: Manifest, tell: Reporter, start: runs.Start) -> None:
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


def _check_honest(divided: Manifest) -> None:
    """Refuse, before hours of training, a test set of which nothing would be left to score."""
    leaks = splitting.leaked(divided)
    if all(row.id in leaks for row in divided.split("test")):
        raise DataError(
            "every test slice has a copy or a patient in training, so there is no honest test score",
            hint="leave out the data's own test folder and let tumorlens split by patient",
            code="all_leaked",
        )


def _coarse(before: Manifest, divided: Manifest, settings: Settings) -> list[str]:
    """A note for each split that tumorlens made and that is off its share by more than half of it."""
    if settings.data.test_fold or any(row.split for row in before):
        return []
    notes = []
    for name, wanted in zip(splitting.SPLITS, settings.data.fractions, strict=True):
        share = len(divided.split(name)) / len(divided)
        if abs(share - wanted) > wanted / 2:
            notes.append(
                f"{name} holds {share:.0%} of the slices, not {wanted:.0%}: there are too few groups to divide"
            )
    return notes
