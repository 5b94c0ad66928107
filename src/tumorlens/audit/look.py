"""How a picture looks, as a record of fixed size: what the audit needs of its pixels, made in one decoding."""

from __future__ import annotations

import hashlib
from typing import Final

import cv2
import numpy as np

from tumorlens.audit.framing import MOST_BOXES, boxes
from tumorlens.audit.marks import marks
from tumorlens.preprocess.stack import Stack

SIDE: Final = 128  # of the stored picture
TERMS: Final = 12  # cosine terms each way in a key
KEY: Final = TERMS * TERMS
_KEY_SIDE = 40
_WILD = 1e9
BINS: Final = 64  # of the histogram
BORDER: Final = 32  # values along a side of the picture

# Raise whenever a record of the same picture would differ.
VERSION: Final = 3

LOOK: Final = np.dtype(
    [
        ("pixels", "S32"),  # SHA-256 of size and 8-bit grey values: the same pixels, whatever file they are in
        ("shape", "u2", 2),
        ("picture", "u1", (SIDE, SIDE)),  # what lies in the first box, stretched to a square
        ("count", "u1"),  # how many boxes
        ("boxes", "f4", (MOST_BOXES, 4)),  # top, bottom, left, right as shares of the first box
        ("keys", "f2", (MOST_BOXES, KEY)),  # unit vectors: low cosine terms of the locally normalised box
        ("raw", "f4", 4),  # smallest, largest, mean and standard deviation of the values as they are in the file
        ("levels", "u2"),  # how many different 8-bit grey values
        ("histogram", "f2", BINS),  # shares of the 8-bit grey values
        # Top, bottom, left, right, each the outermost 4 % of the whole picture: values along it, mean, deviation.
        ("border", "f2", (4, BORDER + 2)),
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
    pixels = _finite(pixels)
    grey = to_grey(pixels)
    record = np.zeros((), LOOK)
    total = hashlib.sha256(repr(grey.shape).encode())
    total.update(grey.tobytes())
    record["pixels"] = total.digest()
    record["shape"] = np.minimum(grey.shape, 65535)
    record["raw"] = pixels.min(), pixels.max(), pixels.mean(), pixels.std()
    counts = np.bincount(grey.ravel(), minlength=256)
    record["levels"] = np.count_nonzero(counts)
    record["histogram"] = counts.reshape(BINS, -1).sum(axis=1) / grey.size
    record["border"] = border(grey)
    small = _limited(grey)
    found = boxes(small)
    top, bottom, left, right = found[0]
    record["picture"] = cv2.resize(small[top:bottom, left:right], (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    record["marks"] = min(len(marks(small)), 255)
    record["count"] = len(found)
    height, width = bottom - top, right - left
    for i, box in enumerate(found):
        a, b, c, d = box
        record["boxes"][i] = (a - top) / height, (b - top) / height, (c - left) / width, (d - left) / width
        record["keys"][i] = key(small[a:b, c:d])
    return record


def border(grey: np.ndarray) -> np.ndarray:
    """The outermost strips of a picture uint8 (H, W): float32 (4, BORDER + 2), 0 to 1."""
    deep = [max(1, round(0.04 * side)) for side in grey.shape]
    strips = (grey[: deep[0]], grey[-deep[0] :], grey[:, : deep[1]].T, grey[:, -deep[1] :].T)
    found = np.empty((4, BORDER + 2), np.float32)
    for row, strip in zip(found, strips, strict=True):
        line = cv2.resize(np.ascontiguousarray(strip), (BORDER, 1), interpolation=cv2.INTER_AREA)
        row[:BORDER], row[BORDER], row[BORDER + 1] = line[0], strip.mean(), strip.std()
    return found / np.float32(255)


def _finite(pixels: np.ndarray) -> np.ndarray:
    """float32 (H, W) without NaN, infinities and values beyond a thousand million."""
    pixels = np.asarray(pixels, np.float32)
    if cv2.checkRange(pixels, True, -_WILD, _WILD)[0]:
        return pixels
    return np.asarray(np.clip(np.nan_to_num(pixels, nan=0.0, posinf=0.0, neginf=0.0), -_WILD, _WILD))


def to_grey(pixels: np.ndarray) -> np.ndarray:
    """uint8 (H, W) from finite float32: 8-bit values as they are, others from the 0.1 to the 99.9 percentile."""
    low, high, _, _ = cv2.minMaxLoc(pixels)
    if low >= 0 and high <= 255 and high > 1:
        return np.asarray(cv2.convertScaleAbs(pixels))  # rounds
    low, high = (float(v) for v in np.percentile(pixels, (0.1, 99.9)))
    scaled = (pixels - np.float32(low)) * np.float32(255 / max(high - low, 1e-6))
    return np.asarray(np.clip(np.rint(scaled), 0, 255), np.uint8)


def _limited(grey: np.ndarray, longest: int = 384) -> np.ndarray:
    """Halved until no side is longer than ``longest``: more detail costs time and decides nothing."""
    while max(grey.shape) > longest and min(grey.shape) >= 32:
        grey = np.asarray(cv2.resize(grey, (grey.shape[1] // 2, grey.shape[0] // 2), interpolation=cv2.INTER_AREA))
    return grey


def key(picture: np.ndarray) -> np.ndarray:
    """What a picture uint8 (H, W) looks like from afar: float32 (KEY,), length 1.

    Local mean and contrast are taken out first, so brightness, contrast, gamma and CLAHE hardly matter; a square of
    low cosine terms then turns and mirrors by changing signs and places only.
    """
    small = cv2.resize(picture, (_KEY_SIDE, _KEY_SIDE), interpolation=cv2.INTER_AREA)
    flat = np.clip(flattened(small, 3.0, floor=5.0)[0], -2.5, 2.5)
    terms = cv2.dct(flat)[:TERMS, :TERMS].copy()
    terms[0, 0] = 0
    length = float(np.linalg.norm(terms))
    return np.asarray(terms.ravel() / max(length, 1e-9), np.float32)


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
