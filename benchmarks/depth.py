"""Whether more layers hurt: depths 1 to 4, with residual shortcuts, without them, and the classic stacks.

Command: ``python benchmarks/depth.py PATH/TO/figshare/index.csv RUNS [--seeds 3] [--out docs/images/depth.svg]``.
figshare, official fold 1 as test, 96 pixels, 10 epochs: a short schedule, the same for all. ``residual`` is ``compact``
with that many blocks of two convolutions in each of its three stages; ``plain`` the same without shortcuts; ``classic``
the convolution and max-pooling stacks of the notebooks under the same optimiser. Runs that are in RUNS already are
read, so the command can be stopped and repeated. Cost: about an hour on two cores with bfloat16.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

import tumorlens
from tumorlens.evaluation import PredictionTable
from tumorlens.evaluation.comparison import compare_tables

KINDS = {
    "residual": {"name": "compact"},
    "plain": {"name": "compact", "shortcuts": False},
    "classic": {"name": "plain"},
}
DEPTHS = (1, 2, 3, 4)
COLOURS = {"residual": "#0072b2", "plain": "#d55e00", "classic": "#7f7f7f"}


def run(index: str, runs: Path, kind: str, depth: int, seed: int) -> Path:
    """The folder of a training, made first where it is not there yet."""
    folder = runs / f"{kind}-d{depth}-s{seed}"
    if not (folder / "bundle" / "bundle.json").is_file():
        settings = {
            "seed": seed,
            "data": {"fold_column": "official_fold", "test_fold": "1", "audit": "copies"},
            "preprocess": {"size": 96},
            "model": {**KINDS[kind], "depth": depth},
            "train": {"epochs": 10, "precision": "bfloat16"},
            "evaluate": {"report": False},
        }
        tumorlens.train(index, settings=settings, out=folder)
    return folder


def main() -> None:
    """Train what is missing, print the table and the tests, draw the figure."""
    parser = argparse.ArgumentParser()
    parser.add_argument("index")
    parser.add_argument("runs", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("docs/images/depth.svg"))
    options = parser.parse_args()
    tables: dict[tuple[str, int], list[PredictionTable]] = {}
    scores: dict[str, list[list[float]]] = {}
    print("network    depth  parameters   test %, seeds          mean    SD  train %  validation %")
    for kind in KINDS:
        for depth in DEPTHS:
            folders = [run(options.index, options.runs, kind, depth, seed) for seed in range(options.seeds)]
            metrics = [json.loads((folder / "metrics.json").read_text()) for folder in folders]
            tables[kind, depth] = [PredictionTable.read_csv(f / "predictions.csv").where("test") for f in folders]
            found = [100 * one["test"]["accuracy"] for one in metrics]
            scores.setdefault(kind, []).append(found)
            trained = [float((f / "history.csv").read_text().splitlines()[-1].split(",")[5]) for f in folders]
            validated = [100 * one["validation"]["accuracy"] for one in metrics]
            size, each = metrics[0]["training"]["parameters"], "  ".join(f"{value:5.1f}" for value in found)
            print(
                f"{kind:10} {depth:5}  {size:10,}   {each:20}  {np.mean(found):5.1f}  {np.std(found, ddof=1):4.1f}"
                f"  {100 * np.mean(trained):7.1f}  {np.mean(validated):12.1f}",
                flush=True,
            )
    for kind in KINDS:
        for depth in DEPTHS[1:]:
            difference = compare_tables(tables[kind, 1], tables[kind, depth])["accuracy"]
            low, high = (100 * end for end in difference["ci95"])
            print(
                f"{kind}: depth {depth} against 1: {100 * difference['difference']:+.1f} points "
                f"({low:+.1f} to {high:+.1f}), p = {difference['p']:.3f}"
            )
    for depth in DEPTHS:
        difference = compare_tables(tables["plain", depth], tables["residual", depth])["accuracy"]
        low, high = (100 * end for end in difference["ci95"])
        print(
            f"depth {depth}: residual against plain: {100 * difference['difference']:+.1f} points "
            f"({low:+.1f} to {high:+.1f}), p = {difference['p']:.3f}"
        )
    draw(scores, options.out)


def draw(scores: dict[str, list[list[float]]], path: Path) -> None:
    """Accuracy by depth: a dot a seed, a line through the means."""
    import matplotlib as mpl

    mpl.use("svg")
    import matplotlib.pyplot as plt

    with mpl.rc_context({"svg.hashsalt": "tumorlens", "font.size": 10}):
        figure, axes = plt.subplots(figsize=(6, 3.6), layout="constrained")
        for kind, by_depth in scores.items():
            axes.plot(DEPTHS, [np.mean(found) for found in by_depth], color=COLOURS[kind], label=kind)
            for depth, found in zip(DEPTHS, by_depth, strict=True):
                axes.plot([depth] * len(found), found, "o", color=COLOURS[kind], markersize=4, alpha=0.7)
        axes.set(xlabel="blocks per stage (residual, plain) or stacks (classic)", ylabel="test accuracy, %")
        axes.set_xticks(DEPTHS)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", alpha=0.3)
        axes.legend(frameon=False)
        figure.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    main()
