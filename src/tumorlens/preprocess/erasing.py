"""A region of a slice painted over with its surroundings, and the same edit where no tumour is.

For the question whether an answer hangs on the tumour. Training makes tumour-free slices in another way
(:mod:`tumorlens.training.implants`), so that a network cannot have learnt to know this one.
"""

from __future__ import annotations

import cv2
import numpy as np

from tumorlens.preprocess.head import head_mask

# Painting costs the square of the size; the network sees fewer pixels than these anyway.
_LARGEST = 256
# Telea A. An image inpainting technique based on the fast marching method. J Graph Tools 2004;9:23-34.
_RADIUS = 4
# Outlines are drawn inside the tumour's edge, whose brightness would be painted back over it.
_MARGIN = 0.012
# What of the moved region must lie in the head, and how far from the outline.
_INSIDE, _RIM = 0.97, 0.05
_TRIES = 400
_LOUDEST = 0.03  # of the range of grey values


def shrunk(pixels: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A slice and its mask at a size at which editing is quick.

    Args:
        pixels: float32 (H, W); values that are not finite become the lowest.
        mask: bool (h, w), over the same field.

    Returns:
        float32 and bool arrays of one shape, the longer side at most 256 pixels.
    """
    finite = np.isfinite(pixels)
    if not finite.all():
        pixels = np.where(finite, pixels, pixels[finite].min() if finite.any() else 0).astype(np.float32)
    scale = min(1.0, _LARGEST / max(pixels.shape))
    shape = tuple(max(1, round(side * scale)) for side in pixels.shape)
    small = cv2.resize(np.ascontiguousarray(pixels, np.float32), shape[::-1], interpolation=cv2.INTER_AREA)
    share = cv2.resize(mask.astype(np.float32), shape[::-1], interpolation=cv2.INTER_AREA)
    return np.asarray(small), np.asarray(share > 0.25)


def widened(mask: np.ndarray) -> np.ndarray:
    """The mask and a narrow margin around it, bool (H, W)."""
    return _grown(mask, max(1, round(_MARGIN * max(mask.shape))))


def erase(pixels: np.ndarray, region: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The region painted over from its edge inwards, with the noise of its surroundings.

    Args:
        pixels: float32 (H, W), finite.
        region: bool (H, W).
        rng: of the noise.

    Returns:
        float32 (H, W); pixels outside the region are those that were given.
    """
    low, high = float(pixels.min()), float(pixels.max())
    if not region.any() or region.all() or high <= low:
        return pixels.copy()
    grey = np.rint((pixels - low) * np.float32(255 / (high - low))).astype(np.uint8)
    painted = cv2.inpaint(grey, region.astype(np.uint8), _RADIUS, cv2.INPAINT_TELEA).astype(np.float32)
    painted = painted * np.float32((high - low) / 255) + np.float32(low)
    ring = _grown(region, 6) & ~region & head_mask(pixels)
    if ring.sum() >= 16:
        rough = pixels - cv2.GaussianBlur(pixels, (0, 0), 1.5)
        noise = cv2.GaussianBlur(rng.standard_normal(pixels.shape).astype(np.float32), (0, 0), 0.6)
        # The median, because edges of tissue in the ring are no noise.
        strength = 1.4826 * float(np.median(np.abs(rough[ring]))) / float(noise.std())
        strength = min(strength, _LOUDEST * (high - low))
        painted = np.clip(painted + strength * noise, low, high)
    return np.where(region, painted, pixels).astype(np.float32)


def elsewhere(pixels: np.ndarray, region: np.ndarray, rng: np.random.Generator) -> np.ndarray | None:
    """The region moved to where there is head and none of the region: its mirror image if that fits, else by chance.

    Args:
        pixels: float32 (H, W), finite.
        region: bool (H, W), not empty.
        rng: of the place.

    Returns:
        bool (H, W), or None where it fits nowhere.
    """
    head = head_mask(pixels)
    if not head.any() or not region.any():
        return None
    rim = max(1, round(_RIM * max(pixels.shape)))
    # Padded, so that the picture's edge counts as the head's.
    inside = cv2.erode(np.pad(head, 1).astype(np.uint8), _disc(rim))[1:-1, 1:-1] > 0
    free = inside & ~_grown(region, 2)
    rows, columns = np.nonzero(region)
    held = np.flatnonzero(head.any(axis=0))
    mirrored = held[0] + held[-1] - columns
    places = np.argwhere(free)
    if not len(places):
        return None
    chosen = places[rng.integers(0, len(places), _TRIES)]
    centre = np.array([round(rows.mean()), round(columns.mean())])
    candidates = [(rows, mirrored), *((rows + y, columns + x) for y, x in chosen - centre)]
    for moved_rows, moved_columns in candidates:
        within = (
            (moved_rows >= 0) & (moved_rows < head.shape[0]) & (moved_columns >= 0) & (moved_columns < head.shape[1])
        )
        if within.all() and free[moved_rows, moved_columns].mean() >= _INSIDE:
            moved = np.zeros(region.shape, bool)
            moved[moved_rows, moved_columns] = True
            return np.asarray(moved & ~region)
    return None


def _grown(mask: np.ndarray, radius: int) -> np.ndarray:
    return np.asarray(cv2.dilate(mask.astype(np.uint8), _disc(radius)) > 0)


def _disc(radius: int) -> np.ndarray:
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1)))
