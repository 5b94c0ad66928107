"""Maps against outlines, by hand and against maps whose score is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tumorlens.errors import DataError
from tumorlens.evaluation.localisation import (
    THRESHOLDS,
    Place,
    baselines,
    localisation,
    place_of,
    read_places,
    write_places,
)
from tumorlens.evaluation.table import PredictionTable


def tumour_at(row: int, column: int, size: int = 32) -> np.ndarray:
    rows, columns = np.indices((size, size))
    return np.asarray((rows - row) ** 2 + (columns - column) ** 2 <= 16)


def table(count: int) -> PredictionTable:
    return PredictionTable.build(
        ("a", "b"),
        [f"s{i}" for i in range(count)],
        ["a"] * count,
        np.tile([0.7, 0.3], (count, 1)),
        patients=[f"p{i // 3}" for i in range(count)],
        groups=[f"p{i // 3}" for i in range(count)],
    )


def test_the_tumour_itself_is_a_perfect_map() -> None:
    tumour = tumour_at(10, 20)
    place = place_of("s", "mask", tumour.astype(np.float32), int(tumour.argmax()), tumour)
    assert (place.hit, place.energy, place.overlap) == (True, 1.0, (1.0,) * 9)


def test_a_map_elsewhere_is_worth_nothing() -> None:
    tumour, other = tumour_at(8, 8), tumour_at(24, 24).astype(np.float32)
    place = place_of("s", "class", other, int(other.argmax()), tumour)
    assert (place.hit, place.energy, max(place.overlap)) == (False, 0.0, 0.0)
    dark = np.zeros_like(other)
    assert place_of("s", "class", dark, 0, tumour_at(0, 0)) == Place("s", "class", False, 0.0, (0.0,) * 9)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=50, deadline=None)
def test_scores_are_shares(seed: int) -> None:
    rng = np.random.default_rng(seed)
    tumour = tumour_at(*rng.integers(4, 28, 2))
    strength = rng.random((32, 32), dtype=np.float32)
    place = place_of("s", "class", strength, int(strength.argmax()), tumour)
    assert 0 <= place.energy <= 1
    assert all(0 <= value <= 1 for value in place.overlap)
    assert place.hit == tumour.ravel()[strength.argmax()]


def test_the_middles_need_no_network() -> None:
    head = np.zeros((32, 32), bool)
    head[4:20, 2:12] = True
    centre, middle = baselines("s", tumour_at(12, 6), head)
    assert (centre.what, centre.hit, middle.what, middle.hit) == ("centre", False, "head", True)
    assert centre.energy == pytest.approx(tumour_at(12, 6).mean(), abs=1e-6)
    assert middle.energy > centre.energy


def test_rates_have_intervals_over_patients_and_one_threshold_serves_all() -> None:
    better_at_three = tuple(0.9 if value == 0.3 else 0.1 for value in THRESHOLDS)
    places = [Place(f"s{i}", "class", i % 2 == 0, 0.5, better_at_three) for i in range(12)]
    found = localisation([*places, Place("s0", "centre", False, 0.1)], table(12), bootstrap=200, seed=0)
    assert found["class"]["hit_rate"] == 0.5
    low, high = found["class"]["hit_rate_ci95"]
    assert low < 0.5 < high
    assert (found["class"]["iou"], found["class"]["threshold"]) == (pytest.approx(0.9), 0.3)
    assert found["centre"]["n"] == 1
    assert "iou" not in found["centre"]
    assert "mask" not in found


def test_a_slice_without_an_answer_is_refused() -> None:
    with pytest.raises(DataError, match="no prediction"):
        localisation([Place("other", "class", True, 1.0, (1.0,) * 9)], table(3), bootstrap=100, seed=0)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    places = [Place("a, b", "class", True, 0.25, (0.5,) * 9), Place("c", "head", False, 0.125)]
    write_places(tmp_path / "maps.csv", places)
    assert read_places(tmp_path / "maps.csv") == places
    (tmp_path / "maps.csv").write_text("id,what\n")
    with pytest.raises(DataError):
        read_places(tmp_path / "maps.csv")
