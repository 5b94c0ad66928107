"""The eight ways to turn and mirror a picture by right angles: the symmetries of the square.

A number from 0 to 7 names one: bit 2 transposes first, bit 1 then flips the rows, bit 0 then flips the columns.
"""

from __future__ import annotations

from typing import Final

import numpy as np

COUNT: Final = 8
IDENTITY: Final = 0
# What is done to picture A so that it looks like picture B; rotations are counter-clockwise, as np.rot90 has them.
NAMES: Final = ("identity", "hflip", "vflip", "rot180", "transpose", "rot270", "rot90", "transverse")
# Those that turn a left hand into a right hand.
MIRRORED: Final = frozenset({1, 2, 4, 7})


def turn(picture: np.ndarray, number: int) -> np.ndarray:
    """The picture (H, W) turned and mirrored; contiguous."""
    if number & 4:
        picture = picture.T
    if number & 2:
        picture = picture[::-1]
    if number & 1:
        picture = picture[:, ::-1]
    return np.ascontiguousarray(picture)


def matrix(number: int) -> np.ndarray:
    """The same as an integer matrix (2, 2) on centred (row, column) coordinates of source → result."""
    transpose = np.array([[0, 1], [1, 0]]) if number & 4 else np.eye(2, dtype=int)
    flips = np.diag([-1 if number & 2 else 1, -1 if number & 1 else 1])
    return np.asarray(flips @ transpose)


def compose(first: int, second: int) -> int:
    """The number of "first, then second"."""
    return _COMPOSED[first][second]


def inverse(number: int) -> int:
    """The number that undoes another."""
    return _COMPOSED[number].index(IDENTITY)


def _products() -> tuple[tuple[int, ...], ...]:
    """The table of :func:`compose`: 100,000 pictures ask it a million times."""
    every = [matrix(number) for number in range(COUNT)]
    numbers = {tuple(each.ravel().tolist()): number for number, each in enumerate(every)}
    return tuple(tuple(numbers[tuple((second @ first).ravel().tolist())] for second in every) for first in every)


_COMPOSED: Final = _products()


def turn_spectra(spectra: np.ndarray, number: int) -> np.ndarray:
    """Cosine spectra (N, K, K) of pictures turned like :func:`turn`: mirroring only changes signs of odd terms."""
    if number & 4:
        spectra = spectra.transpose(0, 2, 1)
    signs = np.where(np.arange(spectra.shape[1]) % 2, -1.0, 1.0).astype(spectra.dtype)
    if number & 2:
        spectra = spectra * signs[:, np.newaxis]
    if number & 1:
        spectra = spectra * signs
    return spectra
