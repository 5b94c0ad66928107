"""Screens a change of the recipe on figshare's inner folds: official fold 1 takes no part.

Command: ``python benchmarks/screen.py INDEX NAME [section.key=value …] [--val 2 4] [--epochs 20] [--seed 0] [--share 1]
[--teachers 0] [--drawn N] [--again 0] [--beside DATA]``. For each
validation fold a network is trained on the other three of folds 2 to 5 and asked about it, with and without its mirror
image. Patient ids that differ by a trailing letter are one patient (``data.join_patient_variants``): slices of the fold
whose patient is trained on, too, are not scored; lines from before 2026-11-28 have no such join. With ``--drawn`` no
mask of a real slice is learned from: ``train.drawn`` is N; ``--again`` trains once more with the masks that the network
before predicts. How often each map's peak lies on the tumour, and how much of it, is said too. A line of JSON
for each fold goes to stdout and is appended to ``--out``. Cost: about four minutes a line on two cores with bfloat16.
Two folds of some 46 patients tell apart what differs by two points or more, not less.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from distil import taught_by
from drawn import own_masks, without_masks
from msgspec.structs import replace as replaced

import tumorlens
from tumorlens import config
from tumorlens.data.manifest import Manifest
from tumorlens.evaluation import PredictionTable
from tumorlens.evaluation.metrics import evaluate_table
from tumorlens.inference import Predictor
from tumorlens.pipeline.dataset import read, standardised
from tumorlens.pipeline.reporter import Reporter
from tumorlens.pipeline.scoring import table_of


def main() -> None:
    """Train and ask, fold by fold."""
    parser = argparse.ArgumentParser()
    parser.add_argument("index")
    parser.add_argument("name")
    parser.add_argument("changes", nargs="*")
    parser.add_argument("--val", nargs="+", default=["2", "4"])
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--share", type=float, default=1.0, help="of the patients that are trained on: a learning curve"
    )
    parser.add_argument("--teachers", type=int, default=0, help="networks of other seeds whose mean is learned from")
    parser.add_argument("--drawn", type=int, default=0, help="slices of the phantom, with masks, and no real mask")
    parser.add_argument("--beside", help="DATA that is learned from, too, such as no_tumor=FOLDER")
    parser.add_argument("--again", type=int, default=0, help="trainings with the masks of the network before")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    overrides = ["model.name=guided", "train.precision=bfloat16", "data.join_patient_variants=true", *options.changes]
    overrides += [f"train.epochs={options.epochs}", f"seed={options.seed}", "evaluate.report=false"]
    overrides += ["data.test_fold=asked", "data.audit=copies", "data.fractions=[0.97,0.03,0]"]
    settings = config.load(None, [*overrides, f"train.drawn={options.drawn}"])
    whole = read(options.index, settings=config.load(None, ["data.fold_column=official_fold"]).data)
    for fold in options.val:
        inner = whole.where(lambda row: row.fold != "1")
        patients = sorted({row.patient for row in inner if row.fold != fold})
        kept = set(np.random.default_rng(0).permutation(patients)[: round(options.share * len(patients))])
        inner = inner.where(lambda row, fold=fold, kept=kept: row.fold == fold or row.patient in kept)
        chosen = inner.with_rows(replace(row, fold="asked" if row.fold == fold else "") for row in inner)
        if options.beside:
            more = read(options.beside)
            chosen = chosen.with_rows([*chosen, *(replace(row, fold="", split="") for row in more)])
        if options.drawn:
            chosen = without_masks(chosen)
        with tempfile.TemporaryDirectory() as folder:
            teachers = [Path(folder) / f"teacher-{number}" for number in range(1, options.teachers + 1)]
            for number, teacher in enumerate(teachers, start=1):
                tumorlens.train(chosen, settings=replaced(settings, seed=options.seed + 100 * number), out=teacher)
            with taught_by(teachers) if teachers else nullcontext():
                run = tumorlens.train(chosen, settings=settings, out=Path(folder) / "run")
            for number in range(options.again):
                with own_masks(run.folder, chosen):
                    run = tumorlens.train(chosen, settings=settings, out=Path(folder) / f"again-{number}")
            found = asked(run.folder, chosen, run.metrics["leaked"])
            line = {"name": options.name, "fold": fold, "seed": options.seed, "share": options.share}
            line |= {"teachers": options.teachers} if teachers else {}
            line |= {"drawn": options.drawn, "again": options.again} if options.drawn else {}
            line |= {"beside": options.beside} if options.beside else {}
            line |= {"changes": options.changes, **found}
            for name, place in (run.metrics["localisation"] or {}).items():
                line[f"map_{name}"] = [round(place["hit_rate"], 3), round(place["energy"], 3)]
            line["minutes"] = round(run.metrics["training"]["seconds"] / 60, 1)
            line["train_accuracy"] = last(run.folder / "history.csv", "accuracy")
        print(json.dumps(line), flush=True)
        if options.out:
            with options.out.open("a") as file:
                file.write(json.dumps(line) + "\n")


def asked(run: Path, chosen: Manifest, leaked: dict[str, Any] | None) -> dict[str, float]:
    """Scores on the fold that was left out, without and with averaging over the mirror image."""
    table = PredictionTable.read_csv(run / "predictions.csv").where("test")
    seen = {name for name, _ in leaked["pairs"]} if leaked else set()
    table = table.where([name not in seen for name in table.ids])
    predictor = Predictor(tumorlens.bundle.load(run))
    ready = standardised(chosen.where(lambda row: row.fold == "asked"), predictor.bundle.info.recipe, Reporter())
    images = np.asarray(ready.images[:])
    outputs = predictor.run(images[:, :, ::-1])
    mirrored = table_of(ready.manifest, predictor.labels, outputs, images)
    place = {name: i for i, name in enumerate(mirrored.ids)}
    mirrored = mirrored.take([place[name] for name in table.ids])
    both = replace(table, probabilities=(table.probabilities + mirrored.probabilities) / 2)
    return {**scores(table, ""), **scores(both, "_mirrored")}


def scores(table: PredictionTable, suffix: str) -> dict[str, float]:
    """Slices, patients, log loss."""
    found = evaluate_table(table)
    return {f"{key}{suffix}": round(found[key], 4) for key in ("accuracy", "patient_accuracy", "nll")}


def last(path: Path, column: str) -> float:
    """The last value of a column."""
    header, *rows = [line.split(",") for line in path.read_text().splitlines()]
    return round(float(rows[-1][header.index(column)]), 4)


if __name__ == "__main__":
    main()
