"""What the numbers of a DICOM frame mean: padding, and the window that its header asks to be shown with."""

from __future__ import annotations

import math
from typing import Any

import numpy as np


def without_padding(stored: np.ndarray, dataset: Any, bright: bool) -> np.ndarray:
    """Stored values with those that stand for "no pixel here" replaced by the darkest real one.

    Pixel Padding Value and Pixel Padding Range Limit (PS3.3 C.7.5.1.1.2) name them before any transformation. Left in,
    they would be by far the darkest or brightest grey of the picture.

    Args:
        stored: (…, H, W), as decoded.
        dataset: of pydicom.
        bright: whether small stored values are shown bright.
    """
    try:
        first = int(dataset.get("PixelPaddingValue"))
        last = int(dataset.get("PixelPaddingRangeLimit", first))
    except (TypeError, ValueError):
        return stored
    if stored.dtype.kind not in "iu":
        return stored
    if stored.dtype.kind == "i":  # written as unsigned by some, whatever the pixels are (PS3.5 A.1)
        bits = 8 * stored.dtype.itemsize
        first, last = (one - (1 << bits) if one >= 1 << (bits - 1) else one for one in (first, last))
    inside = (stored >= min(first, last)) & (stored <= max(first, last))
    if not inside.any() or inside.all():
        return stored
    cleared = stored.copy()
    cleared[inside] = stored[~inside].max() if bright else stored[~inside].min()
    return cleared


def window(values: Any, mirror: float | None = None) -> tuple[float, float] | None:
    """(low, high) grey values, after the modality LUT, that a header asks to be shown as black and white.

    Args:
        values: the data set or functional group that holds Window Center and Window Width (PS3.3 C.11.2.1.2).
        mirror: what a grey value and its inverted one add up to where the picture is inverted, as for MONOCHROME1.

    Returns:
        Of the first window; None without one, or where it makes no sense.
    """
    try:
        centre, width = (_first(values.get(f"Window{name}")) for name in ("Center", "Width"))
    except (TypeError, ValueError, IndexError):
        return None
    if str(values.get("VOILUTFunction") or "LINEAR").strip() == "LINEAR":  # counts whole grey levels
        centre, width = centre - 0.5, width - 1
    if not (math.isfinite(centre) and math.isfinite(width)) or width <= 0:
        return None
    low, high = centre - width / 2, centre + width / 2
    return (low, high) if mirror is None else (mirror - high, mirror - low)


def _first(value: Any) -> float:
    return float(value if isinstance(value, (int, float, str)) else value[0])
