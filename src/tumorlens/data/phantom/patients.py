"""Synthetic patients: what is drawn for each one, and in which order, so that nothing but the tumour depends
on class.

Four consecutive patients form a block with one patient of each class in random order. The block shares the
number of slices, the orientation, the sequence type and whether the level is free, which keeps these balanced
over classes in small sets too. Everything else is drawn per patient from streams that do not know the class.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from .acquisition import OVERSAMPLING, Camera, draw_camera, expose, shrink_mask
from .anatomy import SELLA, Anatomy, Surfaces
from .brain import paint_brain
from .canvas import Plane
from .context import make_scene
from .fields import Array
from .incidental import Incidentals
from .lesions import Lesion
from .outside import paint_outside, paint_petrous
from .placement import place_lesion
from .shapes import smoothstep
from .signal import Sequence, signal_table
from .tissue import TISSUES
from .vessels import Vessels, paint_vessels

__all__ = ["CLASSES", "PLANES", "Block", "Patient", "PhantomSlice", "patient_size", "patient_slices"]

CLASSES: Final = ("glioma", "meningioma", "no_tumor", "pituitary")
PLANES: Final = ("axial", "coronal", "sagittal")
MIN_TUMOUR_PX: Final = 150
CLOSEST_MM: Final = 4.0  # between slices; clinical series lie further apart, closer ones are nearly the same picture

# Rows: column direction, row direction and normal of the picture, in head axes (x side, y forward, z up).
_AXES: Final = {
    "axial": ((1, 0, 0), (0, -1, 0), (0, 0, 1)),
    "coronal": ((1, 0, 0), (0, 0, -1), (0, 1, 0)),
    "sagittal": ((0, -1, 0), (0, 0, -1), (1, 0, 0)),
}
_MIDDLE: Final = {"axial": (0.0, -8.0, 0.0), "coronal": (0.0, 0.0, -16.0), "sagittal": (0.0, -8.0, -14.0)}
_EXTENT_MM: Final = {"axial": (214.0, 178.0), "coronal": (222.0, 178.0), "sagittal": (226.0, 222.0)}
_FREE_LEVEL: Final = {"axial": (16.0, 38.0), "coronal": (-52.0, -26.0), "sagittal": (22.0, 40.0)}


@dataclass(frozen=True, slots=True)
class PhantomSlice:
    """One synthetic picture with its truth.

    `image` uint8 (H, W); `mask` bool (H, W), the exact tumour (all False for no_tumor); `label` a class name;
    `patient` like "P00012"; `plane` "axial", "coronal" or "sagittal"; `index` the slice's number within the
    patient from 0; `spacing` (row, column) in mm.
    """

    image: NDArray[np.uint8]
    mask: NDArray[np.bool_]
    label: str
    patient: str
    plane: str
    index: int
    spacing: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Block:
    """What the patients of a block share, and one's class."""

    label: str
    slices: int
    plane: str
    sequence: str
    free: bool


