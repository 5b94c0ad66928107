"""Where the head is in a slice: what is brighter than the air around it. Pure NumPy and OpenCV."""

from __future__ import annotations

import cv2
import numpy as np

# The air is what the border of the picture shows, unless that is as uneven as a head that is cut off. In shares of the
# picture's range: how uneven air may be, how bright, and from what level on it is not air but stripes over everything.
_UNEVEN, _BRIGHT, _STRIPED = 0.06, 0.6, 0.03
_BORDER = 6  # pixels
_SOFT = (5, 5)  # averaged over, so that noise is no unevenness and stripes are a level

# Otsu's threshold would cut dark brain away from bright scalp fat; a fraction of it separates head from air. A picture
# whose tissues are dark needs less, which is safe as far as the air is known to lie below.
_OTSU, _OTSU_LEAST = 0.4, 0.15
_ABOVE_AIR = 4.0  # times the unevenness of the air
_STEP = 10.0  # grey values of 255
_LEAST = 8.0  # grey values of 255


def head_mask(pixels: np.ndarray) -> np.ndarray:
    """Where the head is: what is brighter than air and whatever that encloses, its largest piece.

    Args:
        pixels: float32 (H, W), finite.

    Returns:
        bool (H, W); all false for a picture of one grey value.
    """
    lowest, highest, _, _ = cv2.minMaxLoc(pixels)
    filled = np.zeros(pixels.shape, np.uint8)
    if highest - lowest < 1e-6:
        return filled > 0
    outlines, _ = cv2.findContours(
        _brighter_than_air(pixels, lowest, highest), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE
    )
    if outlines:
        cv2.drawContours(filled, [max(outlines, key=cv2.contourArea)], -1, 255, cv2.FILLED)
    return np.asarray(filled > 0)


def head_box(scout: np.ndarray, margin: float, *, border: bool = True) -> tuple[int, int, int, int]:
    """Rows and columns that hold the head and a margin.

    Args:
        scout: float32 (h, w), finite, a small copy of the slice.
        margin: kept around the head, as a share of its longer side.
        border: whether the border of the picture may tell what air looks like (not so in algorithm 1).

    Returns:
        top, bottom, left, right; the whole picture where nothing stands out.
    """
    lowest, highest, _, _ = cv2.minMaxLoc(scout)
    whole = (0, scout.shape[0], 0, scout.shape[1])
    if highest - lowest < 1e-6:
        return whole
    mask = _brighter_than_air(scout, lowest, highest, border=border)
    outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    boxes = [cv2.boundingRect(outline) for outline in outlines]
    largest = max((box[2] * box[3] for box in boxes), default=0)
    # The head may fall into pieces at a dark skull; specks and letters in a corner are much smaller.
    pieces = [box for box in boxes if box[2] * box[3] >= max(largest * 0.1, 16)]
    if not pieces:
        return whole
    left, top = min(box[0] for box in pieces), min(box[1] for box in pieces)
    right, bottom = max(box[0] + box[2] for box in pieces), max(box[1] + box[3] for box in pieces)
    extra = round(margin * max(bottom - top, right - left))
    return (
        max(0, top - extra),
        min(scout.shape[0], bottom + extra),
        max(0, left - extra),
        min(scout.shape[1], right + extra),
    )


def grey_window(values: np.ndarray, low: float, high: float) -> tuple[float, float]:
    """The grey values at two percentiles."""
    values = values.ravel()
    ranks = round(low / 100 * (values.size - 1)), round(high / 100 * (values.size - 1))
    ordered = np.partition(values, ranks)  # cheaper than sorting, and than np.percentile's interpolation
    return float(ordered[ranks[0]]), float(ordered[ranks[1]])


def _brighter_than_air(picture: np.ndarray, lowest: float, highest: float, *, border: bool = True) -> np.ndarray:
    """uint8 (h, w): 255 where there is head."""
    # A few pixels far brighter than everything else must not make the head look like air.
    _, top = grey_window(picture[::2, ::2], 0, 99.8)
    top = top if top - lowest > 1e-6 else highest
    reach = top - lowest
    soft = cv2.blur(picture, _SOFT)
    air, brighter = grey_window(_border(soft), 25, 60)
    known = border and brighter - air < _UNEVEN * reach and air - lowest < _BRIGHT * reach
    if known and air - lowest > _STRIPED * reach:
        # Noise or stripes everywhere: only what is above them on average is head.
        picture, lowest = soft, air
    alpha = 255 / max(top - lowest, 1e-6)
    grey = cv2.convertScaleAbs(np.clip(picture, lowest, top), alpha=alpha, beta=-lowest * alpha)
    otsu, _ = cv2.threshold(grey, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    limit = _OTSU * otsu
    if known:
        limit = min(limit, max(_OTSU_LEAST * otsu, alpha * (air - lowest + _ABOVE_AIR * (brighter - air)) + _STEP))
    _, mask = cv2.threshold(grey, max(limit, _LEAST), 255, cv2.THRESH_BINARY)
    return np.asarray(cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8)))


def _border(picture: np.ndarray) -> np.ndarray:
    """The grey values along the four sides."""
    sides = picture[:_BORDER], picture[-_BORDER:], picture[:, :_BORDER], picture[:, -_BORDER:]
    return np.concatenate([side.ravel() for side in sides])
