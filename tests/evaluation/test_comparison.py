"""A difference is claimed only where the patients speak for it."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tumorlens.errors import DataError
from tumorlens.evaluation import PredictionTable
from tumorlens.evaluation.comparison import compare_tables


def table_of(right: np.ndarray, per_patient: int = 4, *, labels: list[str] | None = None) -> PredictionTable:
    """Slices of patients, answered rightly where ``right`` says so."""
    count = len(right)
    labels = labels or ["xyz"[i // per_patient % 3] for i in range(count)]
    probabilities = np.full((count, 3), 0.1)
    for i, (label, good) in enumerate(zip(labels, right, strict=True)):
        probabilities[i, ("xyz".index(label) + (not good)) % 3] = 0.8
    patients = [f"p{i // per_patient}" for i in range(count)]
    return PredictionTable.build(
        ("x", "y", "z"), [f"s{i}" for i in range(count)], labels, probabilities, patients=patients
    )


def test_the_same_answers_do_not_differ() -> None:
    table = table_of(np.random.default_rng(0).random(120) < 0.8)
    document = compare_tables([table], [table])
    assert document["accuracy"]["difference"] == 0
    assert document["accuracy"]["ci95"] == [0, 0]
    assert document["accuracy"]["p"] == document["patient_accuracy"]["p"] == document["mcnemar"]["p"] == 1
    assert document["better"] is None


def test_a_clear_difference_is_told_and_turns_round_with_the_sides() -> None:
    rng = np.random.default_rng(1)
    worse, better = table_of(rng.random(600) < 0.7), table_of(rng.random(600) < 0.9)
    there, back = compare_tables([worse], [better]), compare_tables([better], [worse])
    assert (there["better"], back["better"]) == ("b", "a")
    low, high = there["accuracy"]["ci95"]
    assert 0 < low < there["accuracy"]["difference"] < high
    assert there["accuracy"]["difference"] == -back["accuracy"]["difference"]
    assert there["accuracy"]["p"] == back["accuracy"]["p"] < 0.001
    assert (there["groups"], there["unit"]) == (150, "patient")


def test_a_class_of_one_patient_has_no_interval() -> None:
    labels = ["x", "y"] * 20 + ["z"]
    rights = [np.arange(41) != wrong for wrong in (40, 0)]
    a, b = (table_of(right, per_patient=1, labels=labels) for right in rights)
    found = compare_tables([a], [b])
    assert found["per_class"]["z"]["difference"] == 1
    assert found["per_class"]["z"]["ci95"] is found["balanced_accuracy"]["ci95"] is None
    assert found["per_class"]["x"]["ci95"] is not None
    assert found["accuracy"]["ci95"] is not None


def test_many_slices_of_few_patients_prove_nothing() -> None:
    right = np.ones(400, bool)
    wrong = right.copy()
    wrong[:120] = False  # three of ten patients
    document = compare_tables([table_of(right, 40)], [table_of(wrong, 40)])
    assert document["mcnemar"] == {"only_a": 120, "only_b": 0, "p": pytest.approx(2 * 0.5**120)}
    assert document["accuracy"]["p"] == 0.25
    assert document["better"] is None


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=8))
def test_p_is_the_share_of_all_swaps_that_go_as_far(patients: list[tuple[int, int]]) -> None:
    a = np.concatenate([np.arange(3) < right for right, _ in patients])
    b = np.concatenate([np.arange(3) < right for _, right in patients])
    document = compare_tables([table_of(a, 3)], [table_of(b, 3)], bootstrap=100)
    swing = np.array([there - here for here, there in patients])
    sums = [abs(int(swing @ np.array(signs))) for signs in itertools.product((-1, 1), repeat=len(swing))]
    assert document["accuracy"]["p"] == pytest.approx(np.mean(np.array(sums) >= abs(swing.sum())))
    assert document["accuracy"]["difference"] == pytest.approx(b.mean() - a.mean())


def test_chance_alone_is_seldom_called_a_difference() -> None:
    rng = np.random.default_rng(2)
    claimed, by_slice = 0, 0
    for _ in range(200):
        # Whole patients are right or wrong, independently for A and B, which are equally good.
        a, b = (np.repeat(rng.random(40) < 0.8, 10) for _ in range(2))
        document = compare_tables([table_of(a, 10)], [table_of(b, 10)], bootstrap=200)
        claimed += document["better"] is not None
        by_slice += document["mcnemar"]["p"] < 0.05
    assert claimed <= 0.08 * 200
    assert by_slice >= 0.3 * 200  # what is claimed where slices count as independent


def test_only_shared_slices_count_in_any_order() -> None:
    rng = np.random.default_rng(3)
    a, b = table_of(rng.random(90) < 0.7), table_of(rng.random(90) < 0.8)
    some = rng.permutation(90)[:60].tolist()
    document = compare_tables([a], [b.take(some)])
    assert document == {
        **compare_tables([a.take(sorted(some))], [b.take(sorted(some))]),
        "left_out": {"a": 30, "b": 0},
    }


def test_several_runs_are_averaged() -> None:
    rng = np.random.default_rng(4)
    rights = [rng.random(90) < 0.8 for _ in range(5)]
    tables = [table_of(right) for right in rights]
    document = compare_tables(tables[:3], tables[3:])
    assert document["runs"] == {"a": 3, "b": 2}
    assert document["accuracy"]["a"] == pytest.approx(np.mean(rights[:3]))
    assert document["accuracy"]["b"] == pytest.approx(np.mean(rights[3:]))
    assert document["mcnemar"] is None
    parts = document["per_class"].values()
    assert document["balanced_accuracy"]["difference"] == pytest.approx(np.mean([part["difference"] for part in parts]))


def test_a_class_that_one_network_does_not_know_is_wrong_there() -> None:
    a = table_of(np.ones(24, bool))
    b = PredictionTable.build(("x", "y"), a.ids, a.labels, np.tile([0.9, 0.1], (24, 1)), patients=a.patients)
    document = compare_tables([a], [b])
    assert document["per_class"]["z"]["b"] == 0
    assert document["patient_accuracy"]["b"] == pytest.approx(np.mean([label == "x" for label in a.labels]))


def test_tables_that_cannot_be_compared_are_refused() -> None:
    a = table_of(np.ones(12, bool))
    others = PredictionTable.build(a.names, [f"o{i}" for i in range(12)], a.labels, a.probabilities)
    with pytest.raises(DataError, match="no slice"):
        compare_tables([a], [others])
    with pytest.raises(DataError, match="disagree about the label of 's0'"):
        compare_tables([a], [table_of(np.ones(12, bool), labels=["z", *a.labels[1:]])])
    with pytest.raises(DataError, match="'s0' is predicted more than once"):
        compare_tables([a], [a.take([0, 0, 1])])
