"""Searching for better settings: Optuna proposes, inner folds judge, test slices take no part.

The folder holds ``config.toml`` (the settings as they were), ``plan.toml`` (why, where they were planned),
``space.toml`` (what may change), ``manifest.csv`` (the slices that are not tested, in inner folds), ``study.log``
(Optuna's journal), ``trials/<n>``, ``metrics.json``, ``best.toml`` and ``report.html``.
"""

from __future__ import annotations

import csv
import io
import json
import os
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from tumorlens import __version__, config
from tumorlens.config import Settings
from tumorlens.config.space import Value, space_text
from tumorlens.data import split as splitting
from tumorlens.data.manifest import Manifest
from tumorlens.errors import DataError, EnvironmentFailure, Interrupted, MissingExtraError
from tumorlens.io.atomic import write_json, write_text
from tumorlens.pipeline import locking, planning, running, runs, spreading, trials
from tumorlens.pipeline.dataset import Data, held_out, standardised
from tumorlens.pipeline.dividing import examined
from tumorlens.pipeline.reporter import LogReporter, Reporter
from tumorlens.preprocess.recipe import Recipe


@dataclass(frozen=True)
class Search:
    """A finished search.

    Attributes:
        folder: where everything is.
        metrics: ``metrics.json``.
        best: the best settings; train with them: ``tumorlens train DATA --config <folder>/best.toml``.
        report: the HTML report, or None when the ``report`` extra is not installed.
    """

    folder: Path
    metrics: dict[str, Any]
    best: Settings
    report: Path | None


def tune(
    data: Data,
    *,
    settings: Settings | Mapping[str, Any] | None = None,
    space: str | os.PathLike[str] | None = None,
    out: str | os.PathLike[str] | None = None,
    name: str | None = None,
    minutes: float = 0,
    workers: spreading.Workers = spreading.HERE,
    reporter: Reporter | None = None,
) -> Search:
    """Search for settings that do better on inner folds of the training and validation slices.

    Args:
        data: DATA, several to join, or a manifest.
        settings: where the search begins, the first trial: complete, or what of it is given, the rest being planned as
            for a training. ``tune.trials``, ``tune.folds``, ``tune.goal``.
        space: TOML file with what may change; the usual space when None.
        out: the folder; ``runs/<time>-<name>`` when None.
        name: ``tune`` when None.
        minutes: after which no trial begins; 0: no limit.
        workers: who trains.
        reporter: told how it goes.

    Raises:
        ConfigError: for settings or a space that do not exist.
        DataError: when the data cannot be used, or not be divided so.
        EnvironmentFailure: when no trial came to an end, or the machine refuses.
        MissingExtraError: without Optuna.
        Interrupted: after Ctrl-C; continue with :func:`resume`.
    """
    chosen, tell = config.as_settings(settings), reporter or Reporter()
    text = space_text(space)
    running.check(chosen, out)
    spreading.check(workers)
    manifest = running.trainable(data, settings, tell)
    looks, found = examined(held_out(manifest, chosen.data), chosen, tell)
    inner = _inner(splitting.split(found.manifest, chosen.data, chosen.seed, every_part=True), chosen)
    made_plan = planning.plan(settings, inner, looks, share=_learned(inner), beside=workers.here)
    chosen = made_plan.settings
    recipe = Recipe.from_settings(chosen.preprocess)
    ready = standardised(inner, recipe, tell)
    running.tell_start(tell)
    chosen = running.with_precision(chosen, tell)
    title = name or "tune"
    with runs.new_folder(out, title) as folder:
        start = runs.Start(
            name=title,
            created=runs.now(),
            fingerprint=runs.fingerprint(ready.manifest, ready.digests, recipe.key),
            notes=ready.manifest.notes,
            skipped=ready.manifest.skipped,
            provenance=ready.manifest.provenance,
            versions=runs.versions(),
            kind="tune",
        )
        log = LogReporter(tell, folder / "log.txt")
        made_plan.write(folder)
        write_text(folder / trials.SPACE, text)
        runs.begin(folder, chosen, ready.manifest, start)
        for note in ready.manifest.notes:
            log.note(note)
        planning.tell_plan(made_plan, log)
        return _go_on(folder, chosen, start, minutes, workers, log)


