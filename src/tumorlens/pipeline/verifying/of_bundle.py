"""What is checked of a bundle on its own."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

from tumorlens.bundle import Bundle
from tumorlens.bundle.info import sha256
from tumorlens.config import Settings
from tumorlens.errors import ModelError
from tumorlens.evaluation.table import PredictionTable
from tumorlens.evaluation.trusting import uncalibrated
from tumorlens.inference import Predictor
from tumorlens.pipeline import placing, rescoring
from tumorlens.pipeline.dataset import Data
from tumorlens.pipeline.public import LEAKED, is_number
from tumorlens.pipeline.reporter import Reporter
from tumorlens.pipeline.verifying import earlier, refitting
from tumorlens.pipeline.verifying.checks import Check, attempted, compared, of_wrong
from tumorlens.pipeline.verifying.learned import named_rightly
from tumorlens.pipeline.verifying.matching import labels_again, matched
from tumorlens.pipeline.verifying.pages import card_again, settings_of
from tumorlens.pipeline.verifying.reasking import NAME, asked_again

_SCORES = "scores, from the bundle's predictions.csv"
_STORED = "claims that a bundle alone cannot show"
# Tables of metrics.json that are made from what does not travel: maps and edited slices, the audit, other trainings.
_NOT_TRAVELLING = ("localisation", "clever_hans", "shortcut", "cross_validation", "out_of_fold")
_NOT_TOLD = "its folds are not named by numbers, so the bundle does not tell their temperatures"


def of_bundle(loaded: Bundle, data: Data | None, slices: int, seed: int, tell: Reporter) -> list[Check]:
    """Every check of a bundle.

    Args:
        loaded: the bundle.
        data: the pictures behind its predictions, or some of them; None where they are not at hand.
        slices: how many are asked about again.
        seed: of their choice.
        tell: told how it goes.

    Raises:
        ModelError: when it claims nothing, or was changed.
        DataError: when DATA cannot be read.
    """
    stored, settings = claimed(loaded), settings_of(loaded)
    table, predictor = PredictionTable.of_bundle(loaded), Predictor(loaded)
    check = _of_folds if stored.get("out_of_fold") else _of_training
    return [
        *check(table, predictor, stored, settings),
        *_stored_only(table, stored),
        facts_again(loaded, stored, table),
        attempted("model card, from metrics.json", lambda: card_again(stored, settings, loaded)),
        files_again(loaded),
        *asked_with(data, table, predictor, bool(stored.get("out_of_fold")), settings, slices, seed, tell),
    ]


def claimed(loaded: Bundle) -> dict[str, Any]:
    """``metrics.json`` of a bundle.

    Raises:
        ModelError: when it claims nothing, or the file was changed.
    """
    if not {"metrics.json", "predictions.csv", "MODEL_CARD.md"} <= set(loaded.info.files):
        raise ModelError(
            f"{loaded.where} claims nothing: it lacks metrics.json, predictions.csv or MODEL_CARD.md",
            hint="export the bundle again",
        )
    found: dict[str, Any] = json.loads(loaded.read("metrics.json"))
    return found


def _of_training(
    table: PredictionTable, predictor: Predictor, stored: Mapping[str, Any], settings: Settings
) -> list[Check]:
    """The scores, trust and verdicts of a network that was tested itself."""
    trust, info = predictor.trust, predictor.bundle.info

    def scores() -> Check:
        alpha = trust.conformal.alpha if trust.conformal else None
        tested = rescoring.split_scores(table, "test", alpha, settings)
        again = {
            "test": _with_maps(tested, stored),
            "validation": rescoring.split_scores(table, "val", alpha, settings),
            "as_shipped": (tested or {}).get("as_shipped"),
            "leaked": _leaked(table, "test"),
            "leaked_validation": _leaked(table, "val"),
            **rescoring.after_training(table.where("test"), trust, predictor.series, settings),
        }
        return compared(_SCORES, again, stored)

    before = earlier.made_before(stored.get("test"))
    fields = refitting.on_validation(table.where("val"), trust, settings.evaluate, info, before)
    return [
        attempted(_SCORES, scores),
        refitting.trust_again(fields, info),
        refitting.verdicts_again(table, dict.fromkeys(table.folds, trust)),
    ]


def _of_folds(
    table: PredictionTable, predictor: Predictor, stored: Mapping[str, Any], settings: Settings
) -> list[Check]:
    """Those of a network that learned from every slice, beside the answers of others of its recipe."""
    temperatures, info = (stored.get("calibration") or {}).get("temperatures") or {}, predictor.bundle.info
    told = _tells_temperatures(table, stored)

    def scores() -> Check:
        tested = rescoring.split_scores(table, "test", settings.evaluate.alpha, settings)
        again = {
            "test": _with_maps(tested, stored),
            **dict.fromkeys(("as_shipped", "validation", "leaked", "leaked_validation")),
            **rescoring.after_crossval(table, temperatures, predictor.trust, settings, earlier.bare(info.series)),
        }
        if not told:
            del again["calibration"], again["series"]
        return compared(_SCORES, again, stored)

    if not told:
        unknown = [Check(name, None, _NOT_TOLD) for name in (refitting.FITTING, refitting.VERDICTS)]
        return [attempted(_SCORES, scores), *unknown]
    raw, before = uncalibrated(table, temperatures), earlier.made_before(stored.get("test"))
    trusts = refitting.fold_trusts(raw, settings.evaluate, before)
    return [
        attempted(_SCORES, scores),
        refitting.temperatures_again(trusts, temperatures),
        refitting.trust_again(refitting.out_of_fold(raw, settings.evaluate, info, before), info),
        refitting.verdicts_again(table, trusts, refitting.FITTED),
    ]


def _tells_temperatures(table: PredictionTable, stored: Mapping[str, Any]) -> bool:
    """Whether the answers can be uncalibrated: folds that may be named after somebody have no temperature here."""
    return not stored.get("calibration") or all(map(is_number, table.folds))


def _stored_only(table: PredictionTable, stored: Mapping[str, Any]) -> list[Check]:
    """A line that names the tables that nothing in a bundle gives again; none where it claims none of them."""
    names = [name for name in _NOT_TRAVELLING if stored.get(name)]
    if stored.get("out_of_fold") and not _tells_temperatures(table, stored):
        names += [name for name in ("calibration", "series") if stored.get(name)]
    if not names:
        return []
    told = [f"{name} (and test.pointing_game)" if name == "localisation" else name for name in names]
    why = "only compared with the words of the model card; verify the run's folder"
    return [Check(_STORED, None, f"of metrics.json {', '.join(told)}: {why}")]


def _with_maps(tested: dict[str, Any] | None, stored: Mapping[str, Any]) -> dict[str, Any] | None:
    """Scores with those of the maps, whose answers no bundle holds: all that is checked of these is that they agree."""
    return tested and {**tested, "pointing_game": placing.pointing_game(stored.get("localisation"))}


def _leaked(table: PredictionTable, split: str) -> dict[str, int] | None:
    removed = table.splits.count(split + LEAKED)
    return {"removed": removed} if removed else None


def facts_again(loaded: Bundle, stored: Mapping[str, Any], table: PredictionTable) -> Check:
    """Whether ``metrics.json`` says of network and data what ``bundle.json``, the network and the answers say."""
    name, info = "network and data, from bundle.json", loaded.info

    def check() -> Check:
        data, versions = stored["data"], stored["versions"]
        again = {
            "name": info.name,
            "created": info.created,
            "labels": info.labels,
            "training": info.training,
            "parity": info.parity,
            "selective": info.selective,
            "conformal": info.conformal,
            "model": {"name": info.name, "version": info.version, "sha256": sha256(loaded.model)},
            "versions": {**info.versions, "tumorlens": versions.get("tumorlens")},
            "fingerprint": info.data["fingerprint"],
            "sources": info.data["sources"],
            "counts": {split: counts for split, counts in info.data["counts"].items() if counts},
        }
        held = {} if stored.get("out_of_fold") else _held_out(table)
        other = {
            **stored,
            **{key: data[key] for key in ("fingerprint", "sources", "counts")},
            **{f"{split} slices": data["counts"][split] for split in held},
            **{f"{split} groups": data["groups"][split] for split in held},
        }
        for split, part in held.items():
            again |= {f"{split} slices": dict(Counter(part.labels)), f"{split} groups": len(set(part.groups))}
        return compared(name, again, other)

    return attempted(name, check)


def _held_out(table: PredictionTable) -> dict[str, PredictionTable]:
    """The answers for validation and test slices, leaked ones among them."""
    return {split: table.where([one in (split, split + LEAKED) for one in table.splits]) for split in ("val", "test")}


def files_again(loaded: Bundle) -> Check:
    """Whether every file of a bundle has the SHA-256 that ``bundle.json`` names."""
    wrong = []
    for name in loaded.info.files:
        try:
            loaded.read(name)  # compares
        except ModelError:
            wrong.append(name)
    return of_wrong("SHA-256 of the bundle's files", wrong, f"{len(loaded.info.files)} files")


def asked_with(
    data: Data | None,
    table: PredictionTable,
    predictor: Predictor,
    every: bool,
    settings: Settings,
    slices: int,
    seed: int,
    tell: Reporter,
) -> list[Check]:
    """The checks that need the pictures.

    Args:
        data: where they are; None where they are not at hand.
        table: answers of the bundle, its slices named by hash.
        predictor: its network.
        every: whether the network learned from all of these slices, and the answers are of others.
        settings: of the bundle.
        slices: how many are asked about again.
        seed: of their choice.
        tell: told how it goes.

    Raises:
        DataError: when DATA cannot be read.
    """
    if data is None:
        return [
            Check(NAME, None, "a bundle names no file: add its pictures with --data DATA, or verify its run folder")
        ]
    found = matched(table, data, settings, tell)
    if not found.rows:
        return [Check(NAME, None, f"none of the {found.looked} slices of DATA is one that its predictions.csv names")]
    part = table.where([name in found.rows for name in table.ids])
    ask = named_rightly if every else asked_again
    check = ask(part, found.places, predictor, slices, seed, tell)
    at_hand = f"{check.detail}; {len(part)} of its {len(table)} slices are in DATA"
    return [labels_again(table, found), Check(check.name, check.ok, at_hand)]
