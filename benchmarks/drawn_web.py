"""Whether drawn masks cost accuracy on the set of four classes that has no masks: ``br35h_no`` with ``mixed_web``.

Command: ``python benchmarks/drawn_web.py PATH/TO/data [--seeds 1] [--drawn 1000]``. The slices are those that
``benchmarks/plan.py`` trains and validates with; what it tests on takes no part. A third of them, by groups, is asked.
20 epochs at 128 pixels, some five minutes a line on two cores with bfloat16.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from plan import web

import tumorlens
from tumorlens import config
from tumorlens.data import split
from tumorlens.evaluation import PredictionTable
from tumorlens.evaluation.comparison import compare_tables


def main() -> None:
    """Train and ask."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--drawn", type=int, default=1000)
    options = parser.parse_args()
    divided, _ = web(options.data)
    inner = divided.with_rows(replace(row, split="", fold="") for row in divided if row.split != "test")
    asked = split.folds(inner, 3, 0)
    recipes: dict[str, dict[str, Any]] = {
        "compact": {"model": {"name": "compact"}},
        "drawn, peak": {"model": {"name": "guided", "peak": True}, "train": {"drawn": options.drawn}},
    }
    print("recipe       seed  accuracy %  balanced %  log loss  minutes")
    tables: dict[str, list[PredictionTable]] = {name: [] for name in recipes}
    for seed in range(options.seeds):
        for name, recipe in recipes.items():
            settings = config.from_dict(
                {
                    "seed": seed,
                    "data": {"test_fold": asked.rows[0].fold, "audit": "copies"},
                    "augment": {"elastic": 0.015},
                    "evaluate": {"report": False},
                    **recipe,
                    "train": {"start": "phantom", "epochs": 20, "precision": "bfloat16", **recipe.get("train", {})},
                }
            )
            with tempfile.TemporaryDirectory() as folder:
                run = tumorlens.train(asked, settings=settings, out=Path(folder) / "run")
                tables[name].append(PredictionTable.read_csv(run.folder / "predictions.csv").where("test"))
            test = run.metrics["test"]
            print(
                f"{name:12} {seed:4}  {100 * test['accuracy']:10.1f}  {100 * test['balanced_accuracy']:10.1f}  "
                f"{test['nll']:8.3f}  {run.metrics['training']['seconds'] / 60:7.1f}",
                flush=True,
            )
    for name in list(recipes)[1:]:
        gain = compare_tables(tables["compact"], tables[name])["accuracy"]
        low, high = (100 * value for value in gain["ci95"])
        print(f"{name} against compact: {100 * gain['difference']:+.1f} points ({low:+.1f} to {high:+.1f})")


if __name__ == "__main__":
    main()
