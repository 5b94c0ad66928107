"""Which part of a picture counts: without its plain margin, the head alone, and what a cropped copy would show.

Copies in public sets are padded to a square, cropped by a few percent, or cut to the head. Pictures are therefore
compared through several boxes; a copy matches its original through at least one pair of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np

# Grey levels by which a row of a plain margin may vary. The first is how pictures are looked up; a copy whose air was
# brightened (gamma, CLAHE) or darkened (contrast) is cut where its original would be cut with another of these.
PLAIN: Final = (6, 0, 2, 15)
# The same for the share of the way from air to bright tissue above which something belongs to the head.
HEAD: Final = (0.18, 0.06, 0.1, 0.3)
# What is cut off each side to imitate cropped copies. Between two values at most 2 % of the side is left over.
INSETS: Final = (0.04, 0.08, 0.12)
MOST_BOXES: Final = 12
_SCOUT = 96
_SMALLEST = 16

Box = tuple[int, int, int, int]  # top, bottom, left, right in pixels; half open


def trimmed(picture: np.ndarray, levels: Sequence[int]) -> list[Box]:
    """The boxes without rows and columns at the edge that vary by so many grey levels at most (padding, black air)."""
    height, width = picture.shape
    rows = _range(picture, 1)
    columns: dict[tuple[int, int], np.ndarray] = {}  # the same few rows are left again and again
    found: list[Box] = []
    for plain in levels:
        kept = np.flatnonzero(rows > plain)
        if not kept.size:
            found.append((0, height, 0, width))
            continue
        top, bottom = int(kept[0]), int(kept[-1]) + 1
        if (top, bottom) not in columns:
            columns[top, bottom] = _range(picture[top:bottom], 0)
        kept = np.flatnonzero(columns[top, bottom] > plain)
        if not kept.size:  # one bright row in a plain picture: each of its columns is plain by itself
            found.append((0, height, 0, width))
            continue
        found.append((top, bottom, int(kept[0]), int(kept[-1]) + 1))
    return found


def _range(picture: np.ndarray, axis: int) -> np.ndarray:
    """Largest minus smallest value along an axis, int16."""
    return np.asarray(picture.max(axis=axis).astype(np.int16) - picture.min(axis=axis))


def heads(picture: np.ndarray) -> list[Box]:
    """The boxes of what is brighter than air by each share of :data:`HEAD`, largest pieces only."""
    height, width = picture.shape
    scout = cv2.resize(picture, (_SCOUT, _SCOUT), interpolation=cv2.INTER_AREA)
    scout = cv2.GaussianBlur(scout.astype(np.float32), (0, 0), 1.2)
    ordered = np.sort(scout[::2, ::2], axis=None)
    dark, bright = float(ordered[len(ordered) // 50]), float(ordered[-len(ordered) // 50])
    down, across = height / _SCOUT, width / _SCOUT
    found: list[Box] = []
    for share in HEAD:
        mask = (scout > dark + share * (bright - dark)).astype(np.uint8)
        mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
        outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        if not outlines:
            found.append((0, height, 0, width))
            continue
        pieces = np.array([cv2.boundingRect(outline) for outline in outlines])
        areas = np.array([cv2.contourArea(outline) for outline in outlines])
        kept = pieces[areas >= 0.1 * areas.max()]
        left, top = kept[:, 0].min(), kept[:, 1].min()
        right, bottom = (kept[:, 0] + kept[:, 2]).max(), (kept[:, 1] + kept[:, 3]).max()
        found.append((round(top * down), round(bottom * down), round(left * across), round(right * across)))
    return found


def boxes(picture: np.ndarray) -> list[Box]:
    """Boxes of a picture uint8 (H, W): without its margin, then the head, then what copies of it may show.

    Boxes that are nearly equal are listed once. The first two are those that a copy is looked up with.
    """
    height, width = picture.shape
    whole, *otherwise = trimmed(picture, PLAIN)
    top, bottom, left, right = whole
    inner = [(a + top, b + top, c + left, d + left) for a, b, c, d in heads(picture[top:bottom, left:right])]
    wanted = [whole, inner[0], *otherwise, *inner[1:]]
    for inset in INSETS:
        down, across = round(inset * height), round(inset * width)
        wanted += [
            (max(a, down), min(b, height - down), max(c, across), min(d, width - across)) for a, b, c, d in wanted[:2]
        ]
    found: list[Box] = []
    for box in wanted:
        large = box[1] - box[0] >= _SMALLEST and box[3] - box[2] >= _SMALLEST
        if large and not any(_same(box, other, height, width) for other in found):
            found.append(box)
    return found[:MOST_BOXES] or [(0, height, 0, width)]


def _same(a: Box, b: Box, height: int, width: int) -> bool:
    sides = (height, height, width, width)
    return all(abs(x - y) <= 0.02 * side for x, y, side in zip(a, b, sides, strict=True))
