"""What is checked of the folder of a cross-validation."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tumorlens import bundle
from tumorlens.bundle.info import sha256
from tumorlens.data import split as splitting
from tumorlens.errors import DataError
from tumorlens.evaluation.metrics import evaluate_table
from tumorlens.evaluation.table import PredictionTable
from tumorlens.inference import Predictor
from tumorlens.pipeline import crossscoring, final, folds, runs
from tumorlens.pipeline.dataset import Data
from tumorlens.pipeline.public import public_metrics
from tumorlens.pipeline.reporter import Reporter
from tumorlens.pipeline.verifying import refitting
from tumorlens.pipeline.verifying.checks import LACKING, Check, attempted, compared, of_damaged, of_wrong
from tumorlens.pipeline.verifying.kept import Kept, against_manifest
from tumorlens.pipeline.verifying.learned import against_keras, named_rightly
from tumorlens.pipeline.verifying.of_bundle import asked_with, claimed, facts_again, files_again
from tumorlens.pipeline.verifying.of_run import PUBLIC
from tumorlens.pipeline.verifying.pages import card_again, report_again
from tumorlens.pipeline.verifying.reasking import NAME, asked_again
from tumorlens.pipeline.verifying.same_table import answers_again, travelling_again
from tumorlens.report import crossval_page

_SCORES = "scores, from the trainings' predictions.csv"
_TRAININGS = "scores of each training, from its predictions.csv"
_LAST = "network trained on every slice"
_KEYS = ("n", "accuracy", "balanced_accuracy", "patient_accuracy")


def of_crossval(kept: Kept, data: Data | None, slices: int, seed: int, tell: Reporter) -> list[Check]:
    """Every check of a cross-validation, and of the network that it trained in the end, if it did.

    Args:
        kept: its folder.
        data: where the pictures are now; None where they are where they were. Used for the last network alone.
        slices: how many are asked about again: of each fold its share, and of the last network.
        seed: of their choice.
        tell: told how it goes.

    Raises:
        ModelError: when a bundle claims nothing, or was changed.
        DataError: when a table is damaged, or DATA cannot be read.
        UsageError: when a training has not finished, or its ``metrics.json`` is damaged.
    """
    settings, planned = kept.settings, folds.plan(kept.manifest, kept.settings)
    _check_finished(kept, planned)
    try:
        scored = crossscoring.score(kept.folder, settings, kept.manifest, kept.start)
    except DataError:
        raise  # it names the file
    except LACKING as error:
        return [of_damaged(_SCORES, error)]  # everything else stands on them
    found = [attempted(_SCORES, lambda: _scores_again(kept, scored))]
    tested = [replace(row, split="test") for row in kept.manifest if row.fold]
    for one, table in zip(folds.seeds(settings), scored.tables, strict=True):
        there = PredictionTable.read_csv(kept.folder / f"seed-{one}" / folds.FOLDS / "predictions.csv")
        name = f"out-of-fold answers of seed {one}"
        found += [
            answers_again(name, there, table),
            against_manifest(f"{name}, against manifest.csv", table, kept.manifest, tested),
        ]
    found += [
        attempted(_TRAININGS, lambda: _trainings_again(kept, planned)),
        attempted(
            "report, from metrics.json", lambda: report_again(kept.folder, kept.metrics, crossval_page.words_again)
        ),
    ]
    each = -(-slices // len(planned))
    for fold in planned:
        place = folds.place_of(kept.folder / f"seed-{settings.seed}", fold.name)
        table = PredictionTable.read_csv(place / "predictions.csv").where("test")
        predictor, name = Predictor(bundle.load(place)), f"{NAME}, fold {fold.name}"
        found.append(asked_again(table, kept.places, predictor, each, seed, tell, name))
    if (kept.folder / "bundle" / "bundle.json").is_file():
        return found + _last(kept, scored, data, slices, seed, tell)
    if settings.evaluate.final:
        found.append(Check(_LAST, None, f"it is not there; train it with: {runs.continuing(kept.folder)}"))
    return found


def _check_finished(kept: Kept, planned: list[folds.Fold]) -> None:
    for seed in folds.seeds(kept.settings):
        for fold in planned:
            place = folds.place_of(kept.folder / f"seed-{seed}", fold.name)
            if runs.finished(place, kept.folder) is None:
                raise runs.unfinished(place, kept.folder)


def _scores_again(kept: Kept, scored: crossscoring.Scored) -> Check:
    return compared(_SCORES, {**scored.metrics, "versions": _versions(kept, scored)}, kept.metrics, whole=True)


def _versions(kept: Kept, scored: crossscoring.Scored) -> dict[str, Any]:
    """Those that it was trained with, and whichever version scored it."""
    return {**scored.metrics["versions"], "tumorlens": (kept.metrics.get("versions") or {}).get("tumorlens")}


def _trainings_again(kept: Kept, planned: list[folds.Fold]) -> Check:
    """Whether what is told of each training follows from its answers and its network."""
    wrong, count = [], 0
    for seed in folds.seeds(kept.settings):
        for fold in planned:
            place, leaked = folds.place_of(kept.folder / f"seed-{seed}", fold.name), splitting.leaked(fold.manifest)
            metrics, loaded = runs.document(place / "metrics.json"), bundle.load(place)
            table = PredictionTable.read_csv(place / "predictions.csv").where("test")
            test = evaluate_table(table.where([name not in leaked for name in table.ids]), bootstrap=1)
            again = {
                **{key: test[key] for key in _KEYS},
                "training": loaded.info.training,
                "model": {"name": loaded.info.name, "version": loaded.info.version, "sha256": sha256(loaded.model)},
            }
            told = {
                **{key: metrics["test"][key] for key in _KEYS},
                **{key: metrics[key] for key in ("training", "model")},
            }
            one, count = compared(_TRAININGS, again, told, whole=True), count + 1
            wrong += [] if one.ok else [f"seed {seed}, fold {fold.name}: {one.detail}"]
    return of_wrong(_TRAININGS, wrong, f"{count} trainings")


def _last(
    kept: Kept, scored: crossscoring.Scored, data: Data | None, slices: int, seed: int, tell: Reporter
) -> list[Check]:
    """The checks of the network that was trained on every slice."""
    settings, loaded = kept.settings, bundle.load(kept.folder)
    public, predictor, travelling = claimed(loaded), Predictor(loaded), PredictionTable.of_bundle(loaded)
    trained, start = runs.begun(kept.folder / final.FINAL)  # it may have other settings for when to stop
    if loaded.info.rejection is None:
        scored = scored.without_gate(settings)

    def metrics_again() -> Check:
        every = kept.manifest.with_rows(replace(row, split="train", fold="") for row in kept.manifest)
        whole = {**scored.metrics, "versions": _versions(kept, scored)}
        made = final.claims(settings, every, scored.table, whole, loaded.info, sha256(loaded.model), start)
        return compared(PUBLIC, public_metrics(made, start.provenance), public, whole=True)

    fields = {**scored.trust.fields("out-of-fold"), "series": scored.series.fields("out-of-fold")}
    found = [
        attempted(PUBLIC, metrics_again),
        travelling_again(scored.table, travelling),
        refitting.trust_again(fields, loaded.info),
        facts_again(loaded, public, travelling),
        attempted("model card, from metrics.json", lambda: card_again(public, trained, loaded)),
        files_again(loaded),
        against_keras(loaded, kept.places, seed),
    ]
    if data is None:
        return [*found, named_rightly(scored.table, kept.places, predictor, slices, seed, tell)]
    return [*found, *asked_with(data, travelling, predictor, True, settings, slices, seed, tell)]