def resume(
    folder: str | os.PathLike[str],
    *,
    more: int = 0,
    minutes: float = 0,
    workers: spreading.Workers = spreading.HERE,
    reporter: Reporter | None = None,
) -> Search:
    """Continue a search that was stopped or killed, or search on with ``more`` trials than were asked for.

    Raises:
        UsageError: when there is none in the folder, or it is running.
        DataError: when the images are no longer those it began with.
    """
    path, tell = Path(folder), reporter or Reporter()
    spreading.check(workers)
    runs.check_begun(path)
    with locking.held(path):
        log = LogReporter(tell, path / "log.txt")
        settings, manifest, start = runs.reopen(path, "tune")
        recipe = Recipe.from_settings(settings.preprocess)
        ready = standardised(manifest, recipe, log)
        runs.check_unchanged(path, start, runs.fingerprint(ready.manifest, ready.digests, recipe.key))
        if more:
            wanted = msgspec.structs.replace(settings.tune, trials=settings.tune.trials + more)
            settings = msgspec.structs.replace(settings, tune=wanted)
            write_text(path / "config.toml", config.to_toml(settings))
        trials.mend(path, settings)
        log.note(f"continuing {path}")
        return _go_on(path, settings, start, minutes, workers, log)


def _inner(divided: Manifest, settings: Settings) -> Manifest:
    """The slices that are not tested, in inner folds. What shares a group with a test slice is left out with it.

    Raises:
        DataError: when nothing of a class, or nothing to validate on, is left.
    """
    tested = {name for row, name in zip(divided, divided.groups, strict=True) if row.split == "test"}
    rows = [row for row, name in zip(divided, divided.groups, strict=True) if name not in tested]
    if shared := sum(row.split != "test" for row in divided) - len(rows):
        note = f"{shared} slices share a patient or picture with a test slice: the search leaves them out"
        divided = replace(divided, notes=(*divided.notes, note))
    validated = settings.tune.folds > 1 or any(row.split == "val" for row in rows)
    if {row.label for row in rows} != set(divided.labels) or not validated:
        raise DataError(
            f"{len(rows)} slices share no patient or picture with a test slice, too few to search on",
            hint="leave out the data's own test set or --test-fold, and let tumorlens divide by patient",
            code="all_leaked",
        )
    if settings.tune.folds == 1:
        return divided.with_rows(replace(row, split="", fold="1" if row.split == "val" else "") for row in rows)
    return splitting.folds(
        divided.with_rows(replace(row, split="", fold="") for row in rows), settings.tune.folds, settings.seed
    )


def _learned(inner: Manifest) -> float:
    """The share of the slices that a training of a trial learns from: all but one fold."""
    sizes = Counter(row.fold for row in inner if row.fold)
    return 1 - sum(sizes.values()) / len(sizes) / len(inner)


def _go_on(
    folder: Path, settings: Settings, start: runs.Start, minutes: float, workers: spreading.Workers, tell: Reporter
) -> Search:
    trials.enqueue_present(folder, settings, tell)
    until = time.time() + 60 * minutes if minutes else 0.0
    wanted, whole = settings.tune.trials, settings.tune.folds * settings.train.epochs

    def left() -> Sequence[tuple[int, float]]:
        if until and time.time() > until:
            return []
        return [(slot, until) for slot in range(wanted - len(trials.ended(folder, settings)))]

    try:
        if workers == spreading.HERE:
            while slots := left():
                tell.note(f"trial {wanted - len(slots) + 1} of {wanted}")
                trials.try_one(folder, *slots[0], tell)
        else:
            work = spreading.Work(
                folder=folder,
                call=trials.try_one,
                left=left,
                mend=lambda: trials.mend(folder, settings),
                # Fewer than all in the end: what is given up trains no further.
                done=lambda: sum(
                    spreading.epochs_of(path.parent) for path in folder.glob(f"{trials.TRIALS}/*/*/history.csv")
                ),
                epochs=whole * wanted,
                what="trials",
            )
            spreading.spread(work, workers, tell)
    except (Interrupted, KeyboardInterrupt) as stopped:
        message = stopped.message if isinstance(stopped, Interrupted) else "stopped"
        raise Interrupted(message, hint=f"continue with: {runs.continuing(folder)}") from None
    metrics, best = _metrics(folder, settings, start)
    write_json(folder / "metrics.json", metrics)
    write_text(folder / "best.toml", config.to_toml(best))
    write_text(folder / "trials.csv", _table(metrics))
    report = None
    try:
        from tumorlens.report.tuning_page import render_tuning

        report = render_tuning(folder)
    except MissingExtraError as error:
        tell.warn(f"no report: {error.message}; {error.hint}")
    return Search(folder, metrics, best, report)


