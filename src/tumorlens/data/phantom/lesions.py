"""Tumours: glioma, meningioma and pituitary adenoma as implicit solids with their own inner structure.

A lesion is fixed in a patient's bone frame (mm), so all slices of the patient cut the same 3-D body. Its
cover, thresholded at one half, is the exact mask: enhancing and necrotic parts and solid tumour, without
oedema.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from .anatomy import Surfaces
from .brain import Brain
from .context import Coordinates, Scene
from .fields import Array, Waves
from .shapes import Point, ellipsoid, smooth_max, smooth_min

__all__ = ["Adenoma", "Glioma", "Lesion", "Meningioma"]


class Lesion(ABC):
    """A tumour at `centre` (bone frame, mm) of nominal `radius` mm that pushes the brain by `mass`."""

    mass: float

    def __init__(self, rng: np.random.Generator, centre: Point, radius: float) -> None:
        self.centre, self.radius = centre, radius
        self.squash = tuple(float(v) for v in rng.uniform(0.82, 1.2, 3))
        self.lumps = Waves(rng, max(9.0, 1.5 * radius), outputs=3, terms=7, spread=0.45)
        self.grain = Waves(rng, 7.0, terms=9, spread=0.4)

    def push(self, frame: Coordinates, surfaces: Surfaces) -> Coordinates:
        """Brain coordinates with the tissue around the lesion displaced outwards, fading towards the bone."""
        offset = [a - np.float32(c) for a, c in zip((surfaces.x, surfaces.y, surfaces.z), self.centre, strict=True)]
        square = offset[0] ** 2 + offset[1] ** 2 + offset[2] ** 2
        pull = np.float32(self.mass) * np.exp(square * np.float32(-1 / (1.7 * self.radius) ** 2))
        pull *= np.clip(-surfaces.cavity * np.float32(0.12) + np.float32(0.1), 0, 1)
        return frame[0] - pull * offset[0], frame[1] - pull * offset[1], frame[2] - pull * offset[2]

    def _round(self, s: Surfaces) -> Array:
        a, b, c = (self.radius * k for k in self.squash)
        return ellipsoid(s.x, s.y, s.z, self.centre, (a, b, c))

    @abstractmethod
    def distance(self, s: Surfaces) -> Array:
        """Signed distance (mm, negative inside) to the tumour's surface, on any grid."""

    @abstractmethod
    def paint(self, scene: Scene, brain: Brain) -> Array:
        """Paint the lesion and what it does to its surroundings; returns its cover on the full grid."""


class Glioma(Lesion):
    """Infiltrating tumour of the brain substance: ring-enhancing, patchily enhancing or (low grade) dark."""

    def __init__(self, rng: np.random.Generator, centre: Point, radius: float) -> None:
        super().__init__(rng, centre, radius)
        self.mass = float(rng.uniform(0.08, 0.30))
        self.kind = str(rng.choice(("ring", "patchy", "low"), p=(0.90, 0.08, 0.02)))
        self.rough = float(rng.uniform(0.12, 0.26))
        self.rim = float(rng.uniform(0.22, 0.42)) * radius
        self.halo = float(rng.uniform(9.0, 20.0))

    def distance(self, s: Surfaces) -> Array:
        """A ball with coarse lumps, stopped short of the skull."""
        lump = s.at.field(self.lumps)
        body = self._round(s) + np.float32(self.radius * self.rough) * (lump[0] + 0.5 * lump[1])
        return smooth_max(body, s.cavity + 3.0, 3.0)

    def paint(self, scene: Scene, brain: Brain) -> Array:
        """Oedema, then the solid tumour by its kind."""
        canvas, signal, plane, s = scene.canvas, scene.signal, scene.canvas.plane, scene.coarse
        lump = s.at.field(self.lumps)
        grain = plane.fine(s.at.field(self.grain)[0])
        coarse = self.distance(s)
        body = plane.fine(coarse)
        # Oedema creeps along the white matter and spares the cortex.
        spread = np.clip(0.9 - (body - plane.fine(3 * lump[2])) * np.float32(1 / self.halo), 0, 1)
        canvas.paint(spread * (0.18 + 0.72 * brain.white) * brain.brain * np.float32(0.95), signal["oedema"])
        if self.kind == "low":
            cover = canvas.cover(body, 3.5)
            canvas.paint(cover * np.float32(0.92), signal["glioma_low"] * (1 + 0.06 * grain))
            return cover
        cover = canvas.cover(body, 1.8)
        rim = signal["glioma_rim"]
        if self.kind == "patchy":
            mix = np.clip(0.60 + 0.45 * plane.fine(lump[1]) + 0.25 * grain, 0.1, 1)
            canvas.paint(cover, signal["glioma_low"] + mix * (rim - signal["glioma_low"]))
            return cover
        canvas.paint(cover, rim * (1 + 0.10 * grain))
        inner = plane.fine(coarse + self.rim * (1 + 0.45 * lump[2]))
        canvas.paint(canvas.cover(inner, 2.2) * cover, signal["necrosis"] * (1 + 0.08 * grain))
        return cover


