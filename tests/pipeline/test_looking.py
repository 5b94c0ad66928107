"""Every run with masks among its test slices says whether its answers hang on the tumour."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from tumorlens import config
from tumorlens.evaluation import PredictionTable
from tumorlens.evaluation.looking import clever_hans, read_looks
from tumorlens.pipeline.dataset import read
from tumorlens.pipeline.evaluating import evaluate


def test_a_run_says_so_everywhere(finished_run: Path) -> None:
    metrics = json.loads((finished_run / "metrics.json").read_text())
    found = metrics["clever_hans"]
    assert found["removed"]["n"] == found["n"] > 10
    assert "Is it looking at the tumour?" in (finished_run / "report.html").read_text()
    assert "Is it looking at the tumour?" in (finished_run / "bundle" / "MODEL_CARD.md").read_text()
    assert (finished_run / "figures" / "edits.png").is_file()


def test_the_numbers_follow_from_the_files(finished_run: Path) -> None:
    metrics = json.loads((finished_run / "metrics.json").read_text())
    settings = config.load(finished_run / "config.toml", ())
    table = PredictionTable.read_csv(finished_run / "predictions.csv")
    looks = read_looks(finished_run / "edits.csv")
    again = clever_hans(looks, table, bootstrap=settings.evaluate.bootstrap, seed=settings.seed)
    assert again == metrics["clever_hans"]
    tested = {name for name, split in zip(table.ids, table.splits, strict=True) if split == "test"}
    assert {look.id for look in looks} <= tested


def test_evaluating_asks_the_same(finished_run: Path, phantom_folder: Path, tmp_path: Path) -> None:
    manifest = read(phantom_folder / "manifest.csv")
    tested = {look.id for look in read_looks(finished_run / "edits.csv")}
    chosen = manifest.with_rows(replace(row, split="test") for row in manifest if row.id in tested)
    document = evaluate(finished_run, chosen, out=tmp_path, settings={"evaluate": {"bootstrap": 200}})
    assert read_looks(tmp_path / "edits.csv") == read_looks(finished_run / "edits.csv")
    assert document["clever_hans"]["n"] == len(tested)


def test_without_masks_nothing_is_asked(finished_run: Path, phantom_folder: Path) -> None:
    manifest = read(phantom_folder / "manifest.csv")
    tested = {look.id for look in read_looks(finished_run / "edits.csv")}
    chosen = manifest.with_rows(replace(row, split="test", mask="") for row in manifest if row.id in tested)
    assert evaluate(finished_run, chosen, settings={"evaluate": {"bootstrap": 200}})["clever_hans"] is None
