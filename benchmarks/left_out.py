"""Four classes, a source left out: whether the network knows tumours, or where its pictures came from.

Command: ``python benchmarks/left_out.py PATH/TO/data RUNS [--sources mixed_web brain_tumor_progression]``. The data are
cleaned as ``tumorlens audit … --fix`` does (one of each picture). Tested on are the source that was left out and
figshare's official fold 2, whose masks show whether the answers hang on the tumour. Runs that are in RUNS already are
read, so the command can be stopped and repeated. Cost: about 6 minutes a run on two cores with
bfloat16.
"""

from __future__ import annotations

import argparse
import csv
import json
from dataclasses import replace
from pathlib import Path

import tumorlens
from tumorlens.audit.fix import fixed
from tumorlens.data.manifest import Manifest
from tumorlens.evaluation import PredictionTable
from tumorlens.evaluation.metrics import evaluate_table
from tumorlens.pipeline.auditing import audit

FOLD = "2"
# What is changed against `guided`; in the order in which it is added.
VARIANTS = {
    "compact": {"model": {"name": "compact"}},
    "guided": {},
    "twins": {"augment": {"twins": 0.2}},
    "transplants": {"augment": {"transplants": 0.3}},
    "both": {"augment": {"twins": 0.2, "transplants": 0.3}},
}


def sources(data: Path) -> list[str]:
    """The DATA of the shipped model."""
    return [
        str(data / "figshare" / "index.csv"),
        f"mask:glioma={data / 'brain_tumor_progression'}",
        f"no_tumor={data / 'br35h_no'}",
        str(data / "mixed_web"),
        f"no_tumor={data / 'dicom' / 't1w_head'}",
        f"no_tumor={data / 'nifti' / 'spm152.nii.gz'}",
    ]


def cleaned(data: Path) -> Manifest:
    """One of each picture, grouped."""
    return fixed(audit(sources(data)).found)


def divided(manifest: Manifest, data: Path, source: str) -> Manifest:
    """The manifest with what is tested in the fold ``held``."""
    with (data / "figshare" / "index.csv").open(newline="") as file:
        held = {row["id"] for row in csv.DictReader(file) if row["official_fold"] == FOLD}
    return manifest.with_rows(
        replace(row, split="", fold="held" if row.source == source or row.id in held else "") for row in manifest
    )


def main() -> None:
    """Train what is missing and print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("runs", type=Path)
    parser.add_argument("--sources", nargs="+", default=["mixed_web", "brain_tumor_progression"])
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS))
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--size", type=int, default=128)
    options = parser.parse_args()
    manifest = None
    print("left out                 variant      seed  bal. acc. %  (n)   figshare %  erased->none %  control kept %")
    for source in options.sources:
        for variant in options.variants:
            for seed in range(options.seeds):
                folder = options.runs / f"{source}-{variant}-s{seed}"
                if not (folder / "bundle" / "bundle.json").is_file():
                    manifest = manifest or cleaned(options.data)
                    settings = {
                        "seed": seed,
                        "data": {"test_fold": "held", "audit": "copies"},
                        "preprocess": {"size": options.size},
                        "train": {"start": "phantom", "epochs": options.epochs, "precision": "bfloat16"},
                        "evaluate": {"report": False},
                        "model": VARIANTS[variant].get("model", {"name": "guided"}),
                        "augment": {"elastic": 0.015, **VARIANTS[variant].get("augment", {})},
                    }
                    tumorlens.train(divided(manifest, options.data, source), settings=settings, out=folder)
                print(line(folder, source, variant, seed), flush=True)


def line(folder: Path, source: str, variant: str, seed: int) -> str:
    """A run in a line."""
    table = PredictionTable.read_csv(folder / "predictions.csv").where("test")
    left, own = (
        evaluate_table(table.where([(name == source) == wanted for name in table.sources])) for wanted in (True, False)
    )
    gap = json.loads((folder / "metrics.json").read_text())["clever_hans"]
    return (
        f"{source:24} {variant:12} {seed:4}  {100 * left['balanced_accuracy']:11.1f}  ({left['n']})  "
        f"{100 * own['accuracy']:10.1f}  {100 * gap['removed']['rate']:14.1f}  {100 * gap['control']['rate']:14.1f}"
    )


if __name__ == "__main__":
    main()
