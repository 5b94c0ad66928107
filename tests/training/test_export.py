"""What the recorded parity says."""

from __future__ import annotations

import numpy as np
import pytest

from tumorlens.training.export import compare, worst_of


def test_differences_are_called_what_they_are() -> None:
    expected = {"logits": np.array([[1.0, 2.0]], np.float32), "cam": np.array([[500.0]], np.float32)}
    found = {"logits": np.array([[1.0, 2.1]], np.float32), "cam": np.array([[500.5]], np.float32)}
    parity = compare(expected, found)
    assert parity["max_abs_difference"] == pytest.approx(0.5)
    assert parity["max_relative_difference"] == pytest.approx(0.05)
    change = 1 / (1 + np.exp(-1.1)) - 1 / (1 + np.exp(-1))
    assert parity["max_probability_difference"] == pytest.approx(change, rel=1e-4)


def test_probabilities_may_not_differ_however_large_the_logits() -> None:
    expected = {"logits": np.array([[10000.0, 10000.5]], np.float32)}
    parity = compare(expected, {"logits": expected["logits"] + np.array([0.5, 0], np.float32)})
    assert parity["max_relative_difference"] < 1e-4 < parity["max_probability_difference"]


@pytest.mark.parametrize("broken", ["cam", "embedding", "logits"])
def test_what_is_no_number_is_no_small_difference(broken: str) -> None:
    expected = {name: np.ones((2, 3), np.float32) for name in ("cam", "embedding", "logits")}
    found = {name: value.copy() for name, value in expected.items()}
    found[broken][1, 1] = np.nan
    parity = compare(expected, found)
    assert np.isnan(parity["max_abs_difference"])
    assert not worst_of(parity) <= 1e9
