"""What the browser gets is the slice itself, and the map lies where the network looked."""

from __future__ import annotations

import base64
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tumorlens import io
from tumorlens.inference import Prediction
from tumorlens.io.arrays import from_array
from tumorlens.io.slice import Slice
from tumorlens.pipeline.model import Model
from tumorlens.preprocess import Recipe, standardise
from tumorlens.preprocess.recipe import unframe
from tumorlens.web.picture import shown


def unpacked(part: dict, dtype: str) -> np.ndarray:
    return np.frombuffer(zlib.decompress(base64.b64decode(part["data"])), dtype).reshape(part["rows"], part["columns"])


def picture_of(item: Slice, model: Model) -> dict:
    answer = model.predict(item)
    assert isinstance(answer, Prediction)
    return shown(item, answer, model)


@given(st.integers(-5000, 5000), st.integers(1, 60_000), st.booleans())
def test_grey_values_come_back(low: int, span: int, fraction: bool) -> None:
    from tumorlens.web.picture import _picture

    pixels = np.linspace(low, low + span, 64 * 48).reshape(64, 48)
    pixels = (pixels if fraction else np.rint(pixels)).astype(np.float32)
    part = _picture(from_array(pixels, "a"))
    found = part["low"] + part["step"] * unpacked(part, "<u2")
    np.testing.assert_allclose(found, pixels, atol=0 if not fraction else max(part["step"], 1e-3))
    assert part["window"][0] < part["window"][1]


def test_a_slice_larger_than_a_screen_keeps_its_millimetres(shipped: Model) -> None:
    item = Slice(np.random.default_rng(0).random((3000, 2000)).astype(np.float32), "a", spacing=(0.1, 0.1))
    part = picture_of(item, shipped)["picture"]
    assert max(part["rows"], part["columns"]) == 1024
    assert part["rows"] * part["spacing"][0] == pytest.approx(300, rel=0.01)


def test_the_map_lies_over_the_tumour(shipped: Model, glioma: Path) -> None:
    (item,) = io.read(str(glioma))
    part = picture_of(item, shipped)
    strength = unpacked(part["map"], "u1")
    row, column = np.unravel_index(int(strength.argmax()), strength.shape)
    # Drawn with the tumour in the upper half, right of the middle.
    assert 0.2 < row / part["map"]["rows"] < 0.6
    assert 0.45 < column / part["map"]["columns"] < 0.75
    assert strength.mean() < 0.2 * strength.max()


def test_a_refused_slice_has_a_picture_and_no_map(shipped: Model) -> None:
    part = picture_of(from_array(np.zeros((64, 64), np.float32), "a"), shipped)
    assert part["map"] is None
    assert part["picture"]["window"][0] < part["picture"]["window"][1]


@pytest.mark.parametrize("kind", ["standard", "plain"])
def test_unframing_puts_a_standardised_slice_back_in_its_place(kind: str, glioma: Path) -> None:
    (item,) = io.read(str(glioma))
    shifted = np.roll(np.pad(item.pixels, ((0, 60), (0, 140))), (40, 90), axis=(0, 1))
    recipe = Recipe(kind=kind, size=96)  # type: ignore[arg-type]
    framed = standardise(shifted, recipe).astype(np.float32)
    back = unframe(framed, shifted, recipe, shifted.shape)
    blurred = [cv2.blur(picture, (9, 9)) for picture in (back, shifted)]  # the square has fewer pixels
    head = blurred[1] > 20
    assert np.corrcoef(blurred[0][head], blurred[1][head])[0, 1] > 0.9
    small = unframe(framed, shifted, recipe, (shifted.shape[0] // 4, shifted.shape[1] // 4))
    assert np.corrcoef(small.ravel(), back[2::4, 2::4][: small.shape[0], : small.shape[1]].ravel())[0, 1] > 0.9
