"""Four classes, a source left out: whether the network knows tumours, or where its pictures came from.

Command: ``python benchmarks/left_out.py PATH/TO/data RUNS [--sources mixed_web brain_tumor_progression]``. The data are
cleaned as ``tumorlens audit … --fix`` does (one of each picture), and patient ids that differ by a trailing letter are
joined (``--no-join``: not). Tested on are the source that was left out and figshare's official fold 2, less what shares
a patient with training; masks show, for each of the two, whether the answers hang on the tumour. Each variant is
compared with those in :data:`AGAINST` on the same slices, all seeds together. Runs that are in RUNS already are read as
they are, so the command can be stopped and repeated. Cost: about 6 minutes a run on two cores with bfloat16, 15 for
``shipped``, the recipe of the model that ships with as many epochs.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import tumorlens
from tumorlens import config
from tumorlens.audit.fix import fixed
from tumorlens.config import Settings
from tumorlens.data.manifest import Manifest
from tumorlens.evaluation import PredictionTable
from tumorlens.evaluation.comparison import compare_tables
from tumorlens.evaluation.looking import clever_hans, read_looks
from tumorlens.evaluation.metrics import evaluate_table
from tumorlens.pipeline.auditing import audit
from tumorlens.report.difference import chance

FOLD = "2"
# What is changed against `guided`.
VARIANTS: dict[str, dict[str, Any]] = {
    "compact": {"model": {"name": "compact"}},
    "guided": {},
    "artefacts": {"augment": {"artefacts": 0.3}},
    "twins": {"augment": {"twins": 0.2}},
    "transplants": {"augment": {"transplants": 0.3}},
    "both": {"augment": {"twins": 0.2, "transplants": 0.3}},
    "shipped": {"augment": {"artefacts": 0.3, "twins": 0.1, "transplants": 0.15}, "epochs": 60},
}
# What each is compared with: one method more, but for `shipped`.
AGAINST = {
    "guided": ("compact",),
    "artefacts": ("guided",),
    "twins": ("guided",),
    "transplants": ("guided",),
    "both": ("guided", "twins", "transplants"),
    "shipped": ("guided", "both"),
}
# Which answers, and the tables of each, one for each seed.
ON = ("left out", "figshare")
Pair = tuple[list[PredictionTable], list[PredictionTable]]


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


def cleaned(data: Path, join: bool) -> Manifest:
    """One of each picture, grouped."""
    return fixed(audit(sources(data), settings={"data": {"join_patient_variants": join}}).found)


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
    parser.add_argument("--join", action=argparse.BooleanOptionalAction, default=True, help="variants of patient ids")
    options = parser.parse_args()
    manifest = None
    for source in options.sources:
        print(f"left out: {source}")
        print(
            "variant      seed  on           n  accuracy %  balanced %  (95 % interval)  erased->none %  of tumours %  "
            "control kept %"
        )
        done: dict[str, Pair] = {}
        for variant in options.variants:
            tables: Pair = ([], [])
            for seed in range(options.seeds):
                folder = options.runs / f"{source}-{variant}-s{seed}"
                if not (folder / "bundle" / "bundle.json").is_file():
                    manifest = manifest or cleaned(options.data, options.join)
                    settings = settings_of(variant, seed, options)
                    tumorlens.train(divided(manifest, options.data, source), settings=settings, out=folder)
                for name, found, table in zip(ON, tables, tested(folder, source), strict=True):
                    print(f"{variant:12} {seed:4}  {name:8} {line(folder, table)}", flush=True)
                    found.append(table)
            done[variant] = tables
            for other in AGAINST.get(variant, ()):
                for name, earlier, now in zip(ON, done.get(other, ()), tables, strict=False):
                    print(f"{variant} against {other}, {name}: {difference(earlier, now)}", flush=True)


def settings_of(variant: str, seed: int, options: argparse.Namespace) -> Settings:
    """Complete settings: whatever they left open, the plan would fill in, twins and transplants too."""
    return config.from_dict(
        {
            "seed": seed,
            "data": {"test_fold": "held", "audit": "copies", "join_patient_variants": options.join},
            "preprocess": {"size": options.size},
            "train": {
                "start": "phantom",
                "epochs": VARIANTS[variant].get("epochs", options.epochs),
                "precision": "bfloat16",
            },
            "evaluate": {"report": False},
            "model": VARIANTS[variant].get("model", {"name": "guided", "peak": True}),
            "augment": {"elastic": 0.015, **VARIANTS[variant].get("augment", {})},
        }
    )


def tested(folder: Path, source: str) -> tuple[PredictionTable, PredictionTable]:
    """The answers of a run for the source that was left out, and for figshare, without what leaked."""
    leaked = json.loads((folder / "metrics.json").read_text())["leaked"] or {"pairs": []}
    seen = {name for name, _ in leaked["pairs"]}
    table = PredictionTable.read_csv(folder / "predictions.csv").where("test")
    table = table.where([name not in seen for name in table.ids])
    left, own = (table.where([(name == source) == wanted for name in table.sources]) for wanted in (True, False))
    return left, own


def line(folder: Path, table: PredictionTable) -> str:
    """Some answers of a run in a line."""
    found = evaluate_table(table)
    looks = [look for look in read_looks(folder / "edits.csv") if look.id in set(table.ids)]
    gap = clever_hans(looks, table, bootstrap=2000, seed=0) if looks else {}
    low, high = found["balanced_accuracy_ci95"] or (float("nan"),) * 2
    return (
        f"{found['n']:4}  {100 * found['accuracy']:10.1f}  {100 * found['balanced_accuracy']:10.1f}  "
        f"({100 * low:.1f} to {100 * high:.1f})  {rate(gap.get('removed')):>15}  "
        f"{rate(gap.get('turned')):>13}  {rate(gap.get('control')):>14}"
    )


def rate(found: dict[str, Any] | None) -> str:
    """A share of the slices with a mask, and how many there are."""
    return f"{100 * found['rate']:.1f} ({found['n']})" if found else "-"


def difference(before: Sequence[PredictionTable], now: Sequence[PredictionTable]) -> str:
    """What one variant has gained over another."""
    found = compare_tables(before, now)
    parts = []
    for name in ("accuracy", "balanced_accuracy"):
        low, high = found[name]["ci95"] or (float("nan"),) * 2
        points = f"{100 * found[name]['difference']:+.1f} ({100 * low:+.1f} to {100 * high:+.1f})"
        parts.append(f"{name.replace('_', ' ')} {points}")
    return f"{', '.join(parts)}; p of the accuracy {chance(found['accuracy']['p'])}"


if __name__ == "__main__":
    main()
