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
# copies and neighbouring slices lie apart.
SAME: Final = 0.85
# Raise whenever the agreement of the same two pictures would differ.
VERSION: Final = 1
# Sides at which the motion is found. A coarse motion decides nearly every pair; it is refined where it does not.
_COARSE: Final = 32
_FINE: Final = 64
_ROUNDS: Final = 12
_DOUBTFUL: Final = 0.55
_PERCENTILE: Final = 15
_STEP: Final = 4  # pixels from window to window
_WINDOW: Final = 4  # steps
_FEWEST: Final = 30  # windows with structure below which nothing can be said
_TEXTURE: Final = 5.0  # grey levels of local contrast that count as structure
_COVERED: Final = 0.6  # share of a window that both pictures must show

_BILINEAR: Final = cv2.WARP_INVERSE_MAP | cv2.INTER_LINEAR
_EVERYWHERE: Final = np.ones((SIDE, SIDE), np.uint8)


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
    return np.asarray(cv2.warpAffine(picture, motion, (SIDE, SIDE), flags=_BILINEAR, borderMode=cv2.BORDER_REPLICATE))


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A picture ready to be compared: ``flat`` and its local ``contrast``, float32 (SIDE, SIDE)."""

    flat: np.ndarray
    contrast: np.ndarray

    def small(self, side: int) -> np.ndarray:
        """For finding the motion: float32 (side, side)."""
        return np.asarray(
            cv2.GaussianBlur(cv2.resize(self.flat, (side, side), interpolation=cv2.INTER_AREA), (0, 0), 0.8)
        )


def _prepared(picture: np.ndarray) -> _Prepared:
    return _Prepared(*flattened(cv2.GaussianBlur(picture, (0, 0), 0.8), 3.0, floor=4.0))


def compare(a: np.ndarray, box_a: int, b: np.ndarray, box_b: int, orientation: int) -> Agreement:
    """How well look ``a`` (through one of its boxes, turned) agrees with look ``b`` (through one of its own)."""
    first, second = _prepared(turn(part(a, box_a), orientation)), _prepared(part(b, box_b))
    motion = _motion(first, second, _COARSE, np.eye(2, 3, dtype=np.float32))
    found = NONE if motion is None else _agreement(first, second, motion)
    if motion is None or _DOUBTFUL <= found.worst < SAME:
        start = np.eye(2, 3, dtype=np.float32) if motion is None else motion
        motion = _motion(first, second, _FINE, start)
        better = NONE if motion is None else _agreement(first, second, motion)
        found = max(found, better, key=lambda agreement: agreement.worst)
    return found


def _motion(first: _Prepared, second: _Prepared, side: int, start: np.ndarray) -> np.ndarray | None:
    """Affine (2, 3) in pixels of SIDE that brings ``first`` onto ``second``, or None when none is near.

    Args:
        first: what is moved.
        second: what it is brought onto.
        side: at which size.
        start: a motion that is near.
    """
    motion = _scaled(start, side / SIDE)
    stop = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, _ROUNDS, 1e-4)
    try:
        _, motion = cv2.findTransformECC(
            second.small(side), first.small(side), motion, cv2.MOTION_AFFINE, stop, None, 1
        )
    except cv2.error:  # it did not converge: not the same picture
        return None
    if np.abs(motion[:, :2] - np.eye(2)).max() > 0.15 or np.abs(motion[:, 2]).max() > 0.2 * side:
        return None
    return _scaled(motion, SIDE / side)


def _scaled(motion: np.ndarray, times: float) -> np.ndarray:
    """The same motion in a picture ``times`` as large: pixel centres lie at halves."""
    result = np.array(motion, np.float32)
    result[:, 2] = motion[:, 2] * times + (1 - motion[:, :2].sum(axis=1)) * (times - 1) * 0.5
    return result


def _agreement(first: _Prepared, second: _Prepared, motion: np.ndarray) -> Agreement:
    def moved(picture: np.ndarray) -> np.ndarray:
        return np.asarray(
            cv2.warpAffine(picture, motion, (SIDE, SIDE), flags=_BILINEAR, borderMode=cv2.BORDER_REPLICATE)
        )

    nearest = cv2.WARP_INVERSE_MAP | cv2.INTER_NEAREST
    inside = cv2.warpAffine(_EVERYWHERE, motion, (SIDE, SIDE), flags=nearest).astype(np.float32)
    a, b = moved(first.flat), second.flat
    covered = _mean(inside)
    a *= inside
    product, square_a = _mean(a * b), _mean(a * a)
    contrast = _mean(moved(first.contrast) * inside), _mean(second.contrast * inside)
    inside *= b
    inside *= b
    correlation = product / np.sqrt(square_a * _mean(inside) + 1e-6)
    texture = np.minimum(*contrast) / np.maximum(covered, 1e-6)
    values = np.sort(correlation[(texture > _TEXTURE) & (covered > _COVERED)])
    if values.size < _FEWEST:
        return NONE
    return Agreement(_percentile(values, 50), _percentile(values, _PERCENTILE))


def _percentile(ordered: np.ndarray, percent: float) -> float:
    """As NumPy's, of values in order."""
    place = (len(ordered) - 1) * percent / 100
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return float(ordered[low] + (ordered[high] - ordered[low]) * (place - low))


def _mean(values: np.ndarray) -> np.ndarray:
    """Means over windows, on every fourth pixel that has a whole window around it."""
    side = SIDE // _STEP
    coarse = cv2.resize(values, (side, side), interpolation=cv2.INTER_AREA)
    edge = _WINDOW // 2
    return np.asarray(cv2.blur(coarse, (_WINDOW, _WINDOW))[edge : 1 - edge, edge : 1 - edge])
