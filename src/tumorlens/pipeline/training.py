"""The whole pipeline: read, audit, split, standardise, train, export, evaluate, explain, report."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tumorlens import config
from tumorlens.audit.examine import Examination, judged
from tumorlens.config import Settings
from tumorlens.data import split as splitting
from tumorlens.data.manifest import Manifest
from tumorlens.errors import DataError, Interrupted
from tumorlens.models import keras_setup
from tumorlens.pipeline import finishing, folds, locking, planning, running, runs
from tumorlens.pipeline.auditing import probed, tell_audit, write_audit
from tumorlens.pipeline.dataset import Data, held_out, standardised
from tumorlens.pipeline.dividing import examined
from tumorlens.pipeline.reporter import LogReporter, Reporter
from tumorlens.preprocess.cache import Standardised
from tumorlens.preprocess.recipe import Recipe


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
        settings: how: complete settings, which are kept as they are; or nested dictionaries with what is to be so
            (``{"train": {"epochs": 3}}``), the rest being planned from the data (see
            :mod:`tumorlens.pipeline.planning`); everything is planned when None.
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
    running.check(chosen, out)
    manifest = running.trainable(data, settings, tell)
    looks, found = _audited(manifest, chosen, tell)
    made_plan = planning.plan(settings, found.manifest, looks)
    chosen = made_plan.settings
    recipe = Recipe.from_settings(chosen.preprocess)
    ready = standardised(found.manifest, recipe, tell)
    if chosen.evaluate.folds:
        folds.plan(folds.divide(ready.manifest, chosen.evaluate.folds, chosen.seed), chosen)
    running.tell_start(tell)
    chosen = running.with_precision(chosen, tell)
    made = running.network(chosen, ready, tell)
    with runs.new_folder(out, name or chosen.model.name) as folder:
        divided = ready.manifest
        start = runs.Start(
            name=name or chosen.model.name,
            created=runs.now(),
            fingerprint=runs.fingerprint(divided, ready.digests, recipe.key),
            notes=(*divided.notes, *_coarse(manifest, divided, chosen)),
            skipped=divided.skipped,
            provenance=divided.provenance,
            versions=runs.versions(),
        )
        log = LogReporter(tell, folder / "log.txt")
        document, page = write_audit(found, looks, data, chosen, folder, log, page=chosen.evaluate.report)
        made_plan.write(folder)
        runs.begin(folder, chosen, divided, start)
        tell_audit(document, page, log)
        planning.tell_plan(made_plan, log)
        return _go_on(folder, chosen, ready, made, start, log)


def _audited(manifest: Manifest, settings: Settings, tell: Reporter) -> tuple[Standardised, Examination]:
    """Records of the usable slices and what was found in them, split."""
    looks, found = examined(held_out(manifest, settings.data), settings, tell)
    divided = splitting.split(found.manifest, settings.data, settings.seed, every_part=True)
    _check_honest(divided)
    found = judged(found, divided)
    return looks, probed(found, looks, settings, tell) if settings.data.audit == "full" else found


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
    settings, manifest, start = runs.reopen(folder, "training")
    keras_setup.check(settings.train.device)
    runs.sweep(folder)
    tell.note(f"continuing {folder}")
    recipe = Recipe.from_settings(settings.preprocess)
    ready = standardised(manifest, recipe, tell)
    runs.check_unchanged(folder, start, runs.fingerprint(ready.manifest, ready.digests, recipe.key))
    running.tell_start(tell)
    return _go_on(folder, settings, ready, running.network(settings, ready, tell), start, tell)


def _go_on(
    folder: Path, settings: Settings, ready: Standardised, made: tuple[Any, str], start: runs.Start, tell: Reporter
) -> Run:
    """What is left of a run: fit, cross-validate where that was asked for, finish."""
    try:
        progress = running.fit(folder, settings, ready, made, start, tell)
        tested = folds.cross_validate(folder, settings, ready, start, tell) if settings.evaluate.folds else None
        return Run(folder, *finishing.finish(folder, settings, ready, made, progress, start, tell, folds=tested))
    except (Interrupted, KeyboardInterrupt) as stopped:
        message = stopped.message if isinstance(stopped, Interrupted) else "stopped"
        raise Interrupted(message, hint=f"continue with: tumorlens train --resume {folder}") from None


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
