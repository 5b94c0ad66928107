"""Whether a run or a bundle still says what its saved answers say, and its network still gives those answers.

What can be recomputed is: every score, from ``predictions.csv`` and ``edits.csv``; the model card, from the scores; the
answers themselves, for slices drawn at random, where the pictures are at hand. What cannot is taken as it is: how long
training took, how far Keras and ONNX Runtime differed, versions.
"""

from __future__ import annotations

import csv
import json
import math
import os
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tumorlens import bundle, config, io
from tumorlens.bundle import Bundle
from tumorlens.config import EvaluateSettings, Settings
from tumorlens.errors import InputError, ModelError, UsageError
from tumorlens.evaluation.localisation import read_places
from tumorlens.evaluation.looking import read_looks
from tumorlens.evaluation.subgroups import patients, subgroups
from tumorlens.evaluation.table import PredictionTable
from tumorlens.inference import Prediction, Predictor
from tumorlens.inference.result import NOT_BRAIN_MRI
from tumorlens.inference.trust import Trust, softmax
from tumorlens.inference.trust.series import SeriesTrust
from tumorlens.io.atomic import json_bytes
from tumorlens.pipeline import crossscoring, folds, looking, placing, runs, serial, trusting
from tumorlens.pipeline.public import LEAKED, public_metrics, public_settings
from tumorlens.pipeline.reporter import Reporter
from tumorlens.pipeline.scoring import scores
from tumorlens.report.card import model_card

# Of a score: the order of a sum may differ between machines, nothing else may.
_CLOSE = 1e-9
# Of a probability, between this machine and the one that answered first (law 2 of the design).
_SAME = 1e-6
SLICES = 200
_SHOWN = 5


@dataclass(frozen=True)
class Check:
    """One thing that was checked.

    Attributes:
        name: what.
        ok: whether it holds; None where it could not be checked.
        detail: how much was compared, or what differs, or why it was not checked.
    """

    name: str
    ok: bool | None
    detail: str

    def as_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {"name": self.name, "ok": self.ok, "detail": self.detail}


def verify(
    model: str | os.PathLike[str], *, slices: int = SLICES, seed: int = 0, reporter: Reporter | None = None
) -> list[Check]:
    """Recompute what a run folder or a bundle claims.

    Args:
        model: MODEL; of a run folder, or the folder of a cross-validation, more can be checked than of a bundle.
        slices: how many are asked about again, where their pictures are at hand; fewer where there are fewer.
        seed: of their choice.
        reporter: told how it goes.

    Raises:
        ModelError: when there is no such model, or its network was changed.
        UsageError: for a run that has not finished.
    """
    tell, folder = reporter or Reporter(), Path(model)
    if not (folder / "run.json").is_file():
        return _of_bundle(bundle.load(model))
    kind = json.loads((folder / "run.json").read_text(encoding="utf-8")).get("kind", "training")
    if not (folder / "metrics.json").is_file():
        raise UsageError(f"{folder} has not finished", hint=f"finish it with: {runs.continuing(folder)}")
    stored = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    if kind == "crossval":
        found = _of_crossval(folder, stored, slices, seed, tell)
        return [*found, *_of_bundle(bundle.load(folder))] if (folder / "bundle").is_dir() else found
    return _of_run(folder, stored, slices, seed, tell)


def _of_run(folder: Path, stored: Mapping[str, Any], slices: int, seed: int, tell: Reporter) -> list[Check]:
    settings = config.load(folder / "config.toml")
    provenance = json.loads((folder / "run.json").read_text(encoding="utf-8"))["provenance"]
    loaded = bundle.load(folder)
    table = PredictionTable.read_csv(folder / "predictions.csv")
    leaks = {name for name, _ in (stored["leaked"] or {}).get("pairs", ())}
    copied = {name for name, _ in (stored["leaked_validation"] or {}).get("pairs", ())}
    shared = leaks | copied
    splits = zip(table.ids, table.splits, strict=True)
    marked = replace(table, splits=tuple(f"{split}{LEAKED}" if name in shared else split for name, split in splits))
    again = _scores(marked, _trust(loaded), loaded.info.series, settings.evaluate, settings.seed, stored)
    looks, places = folder / "edits.csv", folder / "maps.csv"
    again["clever_hans"] = looking.gap(read_looks(looks), table, settings) if looks.is_file() else None
    again["localisation"] = placing.scored(read_places(places), table, settings) if places.is_file() else None
    again["test"]["pointing_game"] = placing.pointing_game(again["localisation"])
    public = public_metrics(stored, provenance)
    card = model_card(public, config.to_toml(public_settings(settings)))
    return [
        _compared("scores, from predictions.csv", again, stored),
        _compared(
            "metrics.json of the bundle", json.loads(json_bytes(public)), json.loads(loaded.read("metrics.json"))
        ),
        _card(card, loaded),
        _files(loaded),
        _asked(table, _places(folder), Predictor(loaded), slices, seed, tell),
    ]