class Meningioma(Lesion):
    """Smooth extra-axial tumour on the dura: even enhancement, a cleft of fluid, often a dural tail."""

    def __init__(self, rng: np.random.Generator, centre: Point, radius: float) -> None:
        super().__init__(rng, centre, radius)
        self.mass = float(rng.uniform(0.22, 0.45))
        self.lobed = float(rng.uniform(0.02, 0.09))
        self.tail = float(rng.uniform(4.0, 14.0)) if rng.random() < 0.65 else 0.0
        self.halo = float(rng.uniform(4.0, 10.0)) if rng.random() < 0.25 else 0.0
        self.speck = float(rng.uniform(0.0, 0.05))

    def distance(self, s: Surfaces) -> Array:
        """A ball with coarse lumps, stopped short of the skull."""
        lump = s.at.field(self.lumps)
        body = self._round(s) + np.float32(self.radius * self.lobed) * (lump[0] + 0.6 * lump[1])
        return smooth_max(body, s.cavity + 0.3, 2.0)

    def paint(self, scene: Scene, brain: Brain) -> Array:
        """Oedema where there is some, the dural tail, a cleft of fluid, then the tumour."""
        canvas, signal, plane, s = scene.canvas, scene.signal, scene.canvas.plane, scene.coarse
        body = plane.fine(self.distance(s))
        if self.halo:
            spread = np.clip(0.8 - body * np.float32(1 / self.halo), 0, 1)
            canvas.paint(spread * brain.white * np.float32(0.8), signal["oedema"])
        if self.tail:
            along = np.clip(1 - body * np.float32(1 / self.tail), 0, 1)
            sheet = np.abs(scene.cavity + np.float32(1.0)) - np.float32(1.3) * along
            canvas.paint(canvas.cover(sheet) * (along > 0), signal["meningioma"])
        canvas.paint(canvas.cover(body - np.float32(1.1)) * canvas.cover(scene.cavity + 1) * 0.7, signal["csf"])
        cover = canvas.cover(body)
        grain = plane.fine(s.at.field(self.grain)[0])
        canvas.paint(cover, signal["meningioma"] * (1 + (0.02 + self.speck) * grain))
        return cover


class Adenoma(Lesion):
    """Pituitary macroadenoma: widens the sella, rises through its opening, may have a cyst."""

    def __init__(self, rng: np.random.Generator, centre: Point, radius: float) -> None:
        super().__init__(rng, centre, radius)
        self.mass = float(rng.uniform(0.15, 0.35))
        self.rise = float(rng.uniform(0.3, 0.95)) * radius
        self.head = float(rng.uniform(0.6, 0.95))
        self.lean = float(rng.normal(0.0, 0.15)) * radius
        self.cyst = float(rng.uniform(0.35, 0.6)) if rng.random() < 0.25 else 0.0
        self.lobed = float(rng.uniform(0.02, 0.09))

    def distance(self, s: Surfaces) -> Array:
        """A body in the sella and a head above it, joined at a waist."""
        x, y, z = self.centre
        r, (a, b, c) = self.radius, self.squash
        low = ellipsoid(s.x, s.y, s.z, (x, y, z - 0.35 * self.rise), (0.95 * r * a, 0.85 * r * b, 0.75 * r * c))
        q = r * self.head
        high = ellipsoid(s.x, s.y, s.z, (x + self.lean, y - 0.1 * r, z + 0.6 * self.rise), (q * a, q * b, q))
        lump = s.at.field(self.lumps)
        result: Array = smooth_min(low, high, 3.0) + np.float32(r * self.lobed) * (lump[0] + 0.6 * lump[1])
        return result

    def paint(self, scene: Scene, brain: Brain) -> Array:
        """A cleft of fluid, the tumour, and its cyst where it has one."""
        canvas, signal, plane, s = scene.canvas, scene.signal, scene.canvas.plane, scene.coarse
        coarse = self.distance(s)
        body = plane.fine(coarse)
        canvas.paint(canvas.cover(body - np.float32(0.9)) * np.float32(0.6), signal["csf"])
        cover = canvas.cover(body)
        lump = s.at.field(self.lumps)
        grain = plane.fine(s.at.field(self.grain)[0])
        canvas.paint(cover, signal["adenoma"] * (1 + 0.05 * grain + 0.04 * plane.fine(lump[2])))
        if self.cyst:
            hole = plane.fine(coarse + self.radius * (0.75 - self.cyst) + 2.5 * lump[2])
            canvas.paint(canvas.cover(hole, 1.6) * cover * np.float32(0.85), signal["necrosis"])
        return cover
