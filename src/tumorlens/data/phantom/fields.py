"""Smooth random fields in 3-D, evaluated at points: sums of plane waves.

A slice only needs the field on its plane, and a sum of waves can be evaluated there exactly, so neighbouring
slices of one patient agree without any volume ever being stored.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

__all__ = ["Array", "Grid", "Points", "Waves"]

Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Grid:
    """A flat grid in head space: point (i, j) is ``origin + rows[i] * down + cols[j] * right`` (mm)."""

    origin: NDArray[np.float64]
    right: NDArray[np.float64]
    down: NDArray[np.float64]
    rows: NDArray[np.float64]
    cols: NDArray[np.float64]


class Waves:
    """`outputs` independent fields of zero mean, unit variance and wavelength about `wavelength` mm."""

    def __init__(
        self,
        rng: np.random.Generator,
        wavelength: float,
        outputs: int = 1,
        terms: int = 8,
        spread: float = 0.2,
    ) -> None:
        direction = rng.standard_normal((outputs * terms, 3))
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        length = wavelength * np.exp(spread * rng.uniform(-1.0, 1.0, outputs * terms))
        self._k = direction * (2.0 * np.pi / length)[:, None]
        self._phase = rng.uniform(0.0, 2.0 * np.pi, outputs * terms)
        self._outputs = outputs
        self._gain = np.float32(np.sqrt(2.0 / terms))

    def __call__(self, x: Array, y: Array, z: Array) -> Array:
        """Values at points in mm: float32 ``(outputs, *x.shape)``."""
        points = np.stack((x.ravel(), y.ravel(), z.ravel()), axis=1)
        angle = points @ self._k.T.astype(np.float32)
        angle += self._phase.astype(np.float32)
        np.cos(angle, out=angle)
        total = angle.reshape(points.shape[0], self._outputs, -1).sum(axis=2)
        result: Array = (self._gain * total.T).reshape(self._outputs, *x.shape)
        return result

    def on_grid(self, grid: Grid) -> Array:
        """Values on a flat grid: float32 ``(outputs, rows, cols)``.

        Each wave is a product over rows and columns there (the addition theorem), so the whole field is one
        small matrix product and hundreds of times cheaper than a cosine per point.
        """
        along = np.outer(grid.rows, self._k @ grid.down) + (self._k @ grid.origin + self._phase)
        across = np.outer(grid.cols, self._k @ grid.right)
        left = np.stack((np.cos(along), -np.sin(along)), axis=2).astype(np.float32)
        right = np.stack((np.cos(across), np.sin(across)), axis=2).astype(np.float32)
        left = left.reshape(left.shape[0], self._outputs, -1).transpose(1, 0, 2)
        right = right.reshape(right.shape[0], self._outputs, -1).transpose(1, 2, 0)
        return self._gain * (left @ right)


@dataclass(frozen=True, slots=True)
class Points:
    """Scanner coordinates in mm, float32 of one shape; `grid` says that they form a flat grid."""

    x: Array
    y: Array
    z: Array
    grid: Grid | None = None

    def field(self, waves: Waves) -> Array:
        """Values of `waves` here, float32 ``(outputs, *x.shape)``."""
        return waves(self.x, self.y, self.z) if self.grid is None else waves.on_grid(self.grid)

    def crop(self, window: tuple[slice, slice]) -> Points:
        """The part of a flat grid in `window`."""
        grid = self.grid and replace(self.grid, rows=self.grid.rows[window[0]], cols=self.grid.cols[window[1]])
        return Points(self.x[window], self.y[window], self.z[window], grid)