def _of_crossval(folder: Path, stored: Mapping[str, Any], slices: int, seed: int, tell: Reporter) -> list[Check]:
    settings, manifest, start = runs.reopen(folder, "crossval")
    scored = crossscoring.score(folder, settings, manifest, start)
    found = [_compared("scores, from the trainings' predictions.csv", json.loads(json_bytes(scored.metrics)), stored)]
    for one, table in zip(folds.seeds(settings), scored.tables, strict=True):
        kept = PredictionTable.read_csv(folder / f"seed-{one}" / folds.FOLDS / "predictions.csv")
        same = kept.ids == table.ids and bool((np.abs(kept.probabilities - table.probabilities) <= _CLOSE).all())
        found.append(Check(f"out-of-fold answers of seed {one}", same, f"{len(kept)} answers"))
    names, places = [fold.name for fold in folds.plan(manifest, settings)], _places(folder)
    each = -(-slices // len(names))
    for name in names:
        place = folds.place_of(folder / f"seed-{settings.seed}", name)
        table = PredictionTable.read_csv(place / "predictions.csv").where("test")
        check = _asked(table, places, Predictor(bundle.load(place)), each, seed, tell)
        found.append(replace(check, name=f"{check.name}, fold {name}"))
    return found


def _of_bundle(loaded: Bundle) -> list[Check]:
    if not {"metrics.json", "predictions.csv", "MODEL_CARD.md"} <= set(loaded.info.files):
        raise ModelError(
            f"{loaded.where} claims nothing: it lacks metrics.json, predictions.csv or MODEL_CARD.md",
            hint="export the bundle again",
        )
    stored = json.loads(loaded.read("metrics.json"))
    card = loaded.read("MODEL_CARD.md").decode()
    settings = _settings_of(card)
    table = PredictionTable.of_bundle(loaded)
    again = _scores(table, _trust(loaded), loaded.info.series, settings.evaluate, settings.seed, stored)
    if again["test"]:  # of maps, the bundle has no answers
        again["test"]["pointing_game"] = (stored.get("test") or {}).get("pointing_game")
    return [
        _compared("scores, from the bundle's predictions.csv", again, stored),
        _card(model_card(stored, config.to_toml(settings)), loaded),
        _files(loaded),
        Check("answers again", None, "a bundle names no file: verify its run folder, or tumorlens evaluate MODEL DATA"),
    ]


def _scores(
    table: PredictionTable,
    trust: Trust,
    series: Mapping[str, Any] | None,
    chosen: EvaluateSettings,
    seed: int,
    stored: Mapping[str, Any],
) -> dict[str, Any]:
    """What ``metrics.json`` says that follows from the answers."""
    alpha = trust.conformal.alpha if trust.conformal else None
    out_of_fold = stored.get("out_of_fold")
    if out_of_fold:
        table = replace(table, splits=("test",) * len(table))
        alpha = chosen.alpha
    clean = table.where("test")

    def of(split: str) -> dict[str, Any] | None:
        here = [one in (split, f"{split}{LEAKED}") for one in table.splits]
        part = table.where(here)
        leaked = {name for name, one in zip(part.ids, part.splits, strict=True) if one.endswith(LEAKED)}
        return scores(part, leaked, chosen, seed, alpha) if len(part) else None

    again: dict[str, Any] = {
        "test": of("test"),
        "subgroups": subgroups(clean, bootstrap=chosen.bootstrap, seed=seed),
        "patients": patients(clean),
    }
    again["as_shipped"] = (again["test"] or {}).get("as_shipped")
    if not out_of_fold:
        again["validation"] = of("val")
    told = stored.get("calibration")
    # Where folds are not named by numbers, a bundle does not tell their temperatures.
    told_folds = not out_of_fold or told is None or "temperatures" in told
    if stored.get("series") is not None and told_folds:
        again["series"] = _of_series(
            clean, SeriesTrust.read(series, clean.names), told or {}, chosen, seed, bool(out_of_fold)
        )
    if told is not None and ("temperatures" in told or not out_of_fold):
        temperatures = told.get("temperatures") or {}
        usual = 1.0 if temperatures else told["temperature"]
        raw = _uncalibrated(clean, temperatures, usual)
        again["calibration"] = trusting.calibration(raw, clean, trust, seed, temperatures or None)
    return again


def _of_series(
    table: PredictionTable,
    series: SeriesTrust,
    calibration: Mapping[str, Any],
    chosen: EvaluateSettings,
    seed: int,
    out_of_fold: bool,
) -> dict[str, Any]:
    if not out_of_fold:
        return serial.scored(serial.judged(table, series), table, chosen, seed)
    each = calibration.get("temperatures") or {}
    return serial.scored(serial.cross_fitted(_uncalibrated(table, each, 1.0), each, chosen), table, chosen, seed)


def _uncalibrated(table: PredictionTable, temperatures: Mapping[str, float], usual: float) -> PredictionTable:
    """The answers as the network gave them: each fold's temperature undone, or the usual one."""
    each = np.array([temperatures.get(fold, usual) for fold in table.folds])
    return replace(table, probabilities=softmax(trusting.logits_of(table) * each[:, np.newaxis]))


def _trust(loaded: Bundle) -> Trust:
    info = loaded.info
    return Trust.read(info.calibration, info.conformal, info.selective, info.labels)


def _settings_of(card: str) -> Settings:
    """The settings that a model card ends its recipe with."""
    found = re.search(r"^(`{3,})toml\n(.*?)\n\1$", card, re.MULTILINE | re.DOTALL)
    if not found:
        raise ModelError("MODEL_CARD.md holds no settings", hint="export the bundle again")
    return config.from_dict(tomllib.loads(found.group(2)))


def _card(card: str, loaded: Bundle) -> Check:
    kept = loaded.read("MODEL_CARD.md").decode()
    if kept == card:
        return Check("model card, from metrics.json", True, f"{len(card.splitlines())} lines")
    lines = zip(kept.splitlines(), card.splitlines(), strict=False)
    line = next((one for one, other in lines if one != other), "its length")
    return Check("model card, from metrics.json", False, f"it differs, first at: {line[:120]}")


def _files(loaded: Bundle) -> Check:
    wrong = []
    for name in loaded.info.files:
        try:
            loaded.read(name)  # compares
        except ModelError:
            wrong.append(name)
    return Check("SHA-256 of the bundle's files", not wrong, ", ".join(wrong) or f"{len(loaded.info.files)} files")


def _places(folder: Path) -> dict[str, tuple[str, int | None]]:
    """File and frame of each slice of a run, whether or not they are still there."""
    with (folder / "manifest.csv").open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        return {
            row["id"]: (str(folder / row["path"]), int(row["frame"]) if row["frame"] else None)
            for row in csv.DictReader(file)
        }


def _asked(
    table: PredictionTable,
    places: Mapping[str, tuple[str, int | None]],
    predictor: Predictor,
    slices: int,
    seed: int,
    tell: Reporter,
) -> Check:
    """Ask about slices drawn at random, and compare."""
    name = "answers again"
    order = np.random.default_rng(seed).permutation(len(table))[:slices]
    known = [int(i) for i in order if table.ids[i] in places]
    read: list[tuple[int, Any]] = []
    for i in known:
        try:
            read.append((i, io.read_slice(*places[table.ids[i]])))
        except InputError:
            continue
    if not read:
        return Check(name, None, "no picture is where it was")
    worst, wrong = 0.0, []
    with tell.progress("asking again") as progress:
        for done, answer in enumerate(predictor.predict_slices(item for _, item in read), start=1):
            i = read[done - 1][0]
            found = np.array([answer.probabilities[label] for label in table.names])
            off = float(np.abs(found - table.probabilities[i]).max())
            worst = max(worst, off)
            if off > _SAME or not _same_verdict(answer, table, i):
                wrong.append(table.ids[i])
            progress(done, len(read))
    missing = f", {len(known) - len(read)} pictures are gone" if len(read) < len(known) else ""
    if wrong:
        shown = ", ".join(wrong[:_SHOWN])
        return Check(name, False, f"{len(wrong)} of {len(read)} differ, by up to {worst:.2g}: {shown}{missing}")
    return Check(name, True, f"{len(read)} slices, within {worst:.1g}{missing}")


def _same_verdict(answer: Prediction, table: PredictionTable, row: int) -> bool:
    """Whether a slice is refused, and called uncertain, as the table says; a fold's table says less than its answer."""
    refused = answer.verdict == NOT_BRAIN_MRI
    if table.refused[row] is not None and refused != table.refused[row]:
        return False
    if table.accepted[row] is None or answer.verdict is None:
        return True
    return (answer.verdict == "accepted") == table.accepted[row]


def _compared(name: str, again: Mapping[str, Any], stored: Mapping[str, Any]) -> Check:
    differ, count = [], 0
    known = {key: value for key, value in again.items() if key in stored}  # earlier versions claimed less
    for path, one, other in _pairs(known, {key: stored[key] for key in known}):
        count += 1
        if not _equal(one, other):
            differ.append(f"{path} is {other!r}, recomputed {one!r}")
    if differ:
        more = f" and {len(differ) - _SHOWN} more" if len(differ) > _SHOWN else ""
        return Check(name, False, "; ".join(differ[:_SHOWN]) + more)
    return Check(name, True, f"{count} numbers")


def _pairs(one: Any, other: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """The leaves of two documents, side by side; a part that only one of them has, as a whole."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        for key in sorted({*one, *other}):
            yield from _pairs(one.get(key), other.get(key), f"{path}.{key}" if path else str(key))
    elif _listed(one) and _listed(other) and len(one) == len(other):
        for i, (a, b) in enumerate(zip(one, other, strict=True)):
            yield from _pairs(a, b, f"{path}[{i}]")
    else:
        yield path, one, other


def _listed(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, float) or isinstance(other, float):
        numbers = all(isinstance(value, (int, float)) for value in (one, other))
        return numbers and math.isclose(one, other, rel_tol=_CLOSE, abs_tol=_CLOSE)
    return bool(one == other)
