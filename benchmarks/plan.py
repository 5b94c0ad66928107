"""The plan beside three recipes made by hand, on two data sets; it should be within a point of the best of them.

The hands know where to start and of elastic deformation, as the plan does; they have no masks drawn. On each set the
plan is compared with each recipe on the same slices, all seeds together, with an interval over patients (``web``:
clusters of copies).

Command: ``python benchmarks/plan.py PATH/TO/data RUNS [--sets figshare web] [--seeds 1]``. Data sets: figshare with
official fold 1 as test (three classes, masks), and ``br35h_no`` with ``mixed_web`` (four classes, no masks), divided by
tumorlens, one of each picture. Runs that are in RUNS already are read, so the command can be stopped and repeated.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import tumorlens
from tumorlens import config
from tumorlens.audit.fix import fixed
from tumorlens.config import DataSettings, Settings
from tumorlens.data import split
from tumorlens.data.manifest import Manifest
from tumorlens.evaluation import PredictionTable
from tumorlens.evaluation.comparison import compare_tables
from tumorlens.pipeline.auditing import audit

CLASSIC = Path(__file__).resolve().parents[1] / "examples" / "classic.toml"


def figshare(data: Path) -> tuple[str, dict[str, Any]]:
    """DATA, and what is given of the settings."""
    return str(data / "figshare" / "index.csv"), {"data": {"fold_column": "official_fold", "test_fold": "1"}}


def web(data: Path) -> tuple[Manifest, dict[str, Any]]:
    """DATA, and what is given of the settings."""
    manifest = fixed(audit([f"no_tumor={data / 'br35h_no'}", str(data / "mixed_web")]).found)
    # Once, so that all seeds are tested on the same slices.
    return split.split(manifest, DataSettings(fractions=(0.6, 0.1, 0.3)), 0, every_part=True), {}


SETS: dict[str, Callable[[Path], tuple[Any, dict[str, Any]]]] = {"figshare": figshare, "web": web}


def recipes(name: str, given: dict[str, Any]) -> dict[str, Settings | dict[str, Any]]:
    """The plan, which is given nothing but the data, and complete settings by hand."""
    masked = "guided" if name == "figshare" else "compact"
    return {
        "plan": given,
        "defaults": config.from_dict(given),
        "by hand": config.from_dict(
            {
                **given,
                "model": {"name": masked},
                "preprocess": {"size": 160},
                "train": {"start": "phantom", "epochs": 40},
                "augment": {"elastic": 0.015},
            }
        ),
        "classic": config.from_dict({**config.read_tree(CLASSIC), **given}),
    }


def main() -> None:
    """Train what is missing and print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("runs", type=Path)
    parser.add_argument("--sets", nargs="+", choices=list(SETS), default=list(SETS))
    parser.add_argument("--seeds", type=int, default=1)
    options = parser.parse_args()
    print("data      recipe          test accuracy %, seeds   mean  balanced  minutes")
    for name in options.sets:
        source, given = SETS[name](options.data)
        tables: dict[str, list[PredictionTable]] = {}
        for recipe, settings in recipes(name, given).items():
            found, tables[recipe] = [], []
            for seed in range(options.seeds):
                folder = options.runs / f"{name}-{recipe.replace(' ', '-')}-s{seed}"
                if not (folder / "bundle" / "bundle.json").is_file():
                    tumorlens.train(source, settings=seeded(settings, seed), out=folder)
                found.append(json.loads((folder / "metrics.json").read_text()))
                tables[recipe].append(PredictionTable.read_csv(folder / "predictions.csv").where("test"))
            accuracies = [100 * one["test"]["accuracy"] for one in found]
            balanced = statistics.mean(100 * one["test"]["balanced_accuracy"] for one in found)
            minutes = statistics.mean(one["training"]["seconds"] / 60 for one in found)
            each = " ".join(f"{value:5.1f}" for value in accuracies)
            print(
                f"{name:9} {recipe:15} {each:23}  {statistics.mean(accuracies):5.1f}  {balanced:8.1f}  {minutes:7.1f}",
                flush=True,
            )
        for recipe in [one for one in tables if one != "plan"]:
            print(f"plan against {recipe}: {gain(tables[recipe], tables['plan'])}", flush=True)


def gain(before: Sequence[PredictionTable], now: Sequence[PredictionTable]) -> str:
    """In accuracy, of recipes on the same slices."""
    found = compare_tables(before, now)["accuracy"]
    low, high = (100 * value for value in found["ci95"] or (float("nan"),) * 2)
    return f"{100 * found['difference']:+.1f} points ({low:+.1f} to {high:+.1f})"


def seeded(settings: Settings | dict[str, Any], seed: int) -> Settings | dict[str, Any]:
    """The same with another seed."""
    if isinstance(settings, dict):
        return {**settings, "seed": seed}
    return config.from_dict({**config.to_dict(settings), "seed": seed})


if __name__ == "__main__":
    main()
