"""What is checked of the folder of a training."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from tumorlens import bundle
from tumorlens.bundle.info import sha256
from tumorlens.data import split as splitting
from tumorlens.evaluation.localisation import read_places
from tumorlens.evaluation.looking import read_looks
from tumorlens.evaluation.table import PredictionTable
from tumorlens.inference import Predictor
from tumorlens.pipeline import finishing, folds, looking, placing, rescoring
from tumorlens.pipeline.dataset import Data
from tumorlens.pipeline.public import LEAKED, public_metrics
from tumorlens.pipeline.reporter import Reporter
from tumorlens.pipeline.verifying import earlier, refitting
from tumorlens.pipeline.verifying.checks import Check, attempted, compared
from tumorlens.pipeline.verifying.kept import Kept, against_manifest
from tumorlens.pipeline.verifying.of_bundle import asked_with, claimed, facts_again, files_again
from tumorlens.pipeline.verifying.pages import card_again, report_again
from tumorlens.pipeline.verifying.reasking import asked_again
from tumorlens.pipeline.verifying.same_table import answers_again, travelling_again
from tumorlens.report import html

_SCORES = "scores, from predictions.csv"
PUBLIC = "metrics.json of the bundle"


def of_run(kept: Kept, data: Data | None, slices: int, seed: int, tell: Reporter) -> list[Check]:
    """Every check of a training.

    Args:
        kept: its folder.
        data: where its pictures are now; None where they are where they were.
        slices: how many are asked about again.
        seed: of their choice.
        tell: told how it goes.

    Raises:
        ModelError: when its bundle claims nothing, or was changed.
        DataError: when a table of it is damaged, or DATA cannot be read.
    """
    settings, loaded = kept.settings, bundle.load(kept.folder)
    public, predictor = claimed(loaded), Predictor(loaded)
    table, travelling = PredictionTable.read_csv(kept.folder / "predictions.csv"), PredictionTable.of_bundle(loaded)
    leaked, copied = (set(splitting.leaked(kept.manifest, part)) for part in ("test", "val"))
    before = earlier.made_before(kept.metrics.get("test"))
    watched = _without(table.where("val"), copied)
    fields = refitting.on_validation(watched, predictor.trust, settings.evaluate, loaded.info, before)
    held = [row for row in kept.manifest if row.split in ("val", "test")]
    found = [
        attempted(_SCORES, lambda: _scores_again(kept, table, predictor, leaked)),
        against_manifest("answers, against manifest.csv", table, kept.manifest, held),
        refitting.trust_again(fields, loaded.info),
        refitting.verdicts_again(table, dict.fromkeys(table.folds, predictor.trust)),
        attempted(
            PUBLIC,
            lambda: compared(PUBLIC, public_metrics(kept.metrics, kept.start.provenance), public, whole=True),
        ),
        travelling_again(_marked(table, leaked | copied), travelling),
        facts_again(loaded, public, travelling),
        attempted("model card, from metrics.json", lambda: card_again(public, settings, loaded)),
        files_again(loaded),
        attempted("report, from metrics.json", lambda: report_again(kept.folder, kept.metrics, html.words_again)),
    ]
    if settings.evaluate.folds:
        found += _folds_again(kept)
    if data is None:
        return [*found, asked_again(table, kept.places, predictor, slices, seed, tell)]
    return [*found, *asked_with(data, travelling, predictor, False, settings, slices, seed, tell)]


def _scores_again(kept: Kept, table: PredictionTable, predictor: Predictor, leaked: Collection[str]) -> Check:
    """``metrics.json`` as a whole."""
    folder, settings, loaded = kept.folder, kept.settings, predictor.bundle
    again = finishing.claims(settings, kept.manifest, table, loaded.info, sha256(loaded.model), kept.start)
    tested = _without(table.where("test"), leaked)
    again |= rescoring.after_training(tested, predictor.trust, predictor.series, settings)
    looks, places = folder / "edits.csv", folder / "maps.csv"
    maps = placing.scored(read_places(places), table, settings) if places.is_file() else None
    again["test"]["pointing_game"] = placing.pointing_game(maps)
    again |= {
        "selective": loaded.info.selective,
        "conformal": loaded.info.conformal,
        "localisation": maps,
        "clever_hans": looking.gap(read_looks(looks), table, settings) if looks.is_file() else None,
        "shortcut": finishing.best_shortcut(folder),
        "cross_validation": folds.pooled_scores(folder, _planned(kept), settings)[1]
        if settings.evaluate.folds
        else None,
    }
    # Whichever version scored it; what it was trained with is in run.json.
    again["versions"]["tumorlens"] = (kept.metrics.get("versions") or {}).get("tumorlens")
    return compared(_SCORES, again, kept.metrics, whole=True)


def _folds_again(kept: Kept) -> list[Check]:
    """The answers of ``train --folds``; their scores are in ``metrics.json``."""
    planned = _planned(kept)
    made = folds.pooled_scores(kept.folder, planned, kept.settings)[0]
    there = PredictionTable.read_csv(kept.folder / folds.FOLDS / "predictions.csv")
    tested = [row for fold in planned for row in fold.manifest if row.split == "test"]
    return [
        answers_again("answers of the folds", there, made),
        against_manifest("answers of the folds, against manifest.csv", made, kept.manifest, tested),
    ]


def _planned(kept: Kept) -> list[folds.Fold]:
    divided = folds.divide(kept.manifest, kept.settings.evaluate.folds, kept.settings.seed)
    return folds.plan(divided, kept.settings)


def _without(table: PredictionTable, ids: Collection[str]) -> PredictionTable:
    return table.where([name not in ids for name in table.ids]) if ids else table


def _marked(table: PredictionTable, ids: Collection[str]) -> PredictionTable:
    """The table with the splits that its bundle marks."""
    splits = zip(table.ids, table.splits, strict=True)
    return replace(table, splits=tuple(f"{split}{LEAKED}" if name in ids else split for name, split in splits))
