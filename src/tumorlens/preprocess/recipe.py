"""The recipe from a slice to the network's input: pure NumPy and OpenCV, the same in training and in service."""

from __future__ import annotations

import hashlib
from typing import Annotated, Literal

import cv2
import msgspec
import numpy as np
from msgspec import Meta

from tumorlens.config import PreprocessSettings
from tumorlens.preprocess.head import grey_window, head_box

# Raise whenever the pixels that `standardise` gives for the same recipe change: caches and bundles depend on it.
# 1: the head lies above a fraction of Otsu's threshold. 2: the border of the picture tells how bright the air is.
ALGORITHM = 2
ALGORITHMS = (1, 2)

# The head is found on a copy no larger than this, which costs a tenth of finding it at 512 pixels.
_SCOUT = 128
_LARGEST = 1e12


class Recipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How a slice becomes a square 8-bit image; stored in every bundle.

    Attributes:
        kind: ``standard`` crops to the head, maps robust percentiles of its grey values to black and white, pads to a
            square without distortion and resizes; ``plain`` divides by the type's range (or by the largest value, if
            that is above 255) and stretches to a square, as notebooks do.
        size: height and width of the result in pixels.
        margin: margin kept around the head, as a share of its longer side.
        low: percentile of the head's grey values that becomes 0.
        high: percentile of the head's grey values that becomes 255.
        algorithm: version of the code behind it.
    """

    kind: Literal["standard", "plain"] = "standard"
    size: Annotated[int, Meta(ge=8, le=4096)] = 128
    margin: Annotated[float, Meta(ge=0, le=0.5)] = 0.02
    low: Annotated[float, Meta(ge=0, lt=50)] = 0.5
    high: Annotated[float, Meta(gt=50, le=100)] = 99.5
    algorithm: int = ALGORITHM

    @classmethod
    def from_settings(cls, settings: PreprocessSettings) -> Recipe:
        """The recipe that the settings describe."""
        return cls(
            kind=settings.recipe, size=settings.size, margin=settings.margin, low=settings.low, high=settings.high
        )

    @property
    def key(self) -> str:
        """A short name that changes whenever the result would."""
        return hashlib.sha256(msgspec.json.encode(self)).hexdigest()[:16]


def standardise(pixels: np.ndarray, recipe: Recipe) -> np.ndarray:
    """A slice in the form that the network was trained on.

    Args:
        pixels: float32 (H, W), any range; not-a-number counts as the darkest value.
        recipe: what to do.

    Returns:
        uint8 (size, size).
    """
    pixels = np.ascontiguousarray(pixels, dtype=np.float32)
    return _plain(pixels, recipe) if recipe.kind == "plain" else _standard(pixels, recipe)


def standardise_mask(pixels: np.ndarray, mask: np.ndarray, recipe: Recipe, size: int) -> np.ndarray:
    """A tumour mask framed as :func:`standardise` frames its slice.

    Args:
        pixels: float32 (H, W), the slice.
        mask: bool (h, w), over the same field as the slice, whatever its resolution.
        recipe: what was done to the slice.
        size: height and width of the result, usually smaller than the recipe's.

    Returns:
        uint8 (size, size): the share of each cell that is tumour, in 255ths.
    """
    share = np.asarray(mask, np.float32) * np.float32(255)
    if recipe.kind == "plain":
        return _on_grid(share, (size, size))
    box, scout = _framing(pixels, recipe)
    # The head's part of the mask has the slice's proportions, not those of its own pixels.
    top, left, rows, columns = _placed(_crop(pixels, box, scout).shape, size)
    canvas = np.zeros((size, size), np.uint8)
    canvas[top : top + rows, left : left + columns] = _on_grid(_crop(share, box, scout), (rows, columns))
    return canvas


def unframe(found: np.ndarray, pixels: np.ndarray, recipe: Recipe, shape: tuple[int, int]) -> np.ndarray:
    """A map over a standardised slice, put back over the slice itself: the way of :func:`standardise_mask`, backwards.

    Args:
        found: float32 (S, S), over the square that the network saw.
        pixels: float32 (H, W), the slice.
        recipe: what was done to the slice.
        shape: height and width of the result, which covers the whole slice whatever its resolution.

    Returns:
        float32 of that shape; 0 outside of what the network saw.
    """
    whole = np.zeros(shape, np.float32)
    if recipe.kind == "plain":
        whole[:] = cv2.resize(found, shape[::-1], interpolation=cv2.INTER_LINEAR)
        return whole
    box, scout = _framing(pixels, recipe)
    top, left, rows, columns = _placed(_crop(pixels, box, scout).shape, len(found))
    part = _crop(whole, box, scout)  # a view: writing to it writes to the whole
    inside = np.ascontiguousarray(found[top : top + rows, left : left + columns], np.float32)
    part[:] = cv2.resize(inside, part.shape[::-1], interpolation=cv2.INTER_LINEAR)
    return whole


def _framing(pixels: np.ndarray, recipe: Recipe) -> tuple[tuple[int, int, int, int], tuple[int, ...]]:
    """The head's box in pixels of a scout image, and that image's shape."""
    pixels = np.ascontiguousarray(pixels, dtype=np.float32)
    scout = _shrink(_halved(pixels), _SCOUT)
    if _is_wild(scout):
        scout = _shrink(_halved(_tamed(pixels)), _SCOUT)
    return head_box(scout, recipe.margin, border=recipe.algorithm > 1), scout.shape


def _placed(head: tuple[int, ...], size: int) -> tuple[int, int, int, int]:
    """Where a head of that shape lies in a square: top, left, rows, columns."""
    ratio = size / max(head)
    rows, columns = max(1, round(head[0] * ratio)), max(1, round(head[1] * ratio))
    return (size - rows) // 2, (size - columns) // 2, rows, columns


def to_input(images: np.ndarray) -> np.ndarray:
    """Standardised images as network input: uint8 (N, S, S) → float32 (N, S, S, 1) in [0, 1]."""
    return (images.astype(np.float32) * np.float32(1 / 255))[..., np.newaxis]


def _is_wild(small: np.ndarray) -> bool:
    """Whether a shrunken copy shows NaN, infinities or values whose differences could overflow."""
    return not cv2.checkRange(small, True, -_LARGEST, _LARGEST)[0]


def _tamed(pixels: np.ndarray) -> np.ndarray:
    """The same picture without NaN, infinities and astronomic values (scaling is harmless: the window is linear)."""
    finite = pixels[np.isfinite(pixels)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    filled = np.nan_to_num(pixels, nan=low, posinf=high, neginf=low)
    top = max(abs(low), abs(high))
    # Well below the limit, so that rounding cannot make the result wild again.
    return np.asarray(filled * (1e6 / top) if top > _LARGEST / 2 else filled, np.float32)


def _plain(pixels: np.ndarray, recipe: Recipe) -> np.ndarray:
    lowest, highest = float(pixels.min()), float(pixels.max())
    resized = cv2.resize(pixels, (recipe.size, recipe.size), interpolation=cv2.INTER_AREA)
    if _is_wild(resized):
        return _plain(_tamed(pixels), recipe)
    if lowest < 0 or highest > 255:
        # Not an 8-bit image: bring its own range to 0…255 first.
        resized = (resized - lowest) * np.float32(255 / max(highest - lowest, 1e-6))
    return np.asarray(np.clip(np.rint(resized), 0, 255), np.uint8)


def _standard(pixels: np.ndarray, recipe: Recipe) -> np.ndarray:
    half = _halved(pixels)
    scout = _shrink(half, _SCOUT)
    if _is_wild(scout):
        return _standard(_tamed(pixels), recipe)
    box = head_box(scout, recipe.margin, border=recipe.algorithm > 1)
    top, bottom, left, right = box
    black, white = grey_window(scout[top:bottom:2, left:right:2], recipe.low, recipe.high)
    head = _crop(half, box, scout.shape)
    if max(head.shape) < recipe.size:  # halving went too far for this head
        head = _crop(pixels, box, scout.shape)
    top, left, rows, columns = _placed(head.shape, recipe.size)
    # Shrink first, then window: the window is linear, so the order only matters for speed. Down to half, linear
    # interpolation still looks at every pixel and is ten times cheaper than averaging.
    shrinking = recipe.size / max(head.shape) < 0.5
    head = cv2.resize(head, (columns, rows), interpolation=cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR)
    gain = 255.0 / max(white - black, 1e-6)
    grey = np.clip(np.rint((head - np.float32(black)) * np.float32(gain)), 0, 255)
    canvas = np.zeros((recipe.size, recipe.size), np.uint8)
    canvas[top : top + rows, left : left + columns] = grey
    return canvas


def _on_grid(share: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Float32 (h, w) averaged over the cells of a grid, as uint8."""
    resized = cv2.resize(share, shape[::-1], interpolation=cv2.INTER_AREA)
    return np.asarray(np.clip(np.rint(resized), 0, 255), np.uint8)


