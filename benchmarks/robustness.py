"""What corruptions do to a recipe: every fold's network asked about slices of its own fold.

Command: ``python benchmarks/robustness.py CROSSVAL [--slices 60] [--out docs/images/robustness]``, CROSSVAL the folder
of a finished cross-validation. Writes the figure, prints the table. Cost: half a second a slice on one core.
"""

from __future__ import annotations

import argparse
import json
from functools import reduce
from pathlib import Path

from tumorlens import bundle
from tumorlens.data import split as splitting
from tumorlens.inference import Predictor
from tumorlens.pipeline import folds, robustness, runs
from tumorlens.pipeline.reporter import Reporter
from tumorlens.report.robustness import NAMES, robustness_figure, sentence


def main() -> None:
    """Ask, draw, print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("crossval", type=Path)
    parser.add_argument("--slices", type=int, default=60, help="of each fold")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    settings, manifest, _ = runs.reopen(options.crossval, "crossval")
    parts = []
    for fold in folds.plan(manifest, settings):
        place = folds.place_of(options.crossval / f"seed-{settings.seed}", fold.name)
        leaked = splitting.leaked(fold.manifest)
        own = manifest.where(lambda row, name=fold.name, leaked=leaked: row.fold == name and row.id not in leaked)
        parts.append(robustness.ask(own, Predictor(bundle.load(place)), settings, Reporter(), options.slices))
        print(f"fold {fold.name}: {len(parts[-1].tables['clean', 0])} slices", flush=True)
    found = robustness.scored(reduce(robustness.Corrupted.joined, parts), settings)
    print(sentence(found))
    print(f"{'':14}" + "".join(f"   severity {severity}" for severity in robustness.SEVERITIES))
    for kind, entries in found["corruptions"].items():
        cells = "".join(f"  {100 * one['accuracy']:5.1f}/{one['ece']:.2f}" for one in entries)
        print(f"{NAMES[kind]:14}{cells}")
    print("accuracy kept  " + "  ".join(f"{100 * share:5.1f}     " for share in found["accuracy_kept"]))
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n")
    if options.out:
        robustness_figure(found, options.out)


if __name__ == "__main__":
    main()
