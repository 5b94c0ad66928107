"""The answers on worse pictures: kept, and calibrated as the clean ones are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tumorlens.config import EvaluateSettings, Settings
from tumorlens.evaluation import PredictionTable
from tumorlens.inference.trust import softmax
from tumorlens.pipeline import trusting
from tumorlens.pipeline.robustness import Corrupted, _keys, scored

NAMES = ("glioma", "no_tumor", "pituitary")
SHARP = 3.0  # times too sure


def answers(seed: int, count: int = 400) -> PredictionTable:
    """Of two folds, from networks that are three times too sure; the true class is drawn as the honest odds have it."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1.5, (count, len(NAMES)))
    codes = [int(rng.choice(len(NAMES), p=row)) for row in softmax(logits)]
    return PredictionTable.build(
        NAMES,
        [f"s{i}" for i in range(count)],
        [NAMES[code] for code in codes],
        softmax(SHARP * logits),
        patients=[f"p{i // 2}" for i in range(count)],
        folds=[str(1 + i % 2) for i in range(count)],
        splits=["test"] * count,
        refused=[i % 50 == 0 for i in range(count)],
    )


@pytest.fixture(scope="module")
def corrupted() -> Corrupted:
    return Corrupted({key: answers(number) for number, key in enumerate(_keys())})


def test_they_come_back_from_a_file(corrupted: Corrupted, tmp_path: Path) -> None:
    corrupted.as_table().write_csv(tmp_path / "kept.csv")
    again = Corrupted.of_table(PredictionTable.read_csv(tmp_path / "kept.csv"))
    assert again.tables.keys() == corrupted.tables.keys()
    for key, table in corrupted.tables.items():
        assert again.tables[key].ids == table.ids
        assert again.tables[key].refused == table.refused
        np.testing.assert_array_equal(again.tables[key].probabilities, table.probabilities)


def test_the_folds_trust_makes_them_as_sure_as_they_are_right(corrupted: Corrupted) -> None:
    settings = Settings(evaluate=EvaluateSettings(bootstrap=100))
    trusts = trusting.fold_trusts(answers(99), settings.evaluate)
    assert {name: one.temperature and one.temperature.value for name, one in trusts.items()} == {
        "1": pytest.approx(SHARP, rel=0.25),
        "2": pytest.approx(SHARP, rel=0.25),
    }
    before, after = scored(corrupted, settings), scored(corrupted.judged(trusts), settings)
    assert after["clean"]["ece"] < 0.5 * before["clean"]["ece"]
    for kind, entries in after["corruptions"].items():
        for entry, uncalibrated in zip(entries, before["corruptions"][kind], strict=True):
            assert entry["accuracy"] == uncalibrated["accuracy"]
            low, high = entry["ece_ci95"]
            assert low <= entry["ece"] <= high < uncalibrated["ece"]
            assert entry["coverage"] is not None
            assert uncalibrated["coverage"] is None
