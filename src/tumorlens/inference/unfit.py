"""Pictures that cannot be a slice of a scan, told without a network: blank ones, masks, drawings, strips, icons.

A gate that learned from pictures may be mistaken about such things, and a model without one names a class for each of
them. Masks lie beside the slices of many data sets, and are easily given in their place.
"""

from __future__ import annotations

import numpy as np

from tumorlens.inference.result import BLANK

FEWEST_GREYS = 9
LONGEST = 4  # times the shorter side
SMALLEST = 32  # pixels
_SAMPLE = 2048  # pixels that nearly always show enough grey values


def unfit(pixels: np.ndarray, image: np.ndarray, *, gated: bool) -> str | None:
    """Why a picture gets no answer, in words; None where it may be a slice.

    Args:
        pixels: float32 (H, W), as decoded.
        image: uint8 (S, S), the same as the network sees it.
        gated: whether the model has a gate. One without may have learned from pictures of any size, and answers them.
    """
    if image.max() == image.min():
        return BLANK
    short, long = sorted(pixels.shape)
    size = f"{pixels.shape[1]} × {pixels.shape[0]} pixels"
    if long > LONGEST * short:
        return f"it has {size}: no slice has a longer side of more than {LONGEST} times the shorter"
    if gated and short < SMALLEST:
        return f"it has {size}, too small for a slice: the shorter side must have {SMALLEST} or more"
    if _few_greys(pixels):
        return f"it has fewer than {FEWEST_GREYS} grey values: a mask, a drawing, or nearly blank"
    return None


def _few_greys(pixels: np.ndarray) -> bool:
    values = pixels.ravel()
    # Most pictures show enough of them at a glance.
    return _fewer(values[:: max(1, values.size // _SAMPLE)]) and _fewer(values)


def _fewer(values: np.ndarray) -> bool:
    """Whether so few different finite values are among these."""
    left = values[np.isfinite(values)]
    for _ in range(FEWEST_GREYS - 1):
        if not left.size:
            return True
        left = left[left != left[0]]
    return not left.size
