"""Everything one slice needs while it is drawn: plane, surfaces, signals and coordinates on both grids."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .anatomy import Anatomy, Surfaces
from .canvas import Canvas, Frame, Plane
from .fields import Array

if TYPE_CHECKING:
    from .lesions import Lesion

__all__ = ["Coordinates", "Scene", "make_scene"]

Coordinates = tuple[Array, Array, Array]


@dataclass(frozen=True, slots=True)
class Scene:
    """`coarse` surfaces; on the full grid, `bone` and `brain` frames and `head`, `cavity` distances (mm)."""

    canvas: Canvas
    anatomy: Anatomy
    signal: Mapping[str, float]
    thickness: float
    coarse: Surfaces
    coarse_brain: Coordinates
    bone: Frame
    brain: Frame
    head: Array
    cavity: Array


def make_scene(
    plane: Plane, anatomy: Anatomy, signal: Mapping[str, float], thickness: float, lesion: Lesion | None
) -> Scene:
    """Evaluate the shared surfaces of a slice; a lesion pushes the brain, never the bone."""
    coarse = anatomy.surfaces(plane.coarse())
    plane, window = plane.crop(coarse.head < 4)  # air needs no drawing
    coarse = coarse.crop(window)
    canvas = Canvas(plane, edge=max(plane.mm * 1.2, 0.16 * thickness))
    brain = anatomy.brain_frame(coarse)
    if lesion is not None:
        brain = lesion.push(brain, coarse)
    x, y, z, bx, by, bz, head, cavity = (
        plane.fine(np.ascontiguousarray(a)) for a in (coarse.x, coarse.y, coarse.z, *brain, coarse.head, coarse.cavity)
    )
    return Scene(canvas, anatomy, signal, thickness, coarse, brain, Frame(x, y, z), Frame(bx, by, bz), head, cavity)
