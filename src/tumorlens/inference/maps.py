"""Where the network looked: maps as images."""

from __future__ import annotations

import math
from collections.abc import Callable

import cv2
import numpy as np

_SMALLEST, _STRIP, _FONT = 256, 28, cv2.FONT_HERSHEY_SIMPLEX


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


def captioned(image: np.ndarray, strength: np.ndarray, caption: str) -> np.ndarray:
    """The overlay large enough to look at, with a line of text below it, as 8-bit BGR (H, W, 3).

    Args:
        image: uint8 (S, S).
        strength: float32 (S, S) in [0, 1].
        caption: one line; OpenCV draws ASCII only.
    """
    side = len(image) * math.ceil(_SMALLEST / len(image))
    large = cv2.resize(image, (side, side), interpolation=cv2.INTER_CUBIC)
    picture = overlay(large, np.clip(cv2.resize(strength, (side, side), interpolation=cv2.INTER_LINEAR), 0, 1))
    text = caption.encode("ascii", "replace").decode()
    width = cv2.getTextSize(text, _FONT, 1.0, 1)[0][0]
    strip = np.zeros((_STRIP, side, 3), np.uint8)
    cv2.putText(strip, text, (6, 19), _FONT, min(0.5, (side - 12) / width), (255, 255, 255), 1, cv2.LINE_AA)
    return np.concatenate([picture, strip])