def _metrics(folder: Path, settings: Settings, start: runs.Start) -> tuple[dict[str, Any], Settings]:
    """``metrics.json``, and the best settings."""
    every = [_trial(folder, trial) for trial in trials.ended(folder, settings)]
    through = [one for one in every if one["value"] is not None]
    if not through:
        reasons = sorted({one["reason"] for one in every if one["reason"]})
        raise EnvironmentFailure(
            "no trial came to an end" + (f": {'; '.join(reasons)}" if reasons else ""),
            hint=f"give it more time, or a tamer space: {runs.continuing(folder)}",
            code="no_trial",
        )
    best = max(through, key=lambda one: one["value"])
    present = trials.present_values(folder, settings)
    first = next((one for one in through if one["values"] == present), None)
    metrics = {
        "schema": 1,
        "kind": "tune",
        "name": start.name,
        "created": start.created,
        "goal": settings.tune.goal,
        "folds": settings.tune.folds,
        "epochs": settings.train.epochs,
        "trials": every,
        "best": best,
        "present": first,
        "importance": _importance(folder, settings),
        "data": {"fingerprint": start.fingerprint, "notes": list(start.notes)},
        "versions": {**start.versions, "tumorlens": __version__},
    }
    return metrics, trials.tried(settings, best["values"])


def _trial(folder: Path, trial: Any) -> dict[str, Any]:
    """One trial in a line."""
    place = folder / trials.TRIALS / trial.user_attrs[trials.FOLDER]
    results = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(place.glob("*/result.json"))]
    epochs = sum(spreading.epochs_of(path.parent) for path in place.glob("*/history.csv"))
    # What Optuna calls the value of a trial that was given up is only the last that it was told.
    through = trial.state.name == "COMPLETE"
    return {
        "number": trial.number + 1,
        "state": {"COMPLETE": "seen through", "PRUNED": "given up"}.get(trial.state.name, "failed"),
        "value": trial.value if through else None,
        "last": trial.value if through else next(reversed(trial.intermediate_values.values()), None),
        "folds": [result["value"] for result in results],
        "epochs": epochs,
        "values": dict(trial.params),
        "reason": trial.user_attrs.get(trials.REASON, ""),
    }


def _importance(folder: Path, settings: Settings) -> dict[str, float] | None:
    """Share of the differences between trials that each setting explains (fANOVA); None for too few trials."""
    import optuna

    with trials.study_of(folder, settings) as study:
        through = study.get_trials(states=(optuna.trial.TrialState.COMPLETE,))
        if len(through) < 4 or len({trial.value for trial in through}) < 2:
            return None
        evaluator = optuna.importance.FanovaImportanceEvaluator(seed=settings.seed)
        found = optuna.importance.get_param_importances(study, evaluator=evaluator)
    return {key: float(share) for key, share in found.items()}


def _table(metrics: Mapping[str, Any]) -> str:
    """The trials as CSV."""
    keys = sorted({key for one in metrics["trials"] for key in one["values"]})
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["number", "state", "value", "epochs", *keys])
    for one in metrics["trials"]:
        values: list[Value | str] = [one["values"].get(key, "") for key in keys]
        value = "" if one["value"] is None else one["value"]
        writer.writerow([one["number"], one["state"], value, one["epochs"], *values])
    return text.getvalue()
