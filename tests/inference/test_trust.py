"""Calibration, conformal sets and the threshold for "uncertain", on made-up networks whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from tumorlens.inference.trust import Conformal, Trust, fit_conformal, fit_selective, fit_temperature, softmax
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


DRAWS, ALPHA, PATIENTS = 500, 0.1, 30


def slices_of(
    sizes: np.ndarray, rng: np.random.Generator, spread: float, ease: np.ndarray | float = 0.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Probabilities (N, 2), classes and patients; half of the patients are of each class, by turns.

    A patient's slices share their difficulty, so slices taken one by one would promise too much; ``spread`` is how far
    they differ all the same, ``ease`` what is added for a patient.
    """
    who = np.repeat(np.arange(len(sizes)), sizes)
    logit = 1.5 + (rng.normal(0, 1.5, len(sizes)) + ease)[who] + rng.normal(0, 1, len(who)) * spread
    own, codes = 1 / (1 + np.exp(-logit)), who % 2
    return np.where(codes[:, np.newaxis] == [0, 1], own[:, np.newaxis], 1 - own[:, np.newaxis]), codes, who


def covered(fitted: Conformal, probabilities: np.ndarray, codes: np.ndarray) -> np.ndarray:
    return fitted.sets(probabilities, ("a", "b"))[np.arange(len(codes)), codes]


def hits_of_new_patients(each: int, spread: float, asked: int, seed: int) -> np.ndarray:
    """How many of ``asked`` new patients of each class have their first slice covered, int64 (DRAWS, 2)."""
    rng = np.random.default_rng(seed)
    found = np.zeros((DRAWS, 2), np.int64)
    for draw in range(DRAWS):
        sizes = np.full(2 * (PATIENTS + asked), each)
        probabilities, codes, who = slices_of(sizes, rng, spread)
        known = who < 2 * PATIENTS
        fitted = fit_conformal(probabilities[known], codes[known], who[known], ("a", "b"), ALPHA)
        first = np.flatnonzero(~known)[::each]
        found[draw] = np.bincount(codes[first][covered(fitted, probabilities[first], codes[first])], minlength=2)
    return found


def band(low: float, high: float) -> tuple[float, float]:
    """Between which shares of DRAWS independent events lie but for one case in 10,000."""
    return stats.binom.ppf(5e-5, DRAWS, low) / DRAWS, stats.binom.ppf(1 - 5e-5, DRAWS, high) / DRAWS


# The place of the quantile among as many patients as there are and one more: coverage is Beta(RANK, G + 1 - RANK).
RANK = int(np.ceil((1 - ALPHA) * (PATIENTS + 1) - 1e-9))


@pytest.mark.parametrize(("each", "spread"), [(1, 0.5), (8, 0.0)])
def test_conformal_sets_cover_each_class_at_exactly_the_rate_that_they_must(each: int, spread: float) -> None:
    """A slice per patient, or slices all alike: the finite-sample rate is RANK / (G + 1), no more and no less."""
    hits = hits_of_new_patients(each, spread, 1, 3).sum(axis=0) / DRAWS
    low, high = band(RANK / (PATIENTS + 1), RANK / (PATIENTS + 1))
    assert (low <= hits).all(), (hits, low)
    assert (hits <= high).all(), (hits, high)


def test_how_many_new_patients_one_fit_covers_is_beta_binomial() -> None:
    """Vovk 2013: given the fit, coverage is Beta(RANK, G + 1 - RANK), so counts of new patients are beta-binomial."""
    asked = 10
    counts = np.bincount(hits_of_new_patients(1, 0.5, asked, 4).ravel(), minlength=asked + 1)
    expected = 2 * DRAWS * stats.betabinom.pmf(np.arange(asked + 1), asked, RANK, PATIENTS + 1 - RANK)
    rare = int(np.searchsorted(np.cumsum(expected), 10)) + 1  # cells that hold ten or more by expectation
    joined = [np.r_[values[:rare].sum(), values[rare:]] for values in (counts, expected)]
    assert stats.chisquare(*joined).pvalue > 1e-4


def test_conformal_sets_cover_slices_that_are_partly_alike_within_exact_bounds() -> None:
    """With n slices each the rate lies from k / n(G + 1) to (k + n - 1) / n(G + 1), k the quantile's place among them.

    All patients are alike, so the rate is the share of all n(G + 1) slices that are covered when their patient is the
    new one. Each of the lowest k is: leaving a patient out makes no quantile lower. None but the lowest k + n - 1 are:
    below the quantile lie k - 1 slices of others and n of the patient's own at most.
    """
    each = 8
    place = int(np.ceil((1 - ALPHA) * each * (PATIENTS + 1) - 1e-9))
    whole = each * (PATIENTS + 1)
    hits = hits_of_new_patients(each, 0.5, 1, 3).sum(axis=0) / DRAWS
    low, high = band(place / whole, (place + each - 1) / whole)
    assert (low <= hits).all(), (hits, low)
    assert (hits <= high).all(), (hits, high)


def test_with_unequal_patients_the_rate_is_one_of_pooled_slices_and_not_of_patients() -> None:
    """Patients of one slice are harder than those of twenty. There is no exact band: within a point with 600 patients.

    The tolerance is for what remains of 1 / (G + 1) = 0.3 points in each class, and for chance.
    """
    rng = np.random.default_rng(5)
    pooled, averaged = [], []
    for _ in range(100):
        sizes = rng.choice([1, 20], 1200)
        probabilities, codes, who = slices_of(sizes, rng, 0.5, np.where(sizes == 1, -1.5, 0.5))
        known = who < 600
        fitted = fit_conformal(probabilities[known], codes[known], who[known], ("a", "b"), ALPHA)
        hit = covered(fitted, probabilities[~known], codes[~known])
        pooled.append([hit[codes[~known] == code].mean() for code in (0, 1)])
        shares = np.bincount(who[~known], hit)[600:] / sizes[600:]
        averaged.append(shares.mean())
    assert np.mean(pooled, axis=0) == pytest.approx([1 - ALPHA] * 2, abs=0.01)
    assert np.mean(averaged) < 1 - ALPHA - 0.1


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


def test_what_can_never_be_accepted_has_no_part_in_the_threshold() -> None:
    confidence = np.array([0.99, 0.95, 0.9, 0.8])
    correct = np.array([False, True, True, True])
    refused_first = np.array([False, True, True, True])
    found = fit_selective(confidence, correct, 1.0, refused_first)
    assert (found.threshold, found.accuracy, found.coverage, found.reached) == (0.8, 1.0, 0.75, True)
    assert not fit_selective(confidence, correct, 1.0).reached
    assert fit_selective(confidence, correct, 1.0, np.zeros(4, bool)) == fit_selective(confidence, correct, 1.0)


def test_stored_accuracy_and_coverage_are_those_of_the_verdicts() -> None:
    logits, codes = answers(600, 1.0, 2)
    refused = np.random.default_rng(0).random(600) < 0.1
    trust = Trust.fit(logits, codes, np.arange(600), NAMES, alpha=0.5, target=0.9, refused=refused)
    made = trust.judge(logits, NAMES)
    assert trust.selective is not None
    assert made.sets is not None
    assert made.accepted is not None
    assert (~made.sets.any(axis=1)).any(), "some sets must be empty for this to say anything"
    accepted = made.accepted & ~refused
    assert trust.selective.coverage == pytest.approx(accepted.mean())
    assert trust.selective.accuracy == pytest.approx((made.probabilities.argmax(axis=1) == codes)[accepted].mean())
    assert trust.selective.accuracy >= 0.9


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
