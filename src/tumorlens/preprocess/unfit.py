"""Pictures that cannot be a slice of a scan, told without a network: blank ones, masks, drawings, strips.

A gate that learned from pictures may be mistaken about such things, and a model without one names a class for each of
them. Masks lie beside the slices of many data sets, and are easily given in their place. What gets no answer in service
has no part in training and scores either.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np

FEWEST_GREYS = 9
LONGEST = 4  # times the shorter side
_SAMPLE = 2048  # pixels that nearly always show enough grey values


class Unfit(IntEnum):
    """Why a picture is no slice. The numbers are kept in the image cache, in the place of a record's."""

    BLANK = -1
    STRIP = -2
    FEW_GREYS = -3

    @property
    def code(self) -> str:
        """A word for machines."""
        return self.name.lower()

    @property
    def reason(self) -> str:
        """In words, of a picture that somebody gives."""
        return _REASONS[self]


_REASONS = {
    Unfit.BLANK: "the slice is blank: every pixel has the same value",
    Unfit.STRIP: f"its longer side is more than {LONGEST} times the shorter, as that of no slice is",
    Unfit.FEW_GREYS: f"it has fewer than {FEWEST_GREYS} grey values: a mask, a drawing, or nearly blank",
}


def unfit(pixels: np.ndarray, image: np.ndarray) -> Unfit | None:
    """Why a picture is no slice; None where it may be one.

    Args:
        pixels: float32 (H, W), as decoded.
        image: uint8 (S, S), the same as the network sees it.
    """
    return Unfit.BLANK if image.max() == image.min() else by_pixels(pixels)


def by_pixels(pixels: np.ndarray) -> Unfit | None:
    """The same from nothing but float32 (H, W), as decoded."""
    short, long = sorted(pixels.shape)
    if long > LONGEST * short:
        return Unfit.STRIP
    return Unfit.FEW_GREYS if _few_greys(pixels) else None


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
