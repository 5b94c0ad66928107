"""Curves: the same as scikit-learn's, and no different for having fewer points."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sk

from tumorlens.evaluation.auroc import auroc
from tumorlens.evaluation.calibration_error import reliability
from tumorlens.evaluation.curves import average_precision, pr_points, roc_points, thin


def scores(n: int, seed: int = 0, decimals: int = 9):
    rng = np.random.default_rng(seed)
    positive = rng.random(n) < 0.3
    return positive, np.round(rng.normal(positive * 1.0, 1.0), decimals)


@pytest.mark.parametrize("decimals", [0, 1, 9])
def test_roc_matches_scikit_learn(decimals: int) -> None:
    positive, score = scores(150, decimals=decimals)
    x, y = roc_points(positive, score)
    fpr, tpr, _ = sk.roc_curve(positive, score)
    # between vertical steps the curve is a function; compare the areas and the heights at every threshold kept
    assert np.trapezoid(y, x) == pytest.approx(sk.auc(fpr, tpr)) == pytest.approx(auroc(positive, score))
    assert {(a, b) for a, b in zip(x, y, strict=True)} <= {
        (a, b) for a, b in zip(*sk.roc_curve(positive, score, drop_intermediate=False)[:2], strict=True)
    }


@pytest.mark.parametrize("decimals", [0, 1, 9])
def test_average_precision_matches_scikit_learn(decimals: int) -> None:
    positive, score = scores(150, decimals=decimals)
    assert average_precision(positive, score) == pytest.approx(sk.average_precision_score(positive, score))


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 20)), min_size=1, max_size=30))
def test_average_precision_of_few_slices_is_that_of_all_steps(pairs: list[tuple[bool, int]]) -> None:
    positive, score = np.array([p for p, _ in pairs]), np.array([s / 20 for _, s in pairs])
    if positive.any():
        whole = average_precision(positive, score)
        assert whole == pytest.approx(sk.average_precision_score(positive, score))
        recall, precision = pr_points(positive, score)  # what is drawn has the area that is told
        assert (np.diff(recall) * precision[1:]).sum() == pytest.approx(whole)


def test_thinning_keeps_the_shape() -> None:
    positive, score = scores(20_000)
    x, y = roc_points(positive, score)
    whole = roc_points(positive, score, limit=10**6)
    assert len(x) <= 200 < len(whole[0])
    assert np.trapezoid(y, x) == pytest.approx(auroc(positive, score), abs=1e-3)
    assert np.abs(np.interp(whole[0], x, y) - whole[1]).max() < 0.02
    recall, precision = pr_points(positive, score)
    assert len(recall) <= 200
    assert (np.diff(recall) * precision[1:]).sum() == pytest.approx(average_precision(positive, score))
    assert (recall[0], recall[-1]) == (0.0, 1.0)
    assert (np.diff(recall) >= 0).all()
    assert ((precision > 0) & (precision <= 1)).all()


def test_a_straight_line_needs_its_ends_only() -> None:
    x = np.linspace(0, 1, 500)
    assert [len(part) for part in thin(x, 2 * x)] == [2, 2]


def test_undefined_curves_are_none() -> None:
    ones, zeros, score = np.ones(3, bool), np.zeros(3, bool), np.arange(3.0)
    assert roc_points(ones, score) is None
    assert roc_points(zeros, score) is None
    assert pr_points(zeros, score) is None
    assert average_precision(zeros, score) is None
    assert roc_points(np.zeros(0, bool), np.zeros(0)) is None


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 9)), min_size=2, max_size=60))
def test_curves_stay_in_the_unit_square_and_end_at_the_corner(pairs) -> None:
    positive, score = np.array([p for p, _ in pairs]), np.array([s / 9 for _, s in pairs])
    curve = roc_points(positive, score)
    if curve is not None:
        x, y = curve
        assert (x[0], y[0], x[-1], y[-1]) == (0, 0, 1, 1)
        assert (np.diff(x) >= 0).all()
        assert (np.diff(y) >= 0).all()


def test_reliability_bins_hold_equal_shares_unless_tied() -> None:
    rng = np.random.default_rng(0)
    confidence = rng.random(150)
    parts = reliability(confidence, rng.random(150) < confidence)
    assert [part.n for part in parts] == [10] * 15
    assert [part.n for part in reliability(np.full(30, 0.7), np.ones(30, bool))] == [30]
    assert reliability(np.zeros(0), np.zeros(0, bool)) == []
