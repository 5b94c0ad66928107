"""A run with everything that trust knows: a gate, calibration, answers for series. What it claims must follow."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

from tumorlens import bundle
from tumorlens.bundle.info import GATE
from tumorlens.evaluation import PredictionTable
from tumorlens.pipeline import robustness
from tumorlens.pipeline.crossscoring import _of_one_mind
from tumorlens.pipeline.evaluating import evaluate
from tumorlens.pipeline.verifying import verify
from tumorlens.preprocess.corrupting import SEVERITIES, STRENGTHS
from tumorlens.report.card import model_card
from tumorlens.report.trust import view


@pytest.fixture
def run(gated_run: Path) -> Path:
    return gated_run


def test_the_bundle_carries_the_gate_and_what_series_need(run: Path) -> None:
    info = bundle.load(run).info
    assert GATE in info.files
    assert info.rejection is not None
    assert info.calibration is not None
    assert info.series is not None
    metrics = json.loads((run / "metrics.json").read_text())
    assert 0 <= metrics["test"]["refused"] < 0.1
    assert set(metrics["series"]["rules"]) == {"mean", "half", "quarter", "max"}
    assert metrics["patients"]["n"] > 0
    card = bundle.load(run).read("MODEL_CARD.md").decode()
    assert "Slices refused as no brain MRI" in card
    assert "All slices of a patient together" in card
    table = PredictionTable.read_csv(run / "predictions.csv")
    assert None not in table.refused
    assert all(table.sides)
    assert any(table.tumours)


def test_every_claim_follows_from_the_answers(run: Path) -> None:
    for model in (run, run / "bundle"):
        assert [check for check in verify(model) if check.ok is False] == []


def test_another_gate_does_not_pass(run: Path, tmp_path: Path) -> None:
    """Its SHA-256 is right, its verdicts are not those of the table."""
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    loaded = bundle.load(run)
    strict = msgspec.structs.replace(loaded.info, rejection={"threshold": -100.0, "note": ""})
    bundle.write_bundle(copy / "bundle", strict, {name: loaded.read(name) for name in loaded.info.files})
    wrong = [check.name for check in verify(copy, slices=20) if check.ok is False]
    assert wrong == ["answers again"]


def test_answers_on_worse_pictures(
    run: Path, phantom_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(robustness, "MOST", 12)
    alone = tmp_path / "bundle"  # a bundle does not tell what it has learned from, so nothing is left out
    shutil.copytree(run / "bundle", alone)
    whole = evaluate(alone, phantom_folder / "manifest.csv", corruptions=True, out=tmp_path / "out")
    found = whole["robustness"]
    assert set(found["corruptions"]) == set(STRENGTHS)
    assert all(len(entries) == len(SEVERITIES) for entries in found["corruptions"].values())
    assert len(found["accuracy_kept"]) == len(SEVERITIES)
    assert (tmp_path / "out" / "robustness.png").stat().st_size > 10_000
    assert json.loads((tmp_path / "out" / "metrics.json").read_text())["robustness"]["n"] == found["n"]


def test_a_model_that_is_not_calibrated_says_so_although_it_has_a_gate(run: Path) -> None:
    metrics = json.loads((run / "metrics.json").read_text())
    bare = {**metrics, "calibration": None, "conformal": None, "selective": None}
    assert "not calibrated" in view(bare)["source"]
    assert "not calibrated" in model_card(bare, "")
    assert "not calibrated" not in view(metrics)["source"]


def test_folds_that_disagree_about_the_gate_claim_nothing() -> None:
    table = PredictionTable.build(
        ("a", "b"), ["1", "2"], ["a", "b"], np.array([[0.6, 0.4], [0.3, 0.7]]), refused=(True, None)
    )
    assert _of_one_mind(table).refused == (None, None)
    same = replace(table, refused=(True, False))
    assert _of_one_mind(same).refused == (True, False)
