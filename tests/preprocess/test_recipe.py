from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tumorlens.preprocess import Recipe, standardise, standardise_mask, to_input


def head(
    height: int, width: int, centre: tuple[int, int], axes: tuple[int, int], scale: float = 1.0, offset: float = 0.0
) -> np.ndarray:
    """An ellipse with a bright rim and a spot, on dark air."""
    image = np.zeros((height, width), np.float32)
    cv2.ellipse(image, centre, axes, 0, 0, 360, 120.0, -1)
    cv2.ellipse(image, centre, axes, 0, 0, 360, 230.0, max(2, axes[0] // 12))
    cv2.circle(image, (centre[0] + axes[0] // 3, centre[1]), axes[0] // 6, 200.0, -1)
    rng = np.random.default_rng(0)
    return (image + rng.random(image.shape, dtype=np.float32)) * scale + offset


def likeness(a: np.ndarray, b: np.ndarray) -> float:
    """Correlation of two pictures, blind to a shift of a pixel."""
    soft = [cv2.GaussianBlur(picture.astype(np.float32), (0, 0), 2).ravel() for picture in (a, b)]
    return float(np.corrcoef(*soft)[0, 1])


@given(
    hnp.arrays(
        np.float32,
        hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=70),
        elements=st.floats(width=32, allow_nan=True, allow_infinity=True),
    ),
    st.sampled_from(["standard", "plain"]),
)
@settings(max_examples=150, deadline=None)
def test_any_array_becomes_a_square_of_bytes(pixels: np.ndarray, kind: str) -> None:
    result = standardise(pixels, Recipe(kind=kind, size=32))
    assert result.shape == (32, 32)
    assert result.dtype == np.uint8


def test_the_head_fills_the_square_wherever_it_was() -> None:
    expected = standardise(head(256, 256, (128, 128), (90, 110)), Recipe())
    for picture in (
        head(300, 400, (110, 140), (90, 110)),  # off centre, other field of view
        head(512, 512, (256, 256), (180, 220)),  # other resolution
        head(256, 256, (128, 128), (90, 110), scale=37.0, offset=-900.0),  # other grey values
    ):
        result = standardise(picture, Recipe())
        assert likeness(result, expected) > 0.98


def test_proportions_are_kept() -> None:
    rows = np.flatnonzero(standardise(head(300, 300, (150, 150), (60, 120)), Recipe(margin=0)).max(axis=1) > 40)
    columns = np.flatnonzero(standardise(head(300, 300, (150, 150), (60, 120)), Recipe(margin=0)).max(axis=0) > 40)
    assert np.ptp(rows) / np.ptp(columns) == pytest.approx(2.0, abs=0.15)


def test_a_few_hot_pixels_do_not_darken_the_rest() -> None:
    clean = head(256, 256, (128, 128), (90, 110))
    hot = clean.copy()
    hot[128, 100:110] = 30000
    assert likeness(standardise(hot, Recipe()), standardise(clean, Recipe())) > 0.98
    assert np.median(standardise(hot, Recipe())) > 0.8 * np.median(standardise(clean, Recipe()))


def test_letters_in_a_corner_do_not_stop_the_crop() -> None:
    labelled = head(300, 300, (150, 150), (70, 90))
    cv2.rectangle(labelled, (4, 8), (14, 24), 255.0, 2)
    plain = standardise(head(300, 300, (150, 150), (70, 90)), Recipe())
    assert likeness(standardise(labelled, Recipe()), plain) > 0.98


def test_the_notebook_recipe_only_stretches() -> None:
    picture = np.zeros((100, 200), np.float32)
    picture[:, 100:] = 200
    result = standardise(picture, Recipe(kind="plain", size=32))
    assert (result[:, :15] == 0).all()
    assert (result[:, 17:] == 200).all()
    assert to_input(result[np.newaxis]).max() == pytest.approx(200 / 255)


def test_sixteen_bit_values_are_not_cut_off_by_the_notebook_recipe() -> None:
    ramp = np.tile(np.linspace(0, 4000, 64, dtype=np.float32), (64, 1))
    result = standardise(ramp, Recipe(kind="plain", size=64))
    assert result[0, 0] < 5
    assert result[0, -1] > 250
    assert (np.diff(result[0].astype(int)) >= 0).all()


def test_deterministic_and_pure() -> None:
    picture = head(256, 256, (128, 128), (90, 110))
    before = picture.copy()
    first = standardise(picture, Recipe())
    assert (first == standardise(picture, Recipe())).all()
    assert (picture == before).all()


def test_key_changes_with_every_setting() -> None:
    keys = {
        r.key
        for r in (Recipe(), Recipe(size=64), Recipe(kind="plain"), Recipe(margin=0.1), Recipe(low=1), Recipe(high=99))
    }
    assert len(keys) == 6


def test_input_is_one_channel_from_zero_to_one() -> None:
    given_bytes = np.array([[[0, 255], [51, 102]]], np.uint8)
    assert to_input(given_bytes).shape == (1, 2, 2, 1)
    assert to_input(given_bytes).ravel().tolist() == pytest.approx([0, 1, 0.2, 0.4])


@given(
    st.integers(128, 700),
    st.floats(0.4, 2.5),
    st.floats(0.25, 0.45),
    st.sampled_from(["standard", "plain"]),
    st.sampled_from([1, 2, 0.5]),
)
@settings(max_examples=60, deadline=None)
def test_a_mask_stays_on_its_tumour(width: int, aspect: float, reach: float, kind: str, finer: float) -> None:
    height = max(128, round(width * aspect))
    axes = (round(width * reach), round(height * reach))
    spot = np.zeros((height, width), np.uint8)
    centre = (width // 2 - axes[0] // 3, height // 2)
    cv2.ellipse(spot, centre, (max(5, axes[0] // 4), max(5, axes[1] // 4)), 0, 0, 360, 1, -1)
    # An even head, so that the tumour alone is bright however the copy that finds the window was shrunk.
    image = np.random.default_rng(0).random((height, width), dtype=np.float32)
    cv2.ellipse(image, (width // 2, height // 2), axes, 0, 0, 360, 90.0, -1)
    image[spot > 0] = 330
    mask = cv2.resize(spot, (round(width * finer), round(height * finer)), interpolation=cv2.INTER_NEAREST) > 0
    recipe = Recipe(kind=kind, size=128, high=100)
    found = standardise_mask(image, mask, recipe, 32)
    expected = cv2.resize((standardise(image, recipe) > 165).astype(np.float32), (32, 32), interpolation=cv2.INTER_AREA)
    rows, columns = np.mgrid[:32, :32]
    for places in (rows, columns):
        middle = [float((places * share).sum() / share.sum()) for share in (found / 255, expected)]
        assert middle[0] == pytest.approx(middle[1], abs=0.75)  # cells
    overlap, union = np.minimum(found / 255, expected).sum(), np.maximum(found / 255, expected).sum()
    assert overlap / union > 0.5
