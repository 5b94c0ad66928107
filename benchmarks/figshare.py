"""``compact`` beside the classic CNN with notebook augmentation: figshare, official fold 1 as test, three seeds each.

Command: ``python benchmarks/figshare.py PATH/TO/figshare/index.csv RUNS [--seeds 3] [--fold 1]``. Runs that are in the
folder RUNS already are continued or just read, so the command can be stopped and repeated.
Cost on 2 cores without AVX-512: about 15 minutes a run of ``compact``, 30 of ``plain``.
Floor to beat (one seed, another machine, trained on validation slices too): 93.4 % of slices, 91.1 % of patients.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

CLASSIC = Path(__file__).resolve().parents[1] / "examples" / "classic.toml"
NETWORKS = {"compact": [], "plain": ["--config", str(CLASSIC)]}


def metrics_of(folder: Path, words: list[str]) -> dict[str, dict[str, float]]:
    """The scores of a run, made or finished first where they are not there yet."""
    if not (folder / "report.html").exists():
        begun = (folder / "config.toml").exists()
        train = ["--resume", str(folder)] if begun else [*words, "--out", str(folder)]
        subprocess.run([sys.executable, "-m", "tumorlens", "train", *train], check=True)
    return json.loads((folder / "metrics.json").read_text())


def main() -> None:
    """Train what is missing and print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("index")
    parser.add_argument("runs", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--fold", default="1")
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS))
    options = parser.parse_args()
    print("network   seed  slices %   95 % interval     patients %  validation %  minutes")
    for name in options.networks:
        rows = []
        for seed in range(options.seeds):
            folder = options.runs / f"{name}-f{options.fold}-s{seed}"
            words = [options.index, "--fold-column", "official_fold", "--test-fold", options.fold, "--seed", str(seed)]
            metrics = metrics_of(folder, [*words, *NETWORKS[name]])
            test, minutes = metrics["test"], metrics["training"]["seconds"] / 60
            low, high = test["accuracy_ci95"]
            rows.append((100 * test["accuracy"], 100 * test["patient_accuracy"], minutes))
            print(
                f"{name:9} {seed:4}  {rows[-1][0]:8.1f}   {100 * low:5.1f} to {100 * high:5.1f}    {rows[-1][1]:8.1f}  "
                f"{100 * metrics['validation']['accuracy']:12.1f}  {minutes:7.1f}",
                flush=True,
            )
        if len(rows) > 1:
            means = [statistics.mean(column) for column in zip(*rows, strict=True)]
            spread = [statistics.stdev(column) for column in zip(*rows, strict=True)]
            print(
                f"{name:9} mean  {means[0]:8.1f}   SD {spread[0]:4.2f}            {means[1]:8.1f} (SD {spread[1]:.2f})"
                f"               {means[2]:7.1f}"
            )


if __name__ == "__main__":
    main()
