"""What corruptions do to a recipe: every fold's network asked about slices of its own fold.

Command: ``python benchmarks/robustness.py CROSSVAL [--slices 60] [--out docs/images/robustness]``, CROSSVAL the folder
of a finished cross-validation. The networks of folds are not calibrated, so their answers get what the clean answers of
the *other* folds give, as in the scores of the cross-validation. Writes the figure, prints accuracy and calibration
error with intervals over patients. Answers of a fold are kept in ``CROSSVAL/robustness`` and not asked for again. Cost:
half a second a slice on one core.
"""

from __future__ import annotations

import argparse
import json
from functools import reduce
from pathlib import Path
from typing import Any

from tumorlens import bundle
from tumorlens.config import Settings
from tumorlens.data import split as splitting
from tumorlens.data.manifest import Manifest
from tumorlens.evaluation.table import PredictionTable
from tumorlens.evaluation.trusting import ece_floor
from tumorlens.inference import Predictor
from tumorlens.pipeline import folds, robustness, runs, trusting
from tumorlens.pipeline.reporter import Reporter
from tumorlens.report.robustness import NAMES, robustness_figure, sentence


def asked(kept: Path, place: Path, own: Manifest, settings: Settings, slices: int) -> robustness.Corrupted:
    """The answers of a fold's network, as it is, about slices of its fold; from the file where they are kept."""
    loaded = bundle.load(place)
    file = kept / f"{place.name}-{slices}-{loaded.sha256[:16]}.csv"
    if not file.is_file():
        found = robustness.ask(own, Predictor(loaded), settings, Reporter(), slices)
        kept.mkdir(exist_ok=True)
        found.as_table().write_csv(file)
    return robustness.Corrupted.of_table(PredictionTable.read_csv(file))


def line(name: str, scores: dict[str, Any]) -> str:
    """Accuracy in percent and calibration error, each with its interval."""

    def range_of(ends: list[float] | None, digits: int, scale: int) -> str:
        return "-" if ends is None else f"{scale * ends[0]:.{digits}f} to {scale * ends[1]:.{digits}f}"

    return (
        f"{name:16} {100 * scores['accuracy']:5.1f} ({range_of(scores['accuracy_ci95'], 1, 100)})  "
        f"ECE {scores['ece']:.3f} ({range_of(scores['ece_ci95'], 3, 1)})"
    )


def main() -> None:
    """Ask, calibrate, draw, print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("crossval", type=Path)
    parser.add_argument("--slices", type=int, default=60, help="of each fold")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    settings, manifest, _ = runs.reopen(options.crossval, "crossval")
    planned, trainings = folds.plan(manifest, settings), options.crossval / f"seed-{settings.seed}"
    parts, leaked = [], set()
    for fold in planned:
        mine = set(splitting.leaked(fold.manifest))
        leaked |= mine
        own = manifest.where(lambda row, name=fold.name, mine=mine: row.fold == name and row.id not in mine)
        place = folds.place_of(trainings, fold.name)
        parts.append(asked(options.crossval / "robustness", place, own, settings, options.slices))
        print(f"fold {fold.name}: {len(parts[-1].tables['clean', 0])} slices", flush=True)
    clean = folds.pool(trainings, [fold.name for fold in planned])
    trusts = trusting.fold_trusts(clean, settings.evaluate, leaked)
    corrupted = reduce(robustness.Corrupted.joined, parts).judged(trusts)
    found = robustness.scored(corrupted, settings)
    print(sentence(found))
    temperatures = [f"{one.temperature.value:.2f}" if one.temperature else "none" for one in trusts.values()]
    print(f"temperatures of the folds: {', '.join(temperatures)}")
    print(line("as they are", found["clean"]))
    floor = ece_floor(corrupted.tables[robustness.CLEAN, 0].confidence, seed=settings.seed)
    print(f"{'':16} a perfectly calibrated network would show an ECE of {floor:.3f} there by chance")
    for kind, entries in found["corruptions"].items():
        for entry in entries:
            print(line(f"{NAMES[kind]} {entry['severity']}", entry))
    print("accuracy kept  " + "  ".join(f"{100 * share:5.1f}" for share in found["accuracy_kept"]))
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n")
    if options.out:
        robustness_figure(found, options.out)


if __name__ == "__main__":
    main()
