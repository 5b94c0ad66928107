"""Corruptions of a slice: what they are for the eye, and laws that hold for any picture."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tumorlens.data.phantom import make_slices
from tumorlens.preprocess.corrupting import LARGEST, SEVERITIES, STRENGTHS, corrupt, unit_picture

KINDS = sorted(STRENGTHS)


@pytest.fixture(scope="module")
def head() -> np.ndarray:
    return unit_picture(next(iter(make_slices(1, seed=3))).image.astype(np.float32))


def changed(head: np.ndarray, kind: str, severity: int) -> float:
    """Mean absolute difference, averaged over a few draws."""
    draws = [corrupt(head, kind, severity, np.random.default_rng(seed)) for seed in range(6)]
    return float(np.mean([np.abs(one - head).mean() for one in draws]))


@pytest.mark.parametrize("kind", KINDS)
def test_every_severity_changes_more_than_the_one_before(head: np.ndarray, kind: str) -> None:
    found = [changed(head, kind, severity) for severity in SEVERITIES]
    assert found[0] > 0
    assert found == sorted(found)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_chance_gives_the_same_picture(head: np.ndarray, kind: str) -> None:
    one, other = (corrupt(head, kind, 3, np.random.default_rng(4)) for _ in range(2))
    np.testing.assert_array_equal(one, other)


@given(
    st.tuples(st.integers(2, 90), st.integers(2, 90)),
    st.sampled_from(KINDS),
    st.sampled_from(SEVERITIES),
    st.integers(0, 2**32 - 1),
)
@settings(max_examples=150, deadline=None)
def test_any_picture_stays_a_picture(shape: tuple[int, int], kind: str, severity: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    made = corrupt(rng.random(shape, np.float32), kind, severity, rng)
    assert made.shape == shape
    assert made.dtype == np.float32
    assert np.isfinite(made).all()
    assert made.min() >= 0


def test_the_strengths_are_those_that_were_published() -> None:
    """Of Boone et al. 2023: equal steps from nothing to the most."""
    for kind, most in (("noise", 0.8), ("bias_field", 1.5), ("ghosting", 2.5), ("motion", 5.0), ("blur", 4.0)):
        assert STRENGTHS[kind] == pytest.approx(np.linspace(0, most, 6)[1:])
    for kind, most in (("gamma_low", 0.3), ("gamma_high", 3.0), ("downsampling", 10.0)):
        assert STRENGTHS[kind] == pytest.approx(np.linspace(1, most, 6)[1:])
    assert {len(strengths) for strengths in STRENGTHS.values()} == {5}


def test_noise_is_rician(head: np.ndarray) -> None:
    """In air the magnitude of complex noise has the mean of a Rayleigh distribution, σ·√(π/2)."""
    air = np.zeros((200, 200), np.float32)
    air[:100] = 1  # half air, half tissue: a standard deviation of one half
    noisy = corrupt(air, "noise", 1, np.random.default_rng(0))
    assert noisy[100:].mean() == pytest.approx(0.16 * 0.5 * np.sqrt(np.pi / 2), rel=0.02)


def test_pictures_of_any_range_and_size_become_units() -> None:
    pixels = np.full((600, 300), -1000.0, np.float32)
    pixels[100:500, 50:250] = 3000
    pixels[0, 0] = np.nan
    small = unit_picture(pixels)
    assert small.shape == (LARGEST, LARGEST // 2)
    assert small.min() == 0
    assert small.max() == 1
