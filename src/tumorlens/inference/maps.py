"""Where the network looked: maps as images."""

from __future__ import annotations

import math
from collections.abc import Callable

import cv2
import numpy as np

_SMALLEST, _STRIP, _BAR, _FONT = 256, 28, 12, cv2.FONT_HERSHEY_SIMPLEX
# What the weakest and the strongest colour mean.
MASK_SCALE = "no tumour here", "tumour here"
CLASS_SCALE = "nothing", "most for this"


def normalise(activation: np.ndarray, size: int) -> np.ndarray:
    """An activation map float32 (h, w) in logits → float32 (size, size) in [0, 1].

    Only what speaks *for* the class is shown: negative activation counts as none.
    """
    positive = np.maximum(activation, 0)
    top = float(positive.max())
    scaled = positive / top if top > 0 else positive
    return np.asarray(np.clip(cv2.resize(scaled.astype(np.float32), (size, size), interpolation=cv2.INTER_CUBIC), 0, 1))


def enlarge(mask: np.ndarray, size: int) -> np.ndarray:
    """A predicted mask float32 (h, w) in [0, 1] → float32 (size, size), its values left alone: faint stays faint."""
    return np.asarray(np.clip(cv2.resize(mask, (size, size), interpolation=cv2.INTER_CUBIC), 0, 1))


def occlusion(
    image: np.ndarray, class_index: int, run: Callable[[np.ndarray], np.ndarray], *, cells: int = 8
) -> np.ndarray:
    """How much the class's logit falls when a square of the image is covered; for networks without a map of their own.

    After Zeiler and Fergus, "Visualizing and understanding convolutional networks", ECCV 2014.

    Args:
        image: uint8 (S, S).
        class_index: whose logit.
        run: from uint8 (N, S, S) to logits (N, classes).
        cells: the image is covered in cells × cells overlapping squares of twice a cell's side.

    Returns:
        float32 (cells, cells), fall of the logit.
    """
    size = len(image)
    side = size / cells
    # The median grey of the head neither adds an edge as strong as black nor a bright spot.
    inside = image[image > 8]
    grey = int(np.median(inside)) if inside.size else 0
    covered = np.repeat(image[np.newaxis], cells * cells + 1, axis=0)
    for row in range(cells):
        for column in range(cells):
            top, left = int((row - 0.5) * side), int((column - 0.5) * side)
            bottom, right = int((row + 1.5) * side), int((column + 1.5) * side)
            covered[row * cells + column, max(0, top) : bottom, max(0, left) : right] = grey
    logits = run(covered)[:, class_index]
    return np.asarray((logits[-1] - logits[:-1]).reshape(cells, cells), np.float32)


def overlay(image: np.ndarray, strength: np.ndarray) -> np.ndarray:
    """The map over the slice, as 8-bit BGR (S, S, 3): the slice stays visible where the map is weak.

    Args:
        image: uint8 (S, S).
        strength: float32 (S, S) in [0, 1].
    """
    colour = cv2.applyColorMap((strength * 255).astype(np.uint8), cv2.COLORMAP_INFERNO).astype(np.float32)
    alpha = (0.65 * strength)[..., np.newaxis]
    grey = np.repeat(image[..., np.newaxis].astype(np.float32), 3, axis=2)
    return np.asarray(np.clip(grey * (1 - alpha) + colour * alpha, 0, 255), np.uint8)


def captioned(image: np.ndarray, strength: np.ndarray, caption: str, meaning: tuple[str, str]) -> np.ndarray:
    """The overlay large enough to look at, a line of text and a scale of its colours below it, 8-bit BGR (H, W, 3).

    Args:
        image: uint8 (S, S).
        strength: float32 (S, S) in [0, 1].
        caption: one line; OpenCV draws ASCII only.
        meaning: of the weakest and of the strongest colour.
    """
    side = len(image) * math.ceil(_SMALLEST / len(image))
    large = cv2.resize(image, (side, side), interpolation=cv2.INTER_CUBIC)
    picture = overlay(large, np.clip(cv2.resize(strength, (side, side), interpolation=cv2.INTER_LINEAR), 0, 1))
    strips = np.zeros((2 * _STRIP, side, 3), np.uint8)
    _write(strips, caption, 6, side - 12)
    # The scale is drawn as the map is, over mid grey: its colours are those that are seen.
    third = side // 3
    ramp = np.tile(np.linspace(0, 1, third, dtype=np.float32), (_BAR, 1))
    top = _STRIP + (_STRIP - _BAR) // 2
    strips[top : top + _BAR, third : 2 * third] = overlay(np.full((_BAR, third), 90, np.uint8), ramp)
    _write(strips[_STRIP:], meaning[0], 6, third - 12)
    _write(strips[_STRIP:], meaning[1], 2 * third + 6, third - 12)
    return np.concatenate([picture, strips])


def _write(strip: np.ndarray, text: str, left: int, room: int) -> None:
    """A line of text into a strip, as large as there is room."""
    plain = text.encode("ascii", "replace").decode()
    width = cv2.getTextSize(plain, _FONT, 1.0, 1)[0][0]
    cv2.putText(strip, plain, (left, 19), _FONT, min(0.5, room / max(width, 1)), (255, 255, 255), 1, cv2.LINE_AA)
