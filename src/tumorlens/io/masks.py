"""Tumour masks: any image, volume or ``.mat`` field as a boolean array."""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache

import numpy as np

from tumorlens.errors import InputError
from tumorlens.io.files import find, frame_count, read_slice
from tumorlens.io.limits import DEFAULT, Limits

# Whole numbers up to the first are labels, not greys; so are a few different ones up to the second.
_LABELS, _MOST_LABELS, _FEW = 16, 127, 32
# How far a label may be from a whole number: files that scale what they store round it.
_ROUNDING = 0.01


def read_mask(path: str, frame: int | None = None, *, limits: Limits = DEFAULT) -> np.ndarray:
    """The tumour mask of one slice.

    What a mask holds, its whole file says, so that a slice at the end of a soft volume has no mask of its faint tails:

    - whole numbers up to 16 (0 and 1; 0, 1, 2, 4: several tumour parts, as in BraTS), or at most 32 different ones up
      to 127 (numbered tumours): true wherever they are not zero;
    - shares from 0 to 1: true above 0.5;
    - anything else, as an anti-aliased or JPEG-compressed 0..255 mask: true above half of the largest value.

    Args:
        path: image, volume, ``archive.zip!mask.png`` or ``file.mat!tumorMask``.
        frame: frame of a volume; a single-image mask serves every frame.
        limits: size limits.

    Returns:
        bool (H, W).

    Raises:
        InputError: when it cannot be read.
        MissingExtraError: when the format needs a package that is not installed.
    """
    count = None if frame is None else frame_count(path, limits=limits)
    try:
        pixels = read_slice(path, None if count is None else frame, limits=limits).pixels
        if count is None:
            threshold = _threshold(float(pixels.max()), _labels(pixels))
        else:
            threshold = _of_volume(find(path, limits)[0].key, path, count, limits)
    except InputError as error:
        raise InputError(f"the mask {error.message}", hint=error.hint, code=error.code) from error
    return np.asarray(pixels > threshold)


@lru_cache(maxsize=256)
def _of_volume(key: tuple[object, ...], path: str, count: int, limits: Limits) -> float:
    """The threshold of a file with ``count`` frames; ``key`` changes when the file does."""
    top = 0.0
    labels: frozenset[int] | None = frozenset()
    for frame in range(count):
        pixels = read_slice(path, frame, limits=limits).pixels
        top, own = max(top, float(pixels.max())), _labels(pixels)
        labels = None if own is None or labels is None else labels | own
    return _threshold(top, labels)


def _threshold(top: float, labels: Collection[int] | None) -> float:
    few = labels is not None and (top <= _LABELS or (top <= _MOST_LABELS and len(labels) <= _FEW))
    return 0.5 if top <= 1 or few else top / 2


def _labels(pixels: np.ndarray) -> frozenset[int] | None:
    """The different values of a slice; None where one is no whole number, or they are too many for labels."""
    rounded = np.rint(pixels)
    if not (np.abs(pixels - rounded) <= _ROUNDING).all() or np.abs(rounded).max() > _MOST_LABELS:
        return None
    return frozenset(np.unique(rounded).astype(int).tolist())
