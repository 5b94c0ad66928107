"""The slice plane and a painter that blends tissue signals with soft (partial-volume) edges."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from .fields import Array, Grid, Points
from .shapes import Point

__all__ = ["Canvas", "Frame", "Plane"]

Floats = NDArray[np.floating]  # float32 in fact; the type checker loses it in mixed arithmetic

_REACH = 5.5  # mm; half the diagonal of an 8-pixel step at the coarsest spacing, and an edge
STEP = 3  # the smooth surfaces are evaluated on every third pixel and interpolated


class Plane:
    """An oblique plane sampled at `size` points, `mm` apart, of which a `window` is drawn.

    `axes` is (3, 3): rows are the column direction, the row direction and the normal, in scanner coordinates;
    `centre` (3,) is the position of the middle of the picture. `window` counts coarse rows and columns (each
    `STEP` points wide); the last ones may reach beyond the picture.
    """

    def __init__(
        self,
        centre: NDArray[np.float64],
        axes: NDArray[np.float64],
        size: tuple[int, int],
        mm: float,
        window: tuple[slice, slice] | None = None,
    ) -> None:
        self.centre, self.axes, self.size, self.mm = centre, axes, size, mm
        self.window = window or (slice(0, -(-size[0] // STEP)), slice(0, -(-size[1] // STEP)))
        self.shape = (
            STEP * (self.window[0].stop - self.window[0].start),
            STEP * (self.window[1].stop - self.window[1].start),
        )

    def coarse(self) -> Points:
        """Scanner coordinates of the window's coarse grid, float32."""
        rows, cols = (
            (STEP * np.arange(w.start, w.stop) + (STEP - n) / 2) * self.mm
            for w, n in zip(self.window, self.size, strict=True)
        )
        point = (
            self.centre[:, None, None]
            + self.axes[0][:, None, None] * cols[None, None, :]
            + self.axes[1][:, None, None] * rows[None, :, None]
        ).astype(np.float32)
        return Points(point[0], point[1], point[2], Grid(self.centre, self.axes[0], self.axes[1], rows, cols))

    def crop(self, keep: NDArray[np.bool_]) -> tuple[Plane, tuple[slice, slice]]:
        """The smallest plane that holds the coarse points `keep`, and its window of this plane's grid."""
        top, left, bottom, right = _bounds(keep)
        rows, cols = slice(top, max(bottom, top + 3) + 1), slice(left, max(right, left + 3) + 1)
        window = (
            slice(self.window[0].start + rows.start, self.window[0].start + rows.stop),
            slice(self.window[1].start + cols.start, self.window[1].start + cols.stop),
        )
        return Plane(self.centre, self.axes, self.size, self.mm, window), (rows, cols)

    def paste(self, values: Array) -> Array:
        """An array of the window in its place in the whole picture, zero elsewhere: float32 `size`."""
        whole = np.zeros(self.size, np.float32)
        top, left = STEP * self.window[0].start, STEP * self.window[1].start
        place = whole[top : top + self.shape[0], left : left + self.shape[1]]
        place[:] = values[: place.shape[0], : place.shape[1]]
        return whole

    def fine(self, values: Array, cubic: bool = False) -> Array:
        """Interpolate an array that spans the window to its full grid."""
        method = cv2.INTER_CUBIC if cubic else cv2.INTER_LINEAR
        result: Array = cv2.resize(values, (self.shape[1], self.shape[0]), interpolation=method)
        return result


class Frame:
    """Coordinates (mm) of every pixel of the full grid, with summaries that find a small solid quickly."""

    def __init__(self, x: Array, y: Array, z: Array) -> None:
        self.axes = (x, y, z)
        self._sparse = tuple(np.ascontiguousarray(a[::8, ::8]) for a in self.axes)
        self._low = tuple(float(a.min()) - _REACH for a in self._sparse)
        self._high = tuple(float(a.max()) + _REACH for a in self._sparse)

    def window(self, low: Point, high: Point) -> tuple[slice, slice] | None:
        """The smallest window of pixels that can meet a box, or None.

        The search runs on every 8th pixel; the box is widened by `_REACH`, more than half such a step.
        """
        for i in range(3):
            if high[i] < self._low[i] or low[i] > self._high[i]:
                return None
        near = [
            np.abs(axis - np.float32(0.5 * (lo + hi))) < np.float32(0.5 * (hi - lo) + _REACH)
            for axis, lo, hi in zip(self._sparse, low, high, strict=True)
        ]
        top, left, bottom, right = _bounds(near[0] & near[1] & near[2])
        if bottom < 0:
            return None
        return slice(max(0, top * 8 - 7), bottom * 8 + 8), slice(max(0, left * 8 - 7), right * 8 + 8)


def _bounds(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    left, top, width, height = cv2.boundingRect(mask.view(np.uint8))
    return (top, left, top + height - 1, left + width - 1) if width else (0, 0, -1, -1)


class Canvas:
    """A float32 image under construction; `edge` is the blur of an edge in mm (pixel, thickness)."""

    def __init__(self, plane: Plane, edge: float) -> None:
        self.plane = plane
        self.edge = edge
        self.image: Array = np.zeros(plane.shape, np.float32)

    def cover(self, distance: Floats, edge: float | None = None) -> Array:
        """Fraction of each pixel inside a surface, from its signed distance in mm."""
        cover: Array = distance * np.float32(-1.0 / (self.edge if edge is None else edge))
        cover += np.float32(0.5)
        return np.clip(cover, 0, 1, out=cover)

    def paint(self, cover: Array, value: Floats | float) -> None:
        """Blend `value` over the image where `cover` is above zero."""
        self.image += cover * (value - self.image)

    def solid(self, distance: Floats, value: Floats | float, opacity: float = 1.0) -> None:
        """Paint the inside of a surface given on the full grid."""
        cover = self.cover(distance)
        self.paint(cover if opacity == 1.0 else cover * np.float32(opacity), value)

    def local(
        self,
        frame: Frame,
        low: Point,
        high: Point,
        distance: Callable[[Array, Array, Array], Array],
        value: float,
        opacity: float = 1.0,
    ) -> None:
        """Paint a small solid: `distance` is evaluated only in the window that can meet its box."""
        window = frame.window(low, high)
        if window is None:
            return
        x, y, z = (axis[window] for axis in frame.axes)
        cover = self.cover(distance(x, y, z)) * np.float32(opacity)
        target = self.image[window]
        target += cover * (np.float32(value) - target)
