"""Several runs of one recipe: the mean of their scores, how much they vary, and what the patients leave open."""

from __future__ import annotations

import numpy as np
import pytest

from tumorlens.evaluation import PredictionTable, evaluate_table
from tumorlens.evaluation.repeated import repeated_scores


def table_of(right: np.ndarray, per_patient: int = 5) -> PredictionTable:
    labels = ["xyz"[i // per_patient % 3] for i in range(len(right))]
    probabilities = np.full((len(right), 3), 0.1)
    for i, (label, good) in enumerate(zip(labels, right, strict=True)):
        probabilities[i, ("xyz".index(label) + (not good)) % 3] = 0.8
    patients = [f"p{i // per_patient}" for i in range(len(right))]
    ids = [f"s{i}" for i in range(len(right))]
    return PredictionTable.build(("x", "y", "z"), ids, labels, probabilities, patients=patients)


def test_one_run_scores_as_everywhere_else() -> None:
    table = table_of(np.random.default_rng(0).random(150) < 0.8)
    found, usual = repeated_scores([table], seed=3), evaluate_table(table, seed=3)
    for name in ("accuracy", "balanced_accuracy", "patient_accuracy"):
        assert found[name]["mean"] == pytest.approx(usual[name])
        assert found[name]["by_run"] == [found[name]["mean"]]
        assert found[name]["sd"] is None
        assert found[name]["ci95"] == pytest.approx(usual[f"{name}_ci95"], abs=0.02)
    for label, part in found["per_class"].items():
        assert part["n"] == usual["per_class"][label]["n"]
        assert part["sensitivity"]["mean"] == pytest.approx(usual["per_class"][label]["sensitivity"])
    assert [found[name] for name in ("n", "groups", "unit", "patients")] == [150, 30, "patient", 30]


def certain(labels: str, wrong: int = 0, patients: list[str] | None = None) -> PredictionTable:
    """A letter for each slice, one slice a patient; the first ones are named wrongly."""
    names = ("x", "y", "z")
    probabilities = np.full((len(labels), 3), 0.1)
    for i, label in enumerate(labels):
        probabilities[i, (names.index(label) + (i < wrong)) % 3] = 0.8
    people = patients or [f"p{i}" for i in range(len(labels))]
    return PredictionTable.build(
        names, [f"s{i}" for i in range(len(labels))], list(labels), probabilities, patients=people
    )


@pytest.mark.parametrize(
    "table",
    [
        certain("x" * 50 + "y" * 47 + "z" * 3),  # the mean over classes hangs on three patients
        certain("x" * 50 + "y" * 49 + "z", wrong=20),  # on one: nothing is known
        certain("x" * 99 + "y" * 1, patients=[""] * 97 + ["a", "b", "c"]),  # three patients are known
    ],
)
def test_an_interval_counts_the_patients_behind_it(table: PredictionTable) -> None:
    found, usual = repeated_scores([table], seed=3), evaluate_table(table, seed=3)
    for name in ("accuracy", "balanced_accuracy", "patient_accuracy"):
        expected = usual[f"{name}_ci95"]
        assert found[name]["ci95"] == (None if expected is None else pytest.approx(expected, abs=0.02)), name


def test_runs_are_averaged_and_their_spread_is_told() -> None:
    rng = np.random.default_rng(1)
    rights = [rng.random(300) < share for share in (0.7, 0.8, 0.9)]
    found = repeated_scores([table_of(right) for right in rights])
    each = [right.mean() for right in rights]
    assert found["accuracy"]["by_run"] == pytest.approx(each)
    assert found["accuracy"]["mean"] == pytest.approx(np.mean(each))
    assert found["accuracy"]["sd"] == pytest.approx(np.std(each, ddof=1))
    low, high = found["accuracy"]["ci95"]
    assert low < found["accuracy"]["mean"] < high


def test_more_runs_do_not_replace_more_patients() -> None:
    """The same errors again and again leave the interval as wide as one run does."""
    table = table_of(np.repeat(np.random.default_rng(2).random(40) < 0.7, 5))
    one, many = repeated_scores([table]), repeated_scores([table] * 8)
    assert many["accuracy"]["ci95"] == pytest.approx(one["accuracy"]["ci95"])
    assert many["accuracy"]["sd"] == 0
