"""Calibration, conformal sets and the threshold for "uncertain", on made-up networks whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tumorlens.inference.trust import fit_conformal, fit_selective, fit_temperature, softmax
from tumorlens.inference.trust.selective import accuracy_by_threshold

NAMES = ("glioma", "meningioma", "no_tumor", "pituitary")


def answers(n: int, temperature: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Logits that are wrong by a known temperature, and classes drawn from what they should have said."""
    rng = np.random.default_rng(seed)
    honest = rng.normal(0, 2.0, (n, 4))
    odds = softmax(honest)
    codes = (odds.cumsum(axis=1) > rng.random((n, 1))).argmax(axis=1)
    return honest * temperature, codes


@pytest.mark.parametrize("temperature", [0.4, 1.0, 2.5, 6.0])
def test_the_temperature_is_recovered(temperature: float) -> None:
    logits, codes = answers(20_000, temperature, 1)
    found = fit_temperature(logits, codes, np.arange(len(codes)))
    assert found.value == pytest.approx(temperature, rel=0.05)
    assert found.nll_after <= found.nll_before
    assert found.n == found.groups == 20_000


@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(2, 5), st.floats(0.01, 50))
@settings(max_examples=100, deadline=None)
def test_calibration_never_does_harm_where_it_was_fitted(seed: int, n: int, k: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    logits, codes, groups = rng.normal(0, scale, (n, k)), rng.integers(0, k, n), rng.integers(0, 5, n)
    found = fit_temperature(logits, codes, groups)
    assert found.nll_after <= found.nll_before
    assert 0.04 < found.value < 21
    shifted = fit_temperature(logits + rng.normal(0, 3, (n, 1)), codes, groups)
    assert shifted.nll_after == pytest.approx(found.nll_after, abs=1e-8), "a constant per slice says nothing"


def test_conformal_sets_cover_each_class_at_the_stated_rate() -> None:
    """Over 500 draws of patients with several like slices each; a slice of a new patient is asked about."""
    rng = np.random.default_rng(3)
    alpha, patients, each = 0.1, 60, 8
    hits = np.zeros(2)
    asked = np.zeros(2)
    for _ in range(500):
        # A patient's slices share their difficulty, so slices taken one by one would promise too much.
        classes = np.arange(patients + 2) % 2
        difficulty = rng.normal(0, 1.5, patients + 2)
        logit = 1.5 + difficulty[:, np.newaxis] + rng.normal(0, 0.5, (patients + 2, each))
        own = 1 / (1 + np.exp(-logit))
        probabilities = np.where(
            classes[:, np.newaxis, np.newaxis] == 0, np.stack([own, 1 - own], 2), np.stack([1 - own, own], 2)
        )
        codes, groups = np.repeat(classes[:-2], each), np.repeat(np.arange(patients), each)
        fitted = fit_conformal(probabilities[:-2].reshape(-1, 2), codes, groups, ("a", "b"), alpha)
        for last in (-2, -1):
            one = fitted.sets(probabilities[last, :1], ("a", "b"))[0]
            hits[classes[last]] += one[classes[last]]
            asked[classes[last]] += 1
    rate, spread = hits / asked, np.sqrt(alpha * (1 - alpha) / asked)
    assert (np.abs(rate - (1 - alpha)) < 3 * spread + 1 / 31).all(), rate
    assert (rate > 1 - alpha - 3 * spread).all()


@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.floats(0.01, 0.5))
@settings(max_examples=100, deadline=None)
def test_where_they_were_fitted_sets_cover_at_least_the_stated_share_of_slices(seed: int, n: int, alpha: float) -> None:
    rng = np.random.default_rng(seed)
    probabilities = softmax(rng.normal(0, 2, (n, 4)))
    codes, groups = rng.integers(0, 4, n), rng.integers(0, 12, n)
    fitted = fit_conformal(probabilities, codes, groups, NAMES, alpha)
    sets = fitted.sets(probabilities, NAMES)
    for code, name in enumerate(NAMES):
        own = codes == code
        if own.any():
            assert sets[own, code].mean() >= 1 - alpha - 1e-6
        else:
            assert fitted.quantiles[name] == 1.0
            assert sets[:, code].all(), "what nobody has shown cannot be ruled out"


def test_a_smaller_error_makes_larger_sets() -> None:
    rng = np.random.default_rng(4)
    probabilities, codes = softmax(rng.normal(0, 2, (400, 4))), rng.integers(0, 4, 400)
    strict = fit_conformal(probabilities, codes, np.arange(400), NAMES, 0.02).sets(probabilities, NAMES)
    loose = fit_conformal(probabilities, codes, np.arange(400), NAMES, 0.2).sets(probabilities, NAMES)
    assert (strict | ~loose).all()
    assert strict.sum() > loose.sum()


def test_the_threshold_is_the_lowest_that_reaches_the_target() -> None:
    confidence = np.array([0.99, 0.95, 0.9, 0.8, 0.7, 0.6])
    correct = np.array([True, True, True, False, True, False])
    found = fit_selective(confidence, correct, 0.8)
    assert (found.threshold, found.accuracy, found.coverage, found.reached) == (0.7, 0.8, 5 / 6, True)
    perfect = fit_selective(confidence, correct, 1.0)
    assert (perfect.threshold, perfect.accuracy, perfect.reached) == (0.9, 1.0, True)
    hopeless = fit_selective(confidence, ~correct, 0.9)
    assert not hopeless.reached
    assert hopeless.accuracy == accuracy_by_threshold(confidence, ~correct)[2].max()


@given(st.integers(0, 2**32 - 1), st.integers(1, 50), st.floats(0, 1))
@settings(max_examples=100, deadline=None)
def test_the_threshold_does_what_it_says(seed: int, n: int, target: float) -> None:
    rng = np.random.default_rng(seed)
    confidence, correct = rng.random(n).round(1), rng.random(n) < 0.7
    found = fit_selective(confidence, correct, target)
    accepted = confidence >= found.threshold
    assert accepted.mean() == pytest.approx(found.coverage)
    assert correct[accepted].mean() == pytest.approx(found.accuracy)
    assert found.reached == (found.accuracy >= target - 1e-9)
