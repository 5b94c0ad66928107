"""A small finished run, made of random numbers."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tumorlens import config
from tumorlens.evaluation import PredictionTable, evaluate_table
from tumorlens.report.image_figures import augmentation_figure, grid_figure, mistakes_figure

NAMES = ("glioma", "meningioma", "no_tumor", "pituitary")


def make_table(n: int = 120, strength: float = 2.0, names=NAMES, seed: int = 0, split: str = "test") -> PredictionTable:
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, len(names), n)
    logits = rng.normal(size=(n, len(names)))
    logits[np.arange(n), codes] += strength
    p = np.exp(logits)
    return PredictionTable.build(
        names,
        [f"{split}/{i:03d}.png" for i in range(n)],
        [names[c] for c in codes],
        (p / p.sum(1, keepdims=True)).astype(np.float32),
        patients=[f"{split}{i % 17}" for i in range(n)],
        sources=["figshare"] * n,
        splits=[split] * n,
    )


def make_metrics(test: PredictionTable, validation: PredictionTable | None = None, **changes: Any) -> dict[str, Any]:
    metrics = {
        "schema": 1,
        "name": "trial",
        "created": "2026-11-23T11:40:02+00:00",
        "labels": list(test.names),
        "validation": None if validation is None else evaluate_table(validation, bootstrap=200),
        "test": evaluate_table(test, bootstrap=200),
        "as_shipped": None,
        "leaked": None,
        "training": {
            "model": "compact", "parameters": 1203844, "epochs": 3, "best_epoch": 2, "kept": "last", "seconds": 395.2,
            "images_per_second": 218.4, "device": "cpu", "precision": "float32", "seed": 0, "backend": "tensorflow",
            "size": 128,
        },
        "data": {
            "sources": ["figshare"],
            "counts": {split: dict.fromkeys(test.names, n) for split, n in (("train", 701), ("val", 93), ("test", 97))},
            "groups": {"train": 160, "val": 20, "test": 17},
            "skipped": [], "notes": ["notumor was renamed no_tumor"], "unit": "patient",
        },
        "parity": {"max_abs_difference": 3.1e-6, "n": 64},
        "model": {"name": "trial", "version": "0.1.0", "sha256": "ab" * 32},
    }  # fmt: skip
    return metrics | changes


# What tumorlens.audit.document writes of clean data, looked for copies only.
AUDIT = {
    "n": 240, "unreadable": [], "exact_duplicates": {"groups": 0, "redundant": 0},
    "near_duplicates": {"groups": 0, "redundant": 0, "mirrored": 0}, "clusters": [],
    "leaks": {
        "test_in_train_exact": 0, "test_in_train_near": 0, "test_n": 120, "slices_of_crossing_groups": 0,
        "val_in_train_exact": 0, "val_in_train_near": 0, "val_n": 0, "val_slices_of_crossing_groups": 0,
        "per_class": {}, "pairs": [],
    },
    "broken_groups": {}, "label_conflicts": [], "suspicious_labels": None, "foreign": None, "shortcuts": None,
    "groups": {}, "findings": [], "verdict": "ok",
}  # fmt: skip


def write_run(
    folder: Path,
    metrics: dict[str, Any],
    tables: list[PredictionTable],
    *,
    history: bool = True,
    audit: dict[str, Any] | None = None,
) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "metrics.json").write_text(json.dumps(metrics, allow_nan=False))
    (folder / "config.toml").write_text(config.to_toml(config.Settings()))
    (folder / "audit.json").write_text(json.dumps(audit or AUDIT))
    (folder / "bundle").mkdir()
    (folder / "bundle" / "bundle.json").write_text('{"schema": 1}\n')
    table = PredictionTable.build(
        tables[0].names,
        [x for t in tables for x in t.ids],
        [x for t in tables for x in t.labels],
        np.concatenate([t.probabilities for t in tables]),
        splits=[x for t in tables for x in t.splits],
    )
    table.write_csv(folder / "predictions.csv")
    if history:
        with (folder / "history.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(
                [
                    "epoch",
                    "seconds",
                    "images_per_second",
                    "learning_rate",
                    "loss",
                    "accuracy",
                    "val_loss",
                    "val_accuracy",
                ]
            )
            writer.writerows([e, 9.8, 218, 1e-3, 1 / e, 1 - 0.5 / e, 1.2 / e, 1 - 0.6 / e] for e in (1, 2, 3))
    return folder


def draw_images(folder: Path) -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (4, 16, 16), dtype=np.uint8)
    p = np.array([0.97, 0.6, 0.55, 0.999])
    true, answer = ["glioma"] * 4, ["glioma", "pituitary", "glioma", "glioma"]
    grid_figure(images, true, answer, p, folder / "figures" / "grid")
    mistakes_figure(
        images[:1], rng.random((1, 16, 16)), true[1:2], answer[1:2], p[1:2], folder / "figures" / "mistakes"
    )
    augmentation_figure(images[:2], images[None, :3].repeat(2, axis=0), folder / "figures" / "augmentation")


@pytest.fixture(scope="session")
def metrics() -> dict[str, Any]:
    return make_metrics(make_table(), make_table(seed=1, split="val"))


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory, metrics: dict[str, Any]) -> Path:
    folder = write_run(
        tmp_path_factory.mktemp("runs") / "1-trial", metrics, [make_table(), make_table(seed=1, split="val")]
    )
    draw_images(folder)
    return folder


@pytest.fixture(scope="session")
def builders() -> dict[str, Any]:
    """The functions above, for tests that need another run."""
    return {"table": make_table, "metrics": make_metrics, "write": write_run, "images": draw_images, "audit": AUDIT}