def _block(seed: int, k: int) -> Block:
    rng = np.random.default_rng([seed, k // len(CLASSES), 4])
    order = rng.permutation(len(CLASSES))
    return Block(
        label=CLASSES[int(order[k % len(CLASSES)])],
        slices=int(rng.integers(3, 6)),
        plane=PLANES[int(rng.choice(3, p=(0.36, 0.32, 0.32)))],
        sequence=str(rng.choice(("t1_post", "t1", "t2"), p=(0.97, 0.01, 0.02))),
        free=bool(rng.random() < 0.15),
    )


def _sequence(name: str, rng: np.random.Generator) -> Sequence:
    if name == "t2":
        return Sequence(name, float(rng.uniform(3000, 6000)), float(rng.uniform(80, 115)), 0.0)
    dose = float(rng.uniform(0.85, 1.3))
    return Sequence(name, float(rng.uniform(380, 680)), float(rng.uniform(8, 18)), dose if name == "t1_post" else 0.0)


def _tilt(axes: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Turn the picture's axes by a few degrees: about the normal most, out of the plane less."""
    a, b, c = np.deg2rad(rng.normal(0.0, (2.0, 2.0, 6.5)))
    about_u = np.array(((1, 0, 0), (0, np.cos(a), -np.sin(a)), (0, np.sin(a), np.cos(a))))
    about_v = np.array(((np.cos(b), 0, np.sin(b)), (0, 1, 0), (-np.sin(b), 0, np.cos(b))))
    about_n = np.array(((np.cos(c), -np.sin(c), 0), (np.sin(c), np.cos(c), 0), (0, 0, 1)))
    result: NDArray[np.float64] = about_n @ about_v @ about_u @ axes
    return result


class Patient:
    """One patient's anatomy, tumour, series and scanner settings."""

    def __init__(self, seed: int, k: int, block: Block | None = None) -> None:
        self.block = block or _block(seed, k)
        self.name = f"P{k:05d}"
        self.seed, self.k = seed, k
        plane = self.block.plane
        rng = np.random.default_rng([seed, k])
        self.anatomy = Anatomy(rng)
        self.vessels = Vessels(rng)
        self.incidentals = Incidentals(rng)
        factors = {name: float(rng.uniform(0.85, 1.25)) for name in TISSUES}
        self.signal = signal_table(_sequence(self.block.sequence, rng), factors)
        self.signal["fat"] *= float(rng.uniform(0.5, 1.1))  # from fat suppression to none
        blend = float(rng.uniform(0.15, 0.75))  # cortex and white matter differ less in many clinical series
        self.signal["grey"] += blend * (self.signal["white"] - self.signal["grey"])
        self.camera: Camera = draw_camera(rng, *_EXTENT_MM[plane])
        self.dim = float(rng.uniform(0.25, 0.9))
        self.fade = float(rng.uniform(-85.0, -50.0))
        self.thickness = float(rng.uniform(2.0, 6.0))
        self.axes = _tilt(np.array(_AXES[plane], np.float64), rng)
        self.shift = rng.normal(0.0, 6.5, 3)
        sella_radius = float(rng.uniform(10.5, 15.5))
        self.reference = np.array((SELLA[0], SELLA[1], SELLA[2] + 3.0)) * self.anatomy.scale
        if self.block.free and self.block.label != "pituitary":
            axis = int(np.argmax(np.abs(_AXES[plane][2])))
            self.reference = np.array((0.0, -10.0, 5.0))
            self.reference[axis] = rng.uniform(*_FREE_LEVEL[plane])
        n = self.block.slices
        spread = rng.uniform(0.7, 1.15)
        middle, jitter = sella_radius * rng.uniform(-0.2, 0.2), sella_radius * rng.normal(0.0, 0.02, n)
        gap = max(spread * sella_radius / (n - 1), CLOSEST_MM)
        self.offsets: NDArray[np.float64] = (np.arange(n) - (n - 1) / 2) * gap + middle + jitter
        self.lesion: Lesion | None = None
        self.lesion_offset = 0.0
        if self.block.label != "no_tumor":
            self._grow_lesion(np.random.default_rng([seed, k, 1]), sella_radius)

    def _grow_lesion(self, rng: np.random.Generator, sella_radius: float) -> None:
        """Place the tumour so that all slices, moved together, show enough of it to label; larger while they do not."""
        grow = 1.0
        while True:
            self.lesion, self.lesion_offset = place_lesion(
                self.block.label, rng, self.anatomy, self.reference, self.axes, sella_radius, grow
            )
            for share in (0.0, 0.5, 1.0):
                moved = self.offsets + share * (self.lesion_offset - self.offsets.mean())
                if all(self._shown(self.lesion, end) for end in (moved.min(), moved.max(), self.lesion_offset)):
                    self.offsets = moved
                    return
            grow *= 1.08

    def _shown(self, lesion: Lesion, offset: float) -> bool:
        """Whether a slice would cut more of the tumour than it takes to label it, with room for what covers it."""
        plane = self.plane_at(offset)
        return self._area(lesion, plane, self.anatomy.surfaces(plane.coarse())) > 1.6 * MIN_TUMOUR_PX

    @staticmethod
    def _area(lesion: Lesion, plane: Plane, surfaces: Surfaces) -> float:
        """Estimate of the tumour's area on a slice in final pixels, from its coarse grid."""
        share = float(np.mean(lesion.distance(surfaces) < 0))
        result: float = share * plane.shape[0] * plane.shape[1] / OVERSAMPLING**2
        return result

    def plane_at(self, offset: float) -> Plane:
        """The slice plane `offset` mm along the normal from the reference point."""
        middle = np.array(_MIDDLE[self.block.plane]) + self.shift - self.reference
        u, v, n = self.axes
        centre = self.reference + u * (middle @ u) + v * (middle @ v) + n * offset
        return Plane(centre, self.axes, self.camera.work_shape, self.camera.spacing / OVERSAMPLING)

    def slice(self, index: int) -> PhantomSlice:
        """Render slice `index`, moved towards the tumour's middle as far as it takes to show enough of it."""
        offset = float(self.offsets[index])
        for _ in range(6):
            drawn = self._draw(index, offset)
            if drawn is not None:
                return drawn
            offset = 0.5 * (offset + self.lesion_offset)
        drawn = self._draw(index, self.lesion_offset)
        if drawn is not None:
            return drawn
        raise RuntimeError("a tumour is always wide enough at its centre")

    def _draw(self, index: int, offset: float) -> PhantomSlice | None:
        """Render the slice at `offset` mm along the normal; None when it cuts too little of the tumour."""
        plane = self.plane_at(offset)
        scene = make_scene(plane, self.anatomy, self.signal, self.thickness, self.lesion)
        if self.lesion is not None and self._area(self.lesion, scene.canvas.plane, scene.coarse) < 1.1 * MIN_TUMOUR_PX:
            return None
        paint_outside(scene)
        plane = scene.canvas.plane
        brain = paint_brain(scene)
        paint_petrous(scene)
        paint_vessels(scene, brain, self.vessels)
        self.incidentals.paint(scene)
        if self.lesion is None:
            mask = shrink_mask(np.zeros(plane.size, np.float32), self.camera)
        else:
            mask = shrink_mask(plane.paste(self.lesion.paint(scene, brain)), self.camera)
            if np.count_nonzero(mask) < MIN_TUMOUR_PX:
                return None
        # The head coil's reach ends below the skull: the neck and lower face fade.
        low = smoothstep(scene.coarse.at.z, self.fade - 55, self.fade)
        scene.canvas.image *= plane.fine(self.dim + (1 - self.dim) * low)
        image = self.expose(plane.paste(scene.canvas.image), np.random.default_rng([self.seed, self.k, 2, index]))
        spacing = (self.camera.spacing, self.camera.spacing)
        return PhantomSlice(image, mask, self.block.label, self.name, self.block.plane, index, spacing)

    def expose(self, drawn: Array, rng: np.random.Generator) -> NDArray[np.uint8]:
        """The picture that the scanner makes of what was drawn, float32 at working size."""
        return expose(drawn, self.camera, rng)


def patient_slices(seed: int, k: int, limit: int | None = None) -> Iterator[PhantomSlice]:
    """The slices of patient `k` of `seed`, at most `limit`; they depend on nothing else."""
    patient = Patient(seed, k)
    n = patient.block.slices if limit is None else min(limit, patient.block.slices)
    for index in range(n):
        yield patient.slice(index)


def patient_size(seed: int, k: int) -> int:
    """How many slices patient `k` of `seed` has (cheap)."""
    return _block(seed, k).slices
