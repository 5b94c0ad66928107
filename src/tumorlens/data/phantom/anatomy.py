"""One synthetic head: the surfaces that everything else is painted into.

Coordinates are millimetres in a frame close to MNI: x to the side, y forward, z up, the origin at the
anterior commissure. A patient scales and warps that frame; every surface is an implicit function of 3-D
position, so any plane through the head can be drawn and two slices of one patient agree.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .fields import Array, Points, Waves
from .shapes import Point, ellipsoid, smooth_max, smooth_min, smoothstep

__all__ = ["SELLA", "Anatomy", "Surfaces"]

SELLA: Point = (0.0, 4.0, -30.0)


@dataclass(frozen=True, slots=True)
class Surfaces:
    """Signed distances (mm, negative inside), float32, all of one shape, and the warped coordinates they use.

    `at` keeps the scanner coordinates: random fields are evaluated there, where a slice is flat.
    """

    at: Points
    x: Array
    y: Array
    z: Array
    head: Array
    cavity: Array
    infratentorial: Array

    def crop(self, window: tuple[slice, slice]) -> Surfaces:
        """The part of a flat grid's surfaces in `window`."""
        x, y, z, head, cavity, infratentorial = (
            np.ascontiguousarray(a[window])
            for a in (self.x, self.y, self.z, self.head, self.cavity, self.infratentorial)
        )
        return Surfaces(self.at.crop(window), x, y, z, head, cavity, infratentorial)


class Anatomy:
    """Shape parameters of one head, drawn from `rng` alone (never from the class)."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.scale = tuple(float(v) for v in rng.uniform((0.92, 0.91, 0.92), (1.07, 1.07, 1.07)))
        self.warp = Waves(rng, 95.0, outputs=3, terms=5)
        self.warp_mm = float(rng.uniform(1.2, 2.6))
        self.brain_warp = Waves(rng, 48.0, outputs=3, terms=6)
        self.brain_warp_mm = float(rng.uniform(0.8, 1.8))
        self.fold_mm = float(rng.uniform(19.0, 25.0))
        self.fold = Waves(rng, self.fold_mm, outputs=2, terms=12, spread=0.22)
        self.fold_depth = Waves(rng, 40.0, terms=5)
        self.patchwork = Waves(rng, 20.0, outputs=2, terms=8, spread=0.4)
        self.fine = Waves(rng, 9.0, outputs=1, terms=10, spread=0.3)
        self.atrophy = float(rng.beta(1.4, 3.0))
        self.ventricle = float(rng.uniform(0.75, 1.15) + 0.5 * self.atrophy)
        self.scalp_mm = float(rng.uniform(3.5, 10.0))
        self.skull_mm = float(rng.uniform(4.5, 7.5))
        self.diploe = float(rng.uniform(0.15, 0.75))
        self.sinus_air = float(rng.uniform(0.55, 1.15))
        self.face = tuple(float(v) for v in rng.uniform((-4.0, -4.0, -5.0), (4.0, 4.0, 5.0)))

    def surfaces(self, at: Points) -> Surfaces:
        """Warp scanner coordinates into the patient's frame and evaluate the main surfaces there."""
        x, y, z = at.x, at.y, at.z
        dx, dy, dz = at.field(self.warp) * np.float32(self.warp_mm)
        x = x * np.float32(1 / self.scale[0]) + dx
        y = y * np.float32(1 / self.scale[1]) + dy
        z = z * np.float32(1 / self.scale[2]) + dz
        ax = np.abs(x)
        base = self._skull_base(ax, y)
        vault = ellipsoid(x, y, z, (0.0, -16.0, 9.0), (70.0, 89.0, 70.0))
        cavity = smooth_max(vault, base - z, 7.0)
        canal = np.sqrt(x * x + np.square(y + 42 + 0.20 * (z + 62))) - 11  # foramen magnum and spinal canal
        cavity = smooth_min(cavity, np.maximum(canal, z + 58), 5.0)
        tent = 4 - 0.34 * ax - 0.30 * np.maximum(-46 - y, 0)
        ridge = -16 - 0.45 * np.maximum(ax - 12, 0)
        infratentorial = smooth_max(z - tent, y - ridge, 4.0)
        return Surfaces(at, x, y, z, self._head(x, y, z), cavity, infratentorial)

    @staticmethod
    def _skull_base(ax: Array, y: Array) -> Array:
        """Height of the skull base below each point: three steps down to the back, the sella between."""
        front = -24 + 6 * smoothstep(ax, 4, 24)
        body = -24 - 8 * np.exp(-(np.square((y - 4) / 5.5) + np.square(ax / 8.0)))
        temporal = np.float32(-45)
        middle = body + (temporal - body) * smoothstep(ax, 11, 24)
        wing = 24 - 10 * smoothstep(ax, 40, 15)
        base = middle + (front - middle) * np.clip((y - wing) / 10, 0, 1)
        clivus = -12 - 0.45 * np.maximum(ax - 12, 0)
        result: Array = base + (np.float32(-66) - base) * np.clip((clivus - y) / 24, 0, 1)
        return result

    def _head(self, x: Array, y: Array, z: Array) -> Array:
        gap = self.scalp_mm + self.skull_mm
        fx, fy, fz = self.face
        head = ellipsoid(x, y, z, (0.0, -16.0, 9.0), (70.0 + gap, 89.0 + gap, 70.0 + gap))
        face = ellipsoid(x, y, z, (0.0, 30.0 + fy, -52.0), (60.0 + 0.6 * fx, 56.0, 74.0 + fz))
        head = smooth_min(head, face, 16.0)
        chin = ellipsoid(x, y, z, (0.0, 50.0 + fy, -112.0 + fz), (34.0, 34.0, 22.0))
        nose = ellipsoid(x, y, z, (0.0, 86.0 + fy, -52.0), (12.0, 21.0 + fx, 20.0))
        head = smooth_min(smooth_min(head, nose, 9.0), chin, 14.0)
        neck = np.sqrt(np.square(x / 58) + np.square((y + 38) / 60)) - 1
        neck = np.maximum(neck * 58, z + 45)
        return smooth_min(head, neck, 22.0)

    def brain_frame(self, s: Surfaces) -> tuple[Array, Array, Array]:
        """Coordinates for the soft brain: a further small warp that the skull does not share."""
        dx, dy, dz = s.at.field(self.brain_warp) * np.float32(self.brain_warp_mm)
        return s.x + dx, s.y + dy, s.z + dz
