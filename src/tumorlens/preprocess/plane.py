"""Which plane a slice was cut in, guessed from its pixels, for files that do not say.

A linear model on a histogram of oriented gradients (Dalal N, Triggs B. Histograms of oriented gradients for human
detection. CVPR 2005), which does not depend on contrast. ``benchmarks/fit_planes.py`` makes ``plane.npz`` and prints
how often it is right.
"""

from __future__ import annotations

from functools import cache
from importlib import resources

import cv2
import numpy as np

from tumorlens.preprocess.stack import Stack

PLANES = ("axial", "coronal", "sagittal")
UNSURE = "unsure"
_SIZE, _CELLS, _DIRECTIONS = 48, 8, 6
# The most probable plane must be this probable to be named.
_LEAST = 0.6


def guess_planes(images: np.ndarray | Stack) -> list[str]:
    """``axial``, ``coronal``, ``sagittal`` or ``unsure`` for each image.

    Args:
        images: uint8 (N, S, S), standardised.
    """
    if not len(images):
        return []
    weights, bias = _weights()
    # Heads are nearly symmetric, and sagittal ones face either way. One at a time: a stack may not fit into memory.
    both = np.stack([_features(image) + _features(image[:, ::-1]) for image in images])
    logits = both @ weights / 2 + bias
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares = odds / odds.sum(axis=1, keepdims=True)
    return [PLANES[int(share.argmax())] if share.max() >= _LEAST else UNSURE for share in shares]


def features(images: np.ndarray) -> np.ndarray:
    """Histograms of gradient directions, float32 (N, 384); of the images uint8 (N, S, S)."""
    return np.stack([_features(image) for image in images])


def _features(image: np.ndarray) -> np.ndarray:
    small = cv2.resize(image, (_SIZE, _SIZE), interpolation=cv2.INTER_AREA).astype(np.float32)
    small = cv2.GaussianBlur(small, (0, 0), 0.8)
    across, down = cv2.Sobel(small, cv2.CV_32F, 1, 0), cv2.Sobel(small, cv2.CV_32F, 0, 1)
    strength = np.hypot(across, down)
    direction = np.mod(np.arctan2(down, across), np.pi) * np.float32(_DIRECTIONS / np.pi)
    lower = np.floor(direction)
    above = direction - lower
    first = lower.astype(np.intp) % _DIRECTIONS
    bins = np.zeros((_SIZE, _SIZE, _DIRECTIONS), np.float32)
    rows, columns = np.indices((_SIZE, _SIZE))
    bins[rows, columns, first] += strength * (1 - above)
    bins[rows, columns, (first + 1) % _DIRECTIONS] += strength * above
    cells = cv2.resize(bins, (_CELLS, _CELLS), interpolation=cv2.INTER_AREA)
    return np.asarray(np.sqrt(cells / (cells.sum() + np.float32(1e-3)) * np.float32(_CELLS * _CELLS))).ravel()


@cache
def _weights() -> tuple[np.ndarray, np.ndarray]:
    """Weights float32 (384, 3) and bias float32 (3,)."""
    path = resources.files("tumorlens.preprocess").joinpath("plane.npz")
    with resources.as_file(path) as file, np.load(file, allow_pickle=False) as stored:
        return stored["weights"].astype(np.float32), stored["bias"].astype(np.float32)
