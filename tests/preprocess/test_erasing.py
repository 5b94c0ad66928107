"""Painting a region over changes that region, and hides what was in it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tumorlens.preprocess import erasing


def head(
    size: int = 160, *, tumour: tuple[int, int, int] | None = None, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """A round, grainy head in black air with a bright disc at (row, column, radius); and the disc."""
    rows, columns = np.indices((size, size))
    rng = np.random.default_rng(seed)
    inside = (rows - size / 2) ** 2 + (columns - size / 2) ** 2 < (0.44 * size) ** 2
    pixels = np.where(inside, 100 + rng.normal(0, 2, (size, size)), 0).astype(np.float32)
    mask = np.zeros((size, size), bool)
    if tumour:
        row, column, radius = tumour
        mask = (rows - row) ** 2 + (columns - column) ** 2 < radius**2
        pixels[mask] += 80
    return pixels, mask


def test_a_tumour_is_gone_and_the_rest_untouched() -> None:
    pixels, mask = head(tumour=(60, 70, 12))
    region = erasing.widened(mask)
    edited = erasing.erase(pixels, region, np.random.default_rng(0))
    assert (edited[~region] == pixels[~region]).all()
    assert abs(edited[region].mean() - 100) < 3
    assert edited[region].max() < 115
    assert 0.5 < edited[region].std() < 4  # neither a flat patch nor a noisy one


def test_the_same_chance_makes_the_same_edit() -> None:
    pixels, mask = head(tumour=(60, 70, 12))
    one, two = (erasing.erase(pixels, mask, np.random.default_rng(3)) for _ in range(2))
    assert (one == two).all()


@given(st.integers(45, 115), st.integers(45, 115), st.integers(3, 20), st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_elsewhere_is_in_the_head_and_off_the_tumour(row: int, column: int, radius: int, seed: int) -> None:
    pixels, mask = head(tumour=(row, column, radius))
    moved = erasing.elsewhere(pixels, mask, np.random.default_rng(seed))
    if moved is None:
        assert radius > 15
        return
    assert not (moved & mask).any()
    assert pixels[moved].min() > 50
    assert moved.sum() >= 0.96 * mask.sum()


def test_the_mirrored_place_comes_first() -> None:
    pixels, mask = head(tumour=(80, 50, 10))
    moved = erasing.elsewhere(pixels, mask, np.random.default_rng(0))
    assert moved is not None
    rows, columns = np.nonzero(moved)
    assert (rows.mean(), columns.mean()) == pytest.approx((80, 109), abs=2)


def test_a_tumour_as_large_as_the_head_fits_nowhere_else() -> None:
    pixels, mask = head(tumour=(80, 80, 60))
    assert erasing.elsewhere(pixels, mask, np.random.default_rng(0)) is None


def test_pictures_without_a_head_or_a_region_are_left_alone() -> None:
    rng, flat, nothing = np.random.default_rng(0), np.ones((40, 40), np.float32), np.zeros((40, 40), bool)
    assert (erasing.erase(flat, ~nothing, rng) == flat).all()
    assert (erasing.erase(head()[0], np.zeros((160, 160), bool), rng) == head()[0]).all()
    assert erasing.elsewhere(flat, ~nothing, rng) is None
    assert erasing.elsewhere(head()[0], np.zeros((160, 160), bool), rng) is None


@pytest.mark.parametrize("shape", [(512, 512), (300, 700), (80, 60)])
def test_shrinking_keeps_the_mask_on_its_tumour(shape: tuple[int, int]) -> None:
    pixels = np.full(shape, 50, np.float32)
    mask = np.zeros(shape, bool)
    mask[shape[0] // 4 : shape[0] // 2, shape[1] // 4 : shape[1] // 2] = True
    pixels[mask] = 200
    pixels[0, 0] = np.nan
    small, region = erasing.shrunk(pixels, mask)
    assert max(small.shape) <= 256
    assert np.isfinite(small).all()
    assert small.shape == region.shape
    assert small[region].mean() > 190
    assert small[~erasing.widened(region)].mean() < 52
