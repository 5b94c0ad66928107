"""Recipes on the set of four classes that has no masks: with drawn ones and without, and parts of the plan.

Command: ``python benchmarks/drawn_web.py PATH/TO/data [--seeds 1] [--recipes compact drawn …] [--drawn 188]``. The
slices are those that ``benchmarks/plan.py`` trains and validates with; what it tests on takes no part. A third of them,
by groups, is asked. On two cores with bfloat16 ``compact`` and ``drawn`` take a minute, what is planned four.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from plan import gain, seeded, web

import tumorlens
from tumorlens import config
from tumorlens.config import Settings
from tumorlens.data import split
from tumorlens.evaluation import PredictionTable

# The plan fills in the rest of these; the others are complete.
BASE: dict[str, Any] = {"data": {"test_fold": "2", "audit": "copies"}, "evaluate": {"report": False}}
SHORT: dict[str, Any] = {**BASE, "augment": {"elastic": 0.015}}


def main() -> None:
    """Train and ask."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--drawn", type=int, default=188)
    parser.add_argument("--recipes", nargs="+", default=["compact", "drawn"])
    options = parser.parse_args()
    divided, _ = web(options.data)
    inner = divided.with_rows(replace(row, split="", fold="") for row in divided if row.split != "test")
    asked = split.folds(inner, 3, 0)
    short = {"start": "phantom", "epochs": 20, "precision": "bfloat16"}
    longer = {"start": "phantom", "epochs": 40, "precision": "bfloat16"}
    drawn = {"name": "guided", "peak": True}
    recipes: dict[str, Settings | dict[str, Any]] = {
        "compact": config.from_dict({**SHORT, "train": short}),
        "drawn": config.from_dict({**SHORT, "model": drawn, "train": {**short, "drawn": options.drawn}}),
        "by hand": config.from_dict({**SHORT, "preprocess": {"size": 160}, "train": longer}),
        "planned": BASE,
        "planned, weighted": {**BASE, "train": {"class_weights": "balanced"}},
        "planned, no artefacts": {**BASE, "augment": {"artefacts": 0.0}},
        "planned, batch 32": {**BASE, "train": {"batch_size": 32}},
    }
    print("recipe                 seed  accuracy %  balanced %  log loss  minutes")
    tables: dict[str, list[PredictionTable]] = {name: [] for name in options.recipes}
    for seed in range(options.seeds):
        for name in options.recipes:
            settings = seeded(recipes[name], seed)
            with tempfile.TemporaryDirectory() as folder:
                run = tumorlens.train(asked, settings=settings, out=Path(folder) / "run")
                tables[name].append(PredictionTable.read_csv(run.folder / "predictions.csv").where("test"))
            test = run.metrics["test"]
            print(
                f"{name:22} {seed:4}  {100 * test['accuracy']:10.1f}  {100 * test['balanced_accuracy']:10.1f}  "
                f"{test['nll']:8.3f}  {run.metrics['training']['seconds'] / 60:7.1f}",
                flush=True,
            )
    first, *others = options.recipes
    for name in others:
        print(f"{name} against {first}: {gain(tables[first], tables[name])}")


if __name__ == "__main__":
    main()
