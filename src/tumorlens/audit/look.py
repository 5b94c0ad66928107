"""How a picture looks, as a record of fixed size: what the audit needs of its pixels, made in one decoding."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np

from tumorlens.audit.framing import MOST_BOXES, boxes
from tumorlens.audit.marks import marks
from tumorlens.preprocess.stack import Stack
from tumorlens.preprocess.unfit import by_pixels

SIDE: Final = 128  # of the stored picture
TERMS: Final = 12  # cosine terms each way in a key
KEY: Final = TERMS * TERMS
_KEY_SIDE = 40
_WILD = 1e9
BINS: Final = 64  # of the histogram
BORDER: Final = 32  # values along a side of the picture

# Raise whenever a record of the same picture would differ.
VERSION: Final = 5

LOOK: Final = np.dtype(
    [
        ("pixels", "S32"),  # SHA-256 of size and 8-bit grey values: the same pixels, whatever file they are in
        ("shape", "u2", 2),
        ("picture", "u1", (SIDE, SIDE)),  # what lies in the first box, stretched to a square
        ("count", "u1"),  # how many boxes
        ("boxes", "f4", (MOST_BOXES, 4)),  # top, bottom, left, right as shares of the first box
        ("keys", "f2", (MOST_BOXES, KEY)),  # unit vectors: low cosine terms of the locally normalised box
        ("raw", "f4", 2),  # smallest and largest of the values as they are in the file
        ("histogram", "f2", BINS),  # shares of the 8-bit grey values
        # Top, bottom, left, right, each the outermost 4 % of the whole picture: values along it, mean, deviation.
        ("border", "f2", (4, BORDER + 2)),
        ("unfit", "i1"),  # why it is no slice, see tumorlens.preprocess.unfit; 0 where it may be one
        ("marks", "u1"),  # letter-like pieces beside the head, see tumorlens.audit.marks
    ]
)


# Records (N,), in memory or in the image cache.
Looks = np.ndarray | Stack


class LookForm:
    """Looks as records of the image cache."""

    key = f"look-{VERSION}"
    dtype = LOOK
    shape: tuple[int, ...] = ()

    def make(self, pixels: np.ndarray) -> np.ndarray:
        """See :func:`look`."""
        return look(pixels)


def look(pixels: np.ndarray) -> np.ndarray:
    """The record of a slice.

    Args:
        pixels: float32 (H, W), any range.

    Returns:
        A :data:`LOOK` scalar array of shape ().
    """
    record = np.zeros((), LOOK)
    record["unfit"] = by_pixels(pixels) or 0
    pixels, low, high = _finite(pixels)
    grey = to_grey(pixels, low, high)
    total = hashlib.sha256(repr(grey.shape).encode())
    total.update(grey.data)
    record["pixels"] = total.digest()
    record["shape"] = np.minimum(grey.shape, 65535)
    record["raw"] = low, high
    some = np.ascontiguousarray(grey[:: 1 + grey.shape[0] // 512])  # every second row of a large picture says as much
    counts = cv2.calcHist([some], [0], None, [256], [0, 256])
    record["histogram"] = counts.reshape(BINS, -1).sum(axis=1) / some.size
    record["border"] = border(grey)
    small = _limited(grey)
    found = boxes(small)
    top, bottom, left, right = found[0]
    record["picture"] = cv2.resize(small[top:bottom, left:right], (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    record["marks"] = min(len(marks(small)), 255)
    record["count"] = len(found)
    height, width = bottom - top, right - left
    coarse = _halved(small) if min(small.shape) >= 4 * _KEY_SIDE else small
    scale = coarse.shape[0] / small.shape[0], coarse.shape[1] / small.shape[1]
    parts = []
    for i, (a, b, c, d) in enumerate(found):
        record["boxes"][i] = (a - top) / height, (b - top) / height, (c - left) / width, (d - left) / width
        rows, columns = (slice(round(x * by), round(y * by)) for x, y, by in ((a, b, scale[0]), (c, d, scale[1])))
        parts.append(coarse[rows, columns])
    record["keys"][: len(found)] = keys(parts)
    return record


def border(grey: np.ndarray) -> np.ndarray:
    """The outermost strips of a picture uint8 (H, W): float32 (4, BORDER + 2), 0 to 1."""
    deep = [max(1, round(0.04 * side)) for side in grey.shape]
    strips = (grey[: deep[0]], grey[-deep[0] :], grey[:, : deep[1]].T, grey[:, -deep[1] :].T)
    found = np.empty((4, BORDER + 2), np.float32)
    for row, strip in zip(found, strips, strict=True):
        strip = np.ascontiguousarray(strip)
        line = cv2.resize(strip, (BORDER, 1), interpolation=cv2.INTER_AREA)
        mean, deviation = cv2.meanStdDev(strip)
        row[:BORDER], row[BORDER], row[BORDER + 1] = line[0], mean[0, 0], deviation[0, 0]
    return found / np.float32(255)


def _finite(pixels: np.ndarray) -> tuple[np.ndarray, float, float]:
    """float32 (H, W) without NaN, infinities and values beyond a thousand million; its smallest and largest value."""
    pixels = np.ascontiguousarray(pixels, np.float32)
    low, high, _, _ = cv2.minMaxLoc(pixels)
    with np.errstate(over="ignore", invalid="ignore"):
        finite = bool(np.isfinite(pixels.sum())) and low >= -_WILD and high <= _WILD
    if not finite:
        pixels = np.clip(np.nan_to_num(pixels, nan=0.0, posinf=0.0, neginf=0.0), -_WILD, _WILD)
        low, high, _, _ = cv2.minMaxLoc(pixels)
    return pixels, low, high


def to_grey(pixels: np.ndarray, low: float, high: float) -> np.ndarray:
    """uint8 (H, W) from finite float32: 8-bit values as they are, others from the 0.1 to the 99.9 percentile.

    Args:
        pixels: the values.
        low: the smallest of them.
        high: the largest.
    """
    if low >= 0 and high <= 255 and high > 1:
        return np.asarray(cv2.convertScaleAbs(pixels))  # rounds
    low, high = (float(v) for v in np.percentile(pixels, (0.1, 99.9)))
    scaled = (pixels - np.float32(low)) * np.float32(255 / max(high - low, 1e-6))
    return np.asarray(np.clip(np.rint(scaled), 0, 255), np.uint8)


def _limited(grey: np.ndarray, longest: int = 384) -> np.ndarray:
    """Halved until no side is longer than ``longest``: more detail costs time and decides nothing."""
    while max(grey.shape) > longest and min(grey.shape) >= 32:
        grey = _halved(grey)
    return grey


def _halved(grey: np.ndarray) -> np.ndarray:
    return np.asarray(cv2.resize(grey, (grey.shape[1] // 2, grey.shape[0] // 2), interpolation=cv2.INTER_AREA))


def keys(pictures: Sequence[np.ndarray]) -> np.ndarray:
    """What pictures uint8 (H, W) look like from afar: float32 (len(pictures), KEY), each of length 1.

    Local mean and contrast are taken out first, so brightness, contrast, gamma and CLAHE hardly matter; a square of
    low cosine terms then turns and mirrors by changing signs and places only.
    """
    side = (_KEY_SIDE, _KEY_SIDE)
    small = np.array([cv2.resize(picture, side, interpolation=cv2.INTER_AREA) for picture in pictures], np.float32)
    # As `flattened` does it, but for all of them at once: blurring and the transform are products of matrices.
    rest = small - _BLUR @ small @ _BLUR.T
    contrast = np.sqrt(np.maximum(_BLUR @ (rest * rest) @ _BLUR.T, 0))
    terms = _COSINES @ np.clip(rest / (contrast + np.float32(5.0)), -2.5, 2.5) @ _COSINES.T
    terms = terms.reshape(len(small), KEY)
    terms[:, 0] = 0
    return np.asarray(terms / np.maximum(np.linalg.norm(terms, axis=1, keepdims=True), 1e-9))


_EACH: Final = np.eye(_KEY_SIDE, dtype=np.float32)
_BLUR: Final = np.asarray(cv2.sepFilter2D(_EACH, -1, np.ones(1), cv2.getGaussianKernel(25, 3.0)))
_COSINES: Final = np.asarray(cv2.dct(_EACH, flags=cv2.DCT_ROWS).T[:TERMS])


def flattened(picture: np.ndarray, sigma: float, *, floor: float) -> tuple[np.ndarray, np.ndarray]:
    """Local mean taken out, divided by local contrast; also that contrast. Both float32 (H, W).

    Args:
        picture: (H, W) in grey levels.
        sigma: pixels over which "local" reaches.
        floor: grey levels of contrast below which nothing is amplified.
    """
    picture = picture.astype(np.float32)
    rest = picture - cv2.GaussianBlur(picture, (0, 0), sigma)
    contrast = np.sqrt(cv2.GaussianBlur(rest * rest, (0, 0), sigma))
    return np.asarray(rest / (contrast + np.float32(floor))), np.asarray(contrast)


def same_pixels(looks: Looks) -> list[bytes]:
    """A key per picture that is equal where size and 8-bit grey values are."""
    return [bytes(value) for value in np.asarray(looks["pixels"])]
