"""Cross-validation of a recipe, folds × seeds: how good it is, how much that varies, and how sure both are.

The folder holds ``config.toml``, ``manifest.csv`` (with the folds), ``run.json``, ``audit.json``, one run folder for
each training (``seed-<s>/folds/<k>``), the out-of-fold answers of each seed (``seed-<s>/folds/predictions.csv``),
``metrics.json`` and ``report.html``; with ``evaluate.final`` also ``final/``, a training on all slices, and its
``bundle/``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from tumorlens import config
from tumorlens.audit.examine import Examination, judged
from tumorlens.config import Settings
from tumorlens.data import split as splitting
from tumorlens.data.manifest import Manifest
from tumorlens.errors import DataError, Interrupted, MissingExtraError
from tumorlens.io.atomic import write_json
from tumorlens.pipeline import crossscoring, final, folds, locking, planning, running, runs, spreading
from tumorlens.pipeline.auditing import probed, tell_audit, write_audit
from tumorlens.pipeline.dataset import Data, standardised
from tumorlens.pipeline.dividing import examined
from tumorlens.pipeline.reporter import LogReporter, Reporter
from tumorlens.preprocess.cache import Standardised
from tumorlens.preprocess.recipe import Recipe

USUAL_FOLDS = 5


@dataclass(frozen=True)
class CrossValidation:
    """A finished cross-validation.

    Attributes:
        folder: where everything is.
        metrics: ``metrics.json``.
        report: the HTML report, or None when the ``report`` extra is not installed.
    """

    folder: Path
    metrics: dict[str, Any]
    report: Path | None


def crossval(
    data: Data,
    *,
    settings: Settings | Mapping[str, Any] | None = None,
    out: str | os.PathLike[str] | None = None,
    name: str | None = None,
    workers: spreading.Workers = spreading.HERE,
    reporter: Reporter | None = None,
) -> CrossValidation:
    """Train and test a recipe on every fold, with every seed.

    Folds are made by ``evaluate.folds`` (5 when 0) so that no group crosses, or brought by ``data.fold_column``. What
    of a brought fold shares a group with the others is left out of the scores and counted. The fold that
    ``data.test_fold`` names takes no part: it is for a test of what comes out.

    Args:
        data: DATA, several to join, or a manifest.
        settings: of the recipe, complete, or what of it is given, the rest being planned; ``evaluate.seeds`` trainings
            of each fold.
        out: the folder; ``runs/<time>-<name>`` when None.
        name: the network's name when None.
        workers: who trains.
        reporter: told how it goes.

    Raises:
        ConfigError: for settings, a model or a device that do not exist.
        DataError: when the data cannot be used, or not be divided so.
        EnvironmentFailure: when the machine refuses (disk full), or workers keep dying.
        Interrupted: after Ctrl-C; continue with :func:`resume`.
    """
    chosen, tell = _chosen(settings), reporter or Reporter()
    running.check(chosen, out)
    spreading.check(workers)
    manifest = _without_test(running.trainable(data, settings, tell), chosen.data.test_fold)
    looks, found = _audited(manifest, chosen, tell)
    learned = [len(fold.manifest.split("train")) for fold in folds.plan(found.manifest, chosen)]
    share = sum(learned) / len(learned) / len(found.manifest)
    made_plan = planning.plan(settings, found.manifest, looks, share=share, beside=workers.here)
    chosen = _chosen(made_plan.settings)
    recipe = Recipe.from_settings(chosen.preprocess)
    ready = standardised(found.manifest, recipe, tell)
    for seed in folds.seeds(chosen):
        _check_honest(folds.plan(ready.manifest, _of_seed(chosen, seed)))
    running.tell_start(tell)
    chosen = running.with_precision(chosen, tell)
    title = name or chosen.model.name
    with runs.new_folder(out, title) as folder:
        start = runs.Start(
            name=title,
            created=runs.now(),
            fingerprint=runs.fingerprint(ready.manifest, ready.digests, recipe.key),
            notes=ready.manifest.notes,
            skipped=ready.manifest.skipped,
            provenance=ready.manifest.provenance,
            versions=runs.versions(),
            kind="crossval",
        )
        log = LogReporter(tell, folder / "log.txt")
        document, page = write_audit(found, looks, data, chosen, folder, log, page=chosen.evaluate.report)
        made_plan.write(folder)
        runs.begin(folder, chosen, ready.manifest, start)
        tell_audit(document, page, log)
        planning.tell_plan(made_plan, log)
        return _go_on(folder, chosen, ready, start, workers, log)


def resume(
    folder: str | os.PathLike[str], *, workers: spreading.Workers = spreading.HERE, reporter: Reporter | None = None
) -> CrossValidation:
    """Continue a cross-validation that was stopped or killed; trainings that have ended are not repeated.

    Raises:
        UsageError: when there is none in the folder, or it is running.
        DataError: when the images are no longer those it began with.
    """
    path, tell = Path(folder), reporter or Reporter()
    spreading.check(workers)
    runs.check_begun(path)
    with locking.held(path):
        log = LogReporter(tell, path / "log.txt")
        settings, ready, start = reopened(path, log)
        log.note(f"continuing {path}")
        return _go_on(path, settings, ready, start, workers, log)


def reopened(folder: Path, tell: Reporter) -> tuple[Settings, Standardised, runs.Start]:
    """A cross-validation that has begun, with its slices.

    Raises:
        UsageError: when there is none in the folder.
        DataError: when the images are no longer those it began with.
    """
    settings, manifest, start = runs.reopen(folder, "crossval")
    recipe = Recipe.from_settings(settings.preprocess)
    ready = standardised(manifest, recipe, tell)
    runs.check_unchanged(folder, start, runs.fingerprint(ready.manifest, ready.digests, recipe.key))
    return settings, ready, start


def train_one(folder: Path, seed: int, fold: str) -> None:
    """One training of a cross-validation that has begun, by a worker; nothing when it has ended."""
    _train(folder, seed, fold, *reopened(folder, Reporter()), Reporter())


def _train(
    folder: Path, seed: int, fold: str, settings: Settings, ready: Standardised, start: runs.Start, tell: Reporter
) -> None:
    (chosen,) = (one for one in folds.plan(ready.manifest, _of_seed(settings, seed)) if one.name == fold)
    folds.train_fold(folder / f"seed-{seed}", chosen, ready, start, tell)


def _chosen(settings: Settings | Mapping[str, Any] | None) -> Settings:
    chosen = config.as_settings(settings)
    if chosen.data.fold_column or chosen.evaluate.folds:
        return chosen
    return msgspec.structs.replace(chosen, evaluate=msgspec.structs.replace(chosen.evaluate, folds=USUAL_FOLDS))


def _without_test(manifest: Manifest, fold: str) -> Manifest:
    """What is left when one fold of the data is kept for a test; everything where none is named.

    Raises:
        DataError: for a fold that does not exist.
    """
    if not fold:
        return manifest
    kept = len(splitting.hold_out(manifest, fold).split("test"))
    note = f"fold {fold} is kept for a test: its {kept} slices take no part"
    return replace(manifest.where(lambda row: row.fold != fold), notes=(*manifest.notes, note))


def _of_seed(settings: Settings, seed: int) -> Settings:
    return msgspec.structs.replace(settings, seed=seed)


def _audited(manifest: Manifest, settings: Settings, tell: Reporter) -> tuple[Standardised, Examination]:
    """Records of the usable slices and what was found in them, in folds."""
    looks, found = examined(manifest, settings, tell, by_fold=True)
    if settings.data.fold_column:
        divided = found.manifest.with_rows(replace(row, split="") for row in found.manifest)
        if len({row.fold for row in divided} - {""}) < 2:
            raise DataError(
                f"column {settings.data.fold_column} holds fewer than two folds",
                hint="name another --fold-column, or leave it out and let --folds K divide",
                code="no_fold",
            )
    else:
        divided = folds.divide(found.manifest, settings.evaluate.folds, settings.seed)
    found = judged(found, divided)
    return looks, probed(found, looks, settings, tell) if settings.data.audit == "full" else found


def _check_honest(planned: list[folds.Fold]) -> None:
    """Refuse, before hours of training, a fold of which nothing would be left to score."""
    for fold in planned:
        leaks = splitting.leaked(fold.manifest)
        if all(row.id in leaks for row in fold.manifest.split("test")):
            raise DataError(
                f"every slice of fold {fold.name!r} has a copy or a patient in other folds",
                hint="leave out --fold-column and let tumorlens divide by patient",
                code="all_leaked",
            )


def _go_on(
    folder: Path,
    settings: Settings,
    ready: Standardised,
    start: runs.Start,
    workers: spreading.Workers,
    tell: Reporter,
) -> CrossValidation:
    names = [fold.name for fold in folds.plan(ready.manifest, settings)]
    every = [(seed, name) for seed in folds.seeds(settings) for name in names]
    places = {(seed, name): folds.place_of(folder / f"seed-{seed}", name) for seed, name in every}

    def left() -> list[tuple[int, str]]:
        return [one for one in every if runs.finished(places[one], folder) is None]

    def done() -> int:
        # One that was stopped early has no more to come.
        whole = settings.train.epochs
        ended = {place: (place / "bundle" / "bundle.json").is_file() for place in places.values()}
        return sum(whole if ended[place] else spreading.epochs_of(place) for place in places.values())

    if left():
        (folder / "metrics.json").unlink(missing_ok=True)  # what is trained now has no part in it
    try:
        if workers == spreading.HERE:
            for seed, name in left():
                tell.note(f"training {every.index((seed, name)) + 1} of {len(every)}: seed {seed}, fold {name}")
                _train(folder, seed, name, settings, ready, start, tell)
        else:
            work = spreading.Work(
                folder=folder,
                call=train_one,
                left=left,
                mend=lambda: None,  # a training goes on from its checkpoint
                done=done,
                epochs=settings.train.epochs * len(every),
                what="trainings",
            )
            spreading.spread(work, workers, tell)
    except (Interrupted, KeyboardInterrupt) as stopped:
        message = stopped.message if isinstance(stopped, Interrupted) else "stopped"
        raise Interrupted(message, hint=f"continue with: {runs.continuing(folder)}") from None
    metrics, page = _ended(folder, settings), folder / "report.html"
    if metrics is not None and (page.is_file() or not settings.evaluate.report):
        tell.note(f"{folder} has already finished; nothing was changed")
        return CrossValidation(folder, metrics, page if page.is_file() else None)
    if metrics is None:
        metrics = _scored(folder, settings, ready, start, tell)
    return CrossValidation(folder, metrics, _report(folder, tell) if settings.evaluate.report else None)


def _ended(folder: Path, settings: Settings) -> dict[str, Any] | None:
    """``metrics.json`` where nothing is left to do but the report: its bundle says the same, so it is not made anew."""
    if settings.evaluate.final and not (folder / "bundle" / "bundle.json").is_file():
        return None
    try:
        metrics: dict[str, Any] = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):  # none yet, or damaged
        return None
    return metrics


def _scored(folder: Path, settings: Settings, ready: Standardised, start: runs.Start, tell: Reporter) -> dict[str, Any]:
    """Write the answers and scores of trainings that have ended, and train on all slices where that is asked for."""
    tell.note("scoring")
    found = crossscoring.score(folder, settings, ready.manifest, start)
    for seed, table in zip(folds.seeds(settings), found.tables, strict=True):
        table.write_csv(folder / f"seed-{seed}" / folds.FOLDS / "predictions.csv")
    write_json(folder / "metrics.json", found.metrics)
    if settings.evaluate.final and runs.finished(folder) is None:
        tell.note("training on all slices")
        try:
            final.ship(folder, settings, ready, start, found, tell)
        except (Interrupted, KeyboardInterrupt) as stopped:
            message = stopped.message if isinstance(stopped, Interrupted) else "stopped"
            raise Interrupted(message, hint=f"continue with: {runs.continuing(folder)}") from None
    return found.metrics


def _report(folder: Path, tell: Reporter) -> Path | None:
    try:
        from tumorlens.report.crossval_page import render_crossval

        return render_crossval(folder)
    except MissingExtraError as error:
        tell.warn(f"no report: {error.message}; {error.hint}")
        return None
