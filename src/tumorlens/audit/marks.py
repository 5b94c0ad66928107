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
_STROKES: Final = 3  # in a row of pixels, as in any two letters
_FRAME: Final = 2  # pixels of a line around the picture
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
    bright[:_FRAME], bright[-_FRAME:], bright[:, :_FRAME], bright[:, -_FRAME:] = 0, 0, 0, 0
    head = cv2.resize(_head(grey), (width, height), interpolation=cv2.INTER_NEAREST)
    bright = cv2.bitwise_and(bright, cv2.bitwise_not(head))
    if cv2.countNonZero(bright) < _SHORTEST:
        return none
    # Letters of a word join.
    lines = cv2.morphologyEx(bright, cv2.MORPH_CLOSE, _box(max(3, min(height, width) // 50), 1))
    count, labels, found, _ = cv2.connectedComponentsWithStats(lines)
    # What reaches into the margin of the head is cut there, and belongs to the head.
    beside = cv2.bitwise_and(lines, cv2.dilate(head, _box(3, 3)))
    touching = np.bincount(labels[beside > 0], minlength=count)
    tall, wide = found[:, cv2.CC_STAT_HEIGHT], found[:, cv2.CC_STAT_WIDTH]
    good = (touching == 0) & (tall >= _SHORTEST) & (tall <= _TALLEST * height) & (wide >= _LONG * tall)
    good[0] = False  # the background
    boxes = found[good][:, :4]
    return np.asarray([box for box in boxes if _strokes(bright, box) >= _STROKES], np.int32).reshape(-1, 4)


def _strokes(bright: np.ndarray, box: np.ndarray) -> int:
    """How many strokes a usual row of a box crosses; a shoulder or a coil at the edge is one or two."""
    left, top, wide, tall = box.tolist()
    part = bright[top : top + tall, left : left + wide] > 0
    starts = part[:, 1:] & ~part[:, :-1]
    return int(np.median(starts.sum(axis=1) + part[:, 0]))


def _head(grey: np.ndarray) -> np.ndarray:
    """The convex hull of everything large, and a margin: uint8 at half the size, not 0 inside.

    A hull, because what lies between jaw and neck is no writing either.
    """
    small = cv2.resize(grey, (grey.shape[1] // 2, grey.shape[0] // 2), interpolation=cv2.INTER_AREA)
    side = min(small.shape)
    lit = cv2.compare(cv2.blur(small, (3, 3)), _AIR, cv2.CMP_GT)
    outlines, _ = cv2.findContours(lit, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    large = [outline for outline in outlines if max(cv2.boundingRect(outline)[2:]) >= side // 4]
    hull = np.zeros_like(lit)
    if large:
        cv2.fillConvexPoly(hull, cv2.convexHull(np.concatenate(large)), 255)
    margin = 2 * round(_APART * side) + 1
    return np.asarray(cv2.dilate(hull, _box(margin, margin)))


def _box(wide: int, tall: int) -> np.ndarray:
    return np.ones((tall, wide), np.uint8)
