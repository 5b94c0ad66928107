"""Writing burnt into a picture beside the head: bright lines of small things in the dark, away from the head.

Nothing is read. Writing across the head, a single letter and an arrow are not seen here.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np

_BRIGHT: Final = 70  # grey levels above which something in the air may be a mark
_AIR: Final = 25  # grey levels of a blurred picture below which nothing is
_SHORTEST: Final = 4  # pixels of height of a line
_TALLEST: Final = 0.07  # of the picture's height
_LONG: Final = 1.4  # times as wide as high
_APART: Final = 0.03  # of the picture's side that writing keeps away from the head
_SMALLEST: Final = 128  # pixels of side below which nobody could read anything


def marks(grey: np.ndarray) -> np.ndarray:
    """Boxes of lines that may be writing: int32 (M, 4) of left, top, width, height.

    Args:
        grey: uint8 (H, W), no side longer than about 512.
    """
    height, width = grey.shape
    none = np.empty((0, 4), np.int32)
    if min(height, width) < _SMALLEST:
        return none
    bright = cv2.compare(grey, _BRIGHT, cv2.CMP_GT)
    bright[:2], bright[-2:], bright[:, :2], bright[:, -2:] = 0, 0, 0, 0  # a frame around the picture
    head = cv2.resize(_head(grey), (width, height), interpolation=cv2.INTER_NEAREST)
    # Letters of a word join. What reaches into the head's surroundings belongs to the head, not only what lies there.
    bright[head > 0] = 0
    lines = cv2.morphologyEx(bright, cv2.MORPH_CLOSE, _box(max(3, min(height, width) // 50), 1))
    if not cv2.countNonZero(lines):
        return none
    count, labels, found, _ = cv2.connectedComponentsWithStats(lines)
    lit = lines > 0
    beside = cv2.dilate(head, _box(3, 3)) > 0
    touching = np.bincount(labels[lit & beside], minlength=count)
    tall, wide = found[:, cv2.CC_STAT_HEIGHT], found[:, cv2.CC_STAT_WIDTH]
    good = (touching == 0) & (tall >= _SHORTEST) & (tall <= _TALLEST * height) & (wide >= _LONG * tall)
    good[0] = False  # the background
    return np.asarray(found[good][:, :4])


def _head(grey: np.ndarray) -> np.ndarray:
    """The convex hull of everything large, and a margin: uint8 at half the size, not 0 inside.

    A hull, because what lies between jaw and neck is no writing either.
    """
    small = cv2.resize(grey, (grey.shape[1] // 2, grey.shape[0] // 2), interpolation=cv2.INTER_AREA)
    side = min(small.shape)
    lit = cv2.compare(cv2.blur(small, (3, 3)), _AIR, cv2.CMP_GT)
    _, labels, found, _ = cv2.connectedComponentsWithStats(lit)
    large = np.maximum(found[:, cv2.CC_STAT_WIDTH], found[:, cv2.CC_STAT_HEIGHT]) >= side // 4
    large[0] = False
    points = cv2.findNonZero(large.astype(np.uint8)[labels])
    hull = np.zeros_like(lit)
    if points is not None:
        cv2.fillConvexPoly(hull, cv2.convexHull(points), 255)
    margin = 2 * round(_APART * side) + 1
    return np.asarray(cv2.dilate(hull, _box(margin, margin)))


def _box(wide: int, tall: int) -> np.ndarray:
    return np.ones((tall, wide), np.uint8)