def _halved(pixels: np.ndarray) -> np.ndarray:
    """A large image halved, once or more: exact halving is many times cheaper than any other shrinking."""
    half = pixels
    while max(half.shape) >= 4 * _SCOUT or (half is pixels and max(half.shape) >= 2 * _SCOUT):
        half = cv2.resize(half, (max(1, half.shape[1] // 2), max(1, half.shape[0] // 2)), interpolation=cv2.INTER_AREA)
    return half


def _shrink(pixels: np.ndarray, longest: int) -> np.ndarray:
    scale = longest / max(pixels.shape)
    if scale >= 1:
        return pixels
    rows, columns = (max(1, round(side * scale)) for side in pixels.shape)
    return np.asarray(cv2.resize(pixels, (columns, rows), interpolation=cv2.INTER_AREA))


def _crop(pixels: np.ndarray, box: tuple[int, int, int, int], scout: tuple[int, ...]) -> np.ndarray:
    """The part of ``pixels`` under a box given in pixels of the scout image."""
    top, bottom, left, right = box
    rows, columns = pixels.shape[0] / scout[0], pixels.shape[1] / scout[1]
    first_row, first_column = int(top * rows), int(left * columns)
    last_row = max(first_row + 1, min(pixels.shape[0], int(np.ceil(bottom * rows))))
    last_column = max(first_column + 1, min(pixels.shape[1], int(np.ceil(right * columns))))
    return pixels[first_row:last_row, first_column:last_column]
