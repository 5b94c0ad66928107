"""A slice and its map in a form that a browser unpacks itself: deflated numbers in base 64."""

from __future__ import annotations

import base64
import math
import zlib
from typing import Any

import cv2
import numpy as np

from tumorlens.inference import Prediction
from tumorlens.io.slice import Slice
from tumorlens.pipeline.model import Model
from tumorlens.preprocess.recipe import unframe

# A screen shows no more; a map is smooth.
_LONGEST, _LONGEST_MAP = 1024, 128
_STEPS = 65_535
_LOW, _HIGH = 1.0, 99.5


def shown(item: Slice, answer: Prediction, model: Model) -> dict[str, Any]:
    """What the page needs to draw a slice.

    Returns:
        ``picture``: ``rows``, ``columns``, ``data`` (deflated uint16, little-endian, base 64), ``low`` and ``step``
        (grey value = low + step × number), ``window`` ([low, high] grey values to begin with), ``spacing`` ([row,
        column] mm, or None), ``plane``, ``weighting``, ``contrast`` (from the header, or None); ``map``: ``rows``,
        ``columns``, ``data`` (deflated uint8), ``kind``, or None for a slice without an answer.
    """
    return {"picture": _picture(item), "map": _map(item, answer, model) if answer.predicted else None}


def _picture(item: Slice) -> dict[str, Any]:
    pixels, factor = _shrunk(item.pixels)
    low, high = float(pixels.min()), float(pixels.max())
    whole = bool(np.all(pixels == np.rint(pixels)))
    step = 1.0 if whole and high - low <= _STEPS else max(high - low, 1e-12) / _STEPS
    numbers = np.clip(np.rint((pixels.astype(np.float64) - low) / step), 0, _STEPS).astype("<u2")
    dark, bright = (float(value) for value in np.percentile(pixels[::2, ::2], (_LOW, _HIGH)))
    begin = [dark, bright if bright > dark else max(high, dark + step)]
    if item.window is not None and item.window[0] < bright and item.window[1] > dark:  # else it would show nothing
        begin = list(item.window)
    return {
        "rows": pixels.shape[0],
        "columns": pixels.shape[1],
        "data": _packed(numbers),
        "low": low,
        "step": step,
        "window": begin,
        "spacing": None if item.spacing is None else [item.spacing[0] * factor, item.spacing[1] * factor],
        "plane": item.plane,
        "weighting": item.weighting,
        "contrast": item.contrast,
    }


def _map(item: Slice, answer: Prediction, model: Model) -> dict[str, Any]:
    rows, columns = item.pixels.shape
    scale = min(1.0, _LONGEST_MAP / max(rows, columns))
    shape = max(1, round(rows * scale)), max(1, round(columns * scale))
    strength = unframe(model.map(answer), item.pixels, model.info.recipe, shape)
    numbers = np.clip(np.rint(strength * 255), 0, 255).astype(np.uint8)
    kind = "mask" if answer.mask is not None else "class"
    return {"rows": shape[0], "columns": shape[1], "data": _packed(numbers), "kind": kind}


def _shrunk(pixels: np.ndarray) -> tuple[np.ndarray, float]:
    """A slice no larger than a screen, and how many of its pixels lie beside each other in one."""
    factor = max(pixels.shape) / _LONGEST
    if factor <= 1:
        return pixels, 1.0
    rows, columns = (max(1, math.floor(side / factor)) for side in pixels.shape)
    return np.asarray(cv2.resize(pixels, (columns, rows), interpolation=cv2.INTER_AREA)), factor


def _packed(numbers: np.ndarray) -> str:
    return base64.b64encode(zlib.compress(np.ascontiguousarray(numbers).tobytes(), 1)).decode("ascii")
