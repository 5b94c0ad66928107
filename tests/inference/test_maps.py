from __future__ import annotations

import numpy as np
import pytest

from tumorlens.inference import maps


def test_only_what_speaks_for_the_class_is_shown() -> None:
    activation = np.array([[-5.0, 0.0], [2.0, 4.0]], np.float32)
    strength = maps.normalise(activation, 2)
    assert strength.tolist() == [[0, 0], [0.5, 1]]
    assert maps.normalise(-np.ones((4, 4), np.float32), 8).max() == 0


def test_occlusion_finds_the_square_that_decides() -> None:
    image = np.full((64, 64), 100, np.uint8)
    image[8:16, 40:48] = 250

    def run(images: np.ndarray) -> np.ndarray:
        # A "network" whose class 1 is the brightness of that square.
        return np.stack([np.zeros(len(images)), images[:, 8:16, 40:48].mean(axis=(1, 2))], axis=1)

    fall = maps.occlusion(image, 1, run)
    assert np.unravel_index(fall.argmax(), fall.shape) == (1, 5)
    assert fall[6, 1] == pytest.approx(0)


def test_a_captioned_map_is_large_enough_to_look_at() -> None:
    image, strength = np.zeros((48, 48), np.uint8), np.zeros((48, 48), np.float32)
    picture = maps.captioned(image, strength, "glioma 93.1%", maps.CLASS_SCALE)
    assert picture.shape == (288 + 56, 288, 3)
    assert not picture[:288].any()
    assert picture[288:316].any()
    name = "a class with quite a long name, größer als das Bild 93.1%"
    assert maps.captioned(image, strength, name, maps.MASK_SCALE).shape[1] == 288


def test_the_scale_shows_the_colours_of_the_map() -> None:
    image = np.full((48, 48), 90, np.uint8)
    strong = maps.captioned(image, np.ones((48, 48), np.float32), "", maps.MASK_SCALE)
    weak = maps.captioned(image, np.zeros((48, 48), np.float32), "", maps.MASK_SCALE)
    scale = strong[316 + 14, 96:192]
    np.testing.assert_array_equal(scale[0], weak[100, 100])
    np.testing.assert_array_equal(scale[-1], strong[100, 100])


def test_overlay_leaves_the_slice_visible_where_nothing_speaks() -> None:
    image = np.arange(64, dtype=np.uint8).reshape(8, 8)
    picture = maps.overlay(image, np.zeros((8, 8), np.float32))
    assert (picture == image[..., None]).all()
    strong = maps.overlay(image, np.ones((8, 8), np.float32))
    assert (strong != image[..., None]).any()
