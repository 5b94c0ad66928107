"""Whether two pictures are the same picture, decided at pixel level.

The two are brought onto each other by a small affine motion (ECC: Evangelidis and Psarakis, "Parametric image
alignment using enhanced correlation coefficient maximization", IEEE TPAMI 2008) and compared window by window after
local contrast has been divided out. What counts is a low percentile over the windows: a copy agrees everywhere, a
neighbouring slice of the same head agrees in most places but never everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from tumorlens.audit.look import SIDE, flattened
from tumorlens.audit.orientation import turn

# Windows agreeing this well at the percentile below are the same picture. See benchmarks/audit_planted.py for how far
# copies (0.94 and more) and neighbouring slices (0.72 at most) lie apart.
SAME: Final = 0.85
_PERCENTILE = 15
_WINDOW = 17
_STEP = 4
_FEWEST = 30  # windows with structure below which nothing can be said
_TEXTURE = 5.0  # grey levels of local contrast that count as structure
_COVERED = 0.6  # share of a window that both pictures must show


@dataclass(frozen=True, slots=True)
class Agreement:
    """How well two pictures agree: ``median`` and ``worst`` (15th percentile) over windows, in [-1, 1]."""

    median: float
    worst: float

    @property
    def same(self) -> bool:
        """Whether they are the same picture."""
        return self.worst >= SAME


NONE: Final = Agreement(-1.0, -1.0)


def part(record: np.ndarray, box: int) -> np.ndarray:
    """What a box of a look shows, stretched to uint8 (SIDE, SIDE)."""
    picture = record["picture"]
    if box == 0:
        return np.asarray(picture)
    top, bottom, left, right = record["boxes"][box] * SIDE
    # Sub-pixel corners: the box is a share of the picture.
    motion = np.array([[(right - left) / SIDE, 0, left], [0, (bottom - top) / SIDE, top]], np.float32)
    motion[:, 2] += (motion[:, 0] + motion[:, 1] - (1, 1)) * 0.5
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(picture, motion, (SIDE, SIDE), flags=flags, borderMode=cv2.BORDER_REPLICATE))


def compare(a: np.ndarray, box_a: int, b: np.ndarray, box_b: int, orientation: int) -> Agreement:
    """How well look ``a`` (through one of its boxes, turned) agrees with look ``b`` (through one of its own)."""
    first, second = turn(part(a, box_a), orientation), part(b, box_b)
    motion = _motion(first, second)
    if motion is None:
        return NONE
    flags = cv2.WARP_INVERSE_MAP
    moved = cv2.warpAffine(first, motion, (SIDE, SIDE), flags=flags | cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    inside = cv2.warpAffine(np.ones((SIDE, SIDE), np.float32), motion, (SIDE, SIDE), flags=flags | cv2.INTER_NEAREST)
    return _agreement(moved, second, inside)


def _motion(first: np.ndarray, second: np.ndarray) -> np.ndarray | None:
    """Affine (2, 3) that brings ``first`` onto ``second``, or None when none is near; found at half the size."""
    half = SIDE // 2
    small = [
        cv2.GaussianBlur(
            flattened(cv2.resize(p, (half, half), interpolation=cv2.INTER_AREA), 3.0, floor=4.0)[0], (0, 0), 0.8
        )
        for p in (first, second)
    ]
    motion = np.eye(2, 3, dtype=np.float32)
    stop = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 25, 1e-4)
    try:
        _, motion = cv2.findTransformECC(small[1], small[0], motion, cv2.MOTION_AFFINE, stop, None, 1)
    except cv2.error:  # it did not converge: not the same picture
        return None
    if np.abs(motion[:, :2] - np.eye(2)).max() > 0.15 or np.abs(motion[:, 2]).max() > 0.2 * half:
        return None
    motion[:, 2] = motion[:, 2] * 2 + (1 - motion[:, :2].sum(axis=1)) * 0.5  # pixel centres lie at halves
    return np.asarray(motion)


def _agreement(first: np.ndarray, second: np.ndarray, inside: np.ndarray) -> Agreement:
    a, contrast_a = flattened(cv2.GaussianBlur(first, (0, 0), 0.8), 3.0, floor=4.0)
    b, contrast_b = flattened(cv2.GaussianBlur(second, (0, 0), 0.8), 3.0, floor=4.0)
    covered = _mean(inside)
    product, square_a, square_b = (_mean(x * y * inside) for x, y in ((a, b), (a, a), (b, b)))
    correlation = product / np.sqrt(square_a * square_b + 1e-6)
    weight = np.maximum(covered, 1e-6)
    texture = np.minimum(_mean(contrast_a * inside), _mean(contrast_b * inside)) / weight
    counted = (texture > _TEXTURE) & (covered > _COVERED)
    values = correlation[counted]
    if values.size < _FEWEST:
        return NONE
    return Agreement(float(np.median(values)), float(np.percentile(values, _PERCENTILE)))


def _mean(values: np.ndarray) -> np.ndarray:
    """Means over windows, on every fourth pixel that has a whole window around it."""
    edge = _WINDOW // 2
    return np.asarray(cv2.boxFilter(values, -1, (_WINDOW, _WINDOW))[edge:-edge:_STEP, edge:-edge:_STEP])
