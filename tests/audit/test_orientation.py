from __future__ import annotations

import cv2
import numpy as np
import pytest

from tumorlens.audit import orientation
from tumorlens.audit.look import TERMS

PICTURE = np.random.default_rng(0).integers(0, 256, (40, 40)).astype(np.uint8)
EVERY = range(orientation.COUNT)


@pytest.mark.parametrize("first", EVERY)
@pytest.mark.parametrize("second", EVERY)
def test_composition_is_what_turning_twice_does(first: int, second: int) -> None:
    twice = orientation.turn(orientation.turn(PICTURE, first), second)
    assert (twice == orientation.turn(PICTURE, orientation.compose(first, second))).all()


@pytest.mark.parametrize("number", EVERY)
def test_the_inverse_brings_the_picture_back(number: int) -> None:
    back = orientation.turn(orientation.turn(PICTURE, number), orientation.inverse(number))
    assert (back == PICTURE).all()


@pytest.mark.parametrize("number", EVERY)
def test_a_turned_spectrum_is_the_spectrum_of_the_turned_picture(number: int) -> None:
    def spectrum(picture: np.ndarray) -> np.ndarray:
        return cv2.dct(picture.astype(np.float32))[:TERMS, :TERMS]

    turned = orientation.turn_spectra(spectrum(PICTURE)[np.newaxis], number)[0]
    assert np.allclose(turned, spectrum(orientation.turn(PICTURE, number)), atol=0.05)


def test_names_say_what_is_done() -> None:
    turned = {name: orientation.turn(PICTURE, number) for number, name in enumerate(orientation.NAMES)}
    assert (turned["hflip"] == PICTURE[:, ::-1]).all()
    assert (turned["vflip"] == PICTURE[::-1]).all()
    assert (turned["transpose"] == PICTURE.T).all()
    for quarter in (1, 2, 3):
        assert (turned[f"rot{90 * quarter}"] == np.rot90(PICTURE, quarter)).all()
    mirrored = {orientation.NAMES[number] for number in orientation.MIRRORED}
    assert mirrored == {"hflip", "vflip", "transpose", "transverse"}
