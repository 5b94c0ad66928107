"""Intervals: as wide as the groups demand, never narrower than honesty allows, and fast."""

import time

import numpy as np
import pytest

from tumorlens.evaluation import PredictionTable, evaluate_table
from tumorlens.evaluation.bootstrap import interval, mean_interval, resample_sums
from tumorlens.evaluation.calibration_error import calibration_interval, expected_calibration_error
from tumorlens.evaluation.grouping import independent_units


def coin_table(n: int, per_patient: int, seed: int = 0, share: float = 0.8, alike: bool = True) -> PredictionTable:
    """Slices of patients that are right or wrong together (``alike``) or one by one."""
    rng = np.random.default_rng(seed)
    patient = np.arange(n) // per_patient
    right = (rng.random(patient.max() + 1) < share)[patient] if alike else rng.random(n) < share
    p = np.where(right[:, None], [0.9, 0.1], [0.1, 0.9])
    return PredictionTable.build(
        ("x", "y"), [f"i{i}" for i in range(n)], ["x"] * n, p, patients=[f"p{i}" for i in patient]
    )


def width(document) -> float:
    low, high = document["accuracy_ci95"]
    return high - low


def test_slices_of_one_patient_do_not_count_as_independent() -> None:
    clustered = coin_table(800, 20)
    alone = PredictionTable.build(clustered.names, clustered.ids, clustered.labels, clustered.probabilities)
    ratio = width(evaluate_table(clustered)) / width(evaluate_table(alone))
    assert 3.5 < ratio < 5.5  # sqrt(20) = 4.5


def test_independent_slices_match_the_binomial_width() -> None:
    got = evaluate_table(coin_table(1000, 1, alike=False))
    expected = 2 * 1.96 * np.sqrt(got["accuracy"] * (1 - got["accuracy"]) / 1000)
    assert width(got) == pytest.approx(expected, rel=0.1)


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    hits = 0
    for seed in range(150):
        low, high = evaluate_table(coin_table(300, 5, seed=seed), bootstrap=400, seed=seed)["accuracy_ci95"]
        hits += low <= 0.8 <= high
    assert hits / 150 > 0.88


def test_resamples_equal_drawing_groups_one_by_one() -> None:
    statistics = np.array([[3, 1], [3, 1], [5, 5], [1, 0]])
    fast = resample_sums(statistics, 20_000, seed=1)
    rng = np.random.default_rng(2)
    slow = statistics[rng.integers(0, 4, (20_000, 4))].sum(axis=1)
    assert fast.mean(axis=0) == pytest.approx(slow.mean(axis=0), rel=0.01)
    assert np.cov(fast.T) == pytest.approx(np.cov(slow.T), rel=0.05)


def test_resamples_do_not_depend_on_how_many_are_drawn_at_once(monkeypatch) -> None:
    statistics = np.random.default_rng(0).integers(0, 9, (50, 3))
    whole = resample_sums(statistics, 100, seed=0)
    monkeypatch.setattr("tumorlens.evaluation.bootstrap._DRAWS_AT_ONCE", 170)
    assert np.array_equal(resample_sums(statistics, 100, seed=0), whole)


def test_no_error_in_few_groups_is_no_proof_of_perfection() -> None:
    assert interval(1.0, np.ones(100), 20) == [pytest.approx(0.8316, abs=1e-4), 1.0]
    assert interval(0.0, np.zeros(100), 20) == [0.0, pytest.approx(0.1684, abs=1e-4)]
    assert interval(0.5, np.full(100, 0.5), 1) is None
    assert interval(None, np.full(100, np.nan), 0) is None


def test_a_mean_has_the_bounds_of_what_it_is_a_mean_of() -> None:
    blind = 0.025 ** (1 / 20)
    assert mean_interval(4.0, np.full(100, 4.0), 20, 4) == [pytest.approx(4 * blind), 4.0]
    # Every set names one class: others may name none, or all four.
    assert mean_interval(1.0, np.ones(100), 20, 4) == [pytest.approx(blind), pytest.approx(blind + 4 * (1 - blind))]
    low, high = mean_interval(1.5, np.linspace(1.3, 1.7, 1000), 20, 4) or [0, 0]
    assert (low, high) == (pytest.approx(1.31), pytest.approx(1.69))
    assert mean_interval(None, np.ones(3), 20, 4) is mean_interval(1.0, np.ones(3), 1, 4) is None


@pytest.mark.parametrize("sharpness", [1.0, 1.6])
def test_the_interval_of_the_calibration_error_is_about_as_many_slices(sharpness: float) -> None:
    """Of a network that is calibrated, and of one that is too sure; patients of five slices that are alike."""
    rng = np.random.default_rng(1)
    units, points, found = np.repeat(np.arange(120), 5), [], []
    for seed in range(200):
        honest = rng.uniform(0, 2.5, 120)
        right = rng.random(120) < 1 / (1 + np.exp(-honest))
        confidence = np.repeat(1 / (1 + np.exp(-honest * sharpness)), 5)
        correct = np.repeat(right, 5)
        points.append(expected_calibration_error(confidence, correct))
        found.append(calibration_interval(confidence, correct, units, 300, seed))
    mean = np.mean(points)
    inside = np.mean([low <= mean <= high for low, high in found])
    assert 0.88 < inside <= 1, inside
    alone = calibration_interval(confidence, correct, np.arange(600), 300, 0)
    assert alone is not None
    assert found[-1][1] - found[-1][0] > 1.5 * (alone[1] - alone[0]), "slices of a patient are not independent"


def test_two_thousand_resamples_of_three_thousand_slices_are_quick() -> None:
    table = coin_table(3000, 3)
    seconds = []
    for _ in range(3):  # other work on the machine must not fail the test
        start = time.perf_counter()
        evaluate_table(table, bootstrap=2000)
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 0.5


def units_of(**columns):
    n = len(next(iter(columns.values())))
    table = PredictionTable.build(("x", "y"), [f"i{i}" for i in range(n)], ["x"] * n, np.full((n, 2), 0.5), **columns)
    units, name = independent_units(table)
    return units.tolist(), name


def test_the_unit_is_named_and_never_splits_a_patient() -> None:
    assert units_of(patients=["a", "a", "b"]) == ([0, 0, 1], "patient")
    assert units_of(patients=["a", "a"], sources=["s", "t"]) == ([0, 1], "patient")
    assert units_of(groups=["g", "h", "g"]) == ([0, 1, 0], "duplicate cluster")
    assert units_of(groups=["g", "h", ""]) == ([0, 1, 2], "slice")
    # a near-duplicate shared by two patients joins them; a patient in two groups joins those
    assert units_of(patients=["a", "a", "b", "b"], groups=["1", "2", "2", "3"]) == ([0, 0, 0, 0], "group")
    assert units_of(patients=["a", "", "a"], groups=["1", "2", "3"]) == ([0, 1, 0], "duplicate cluster")


def test_the_caller_can_name_the_unit() -> None:
    assert evaluate_table(coin_table(10, 2), bootstrap=100, unit="slice")["unit"] == "slice"
