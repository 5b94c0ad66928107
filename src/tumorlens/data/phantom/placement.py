"""Where a tumour of each class can sit so that given slices cut it.

Slices are placed first, in the same way for every class, and the tumour afterwards: otherwise the level of
the slice would give the class away (adenomas only ever occur at one level).
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from .anatomy import SELLA, Anatomy, Surfaces
from .brain import cerebellum_distance, cerebrum_distance
from .fields import Points
from .lesions import Adenoma, Glioma, Lesion, Meningioma
from .shapes import Point

__all__ = ["place_lesion"]

_CANDIDATES = 900

# Common sites (|x|, y, z) in mm, chosen so that every slice level of `patients.py` passes near one.
_SITES: Final = {
    "glioma": (
        (38.0, -15.0, -22.0),  # temporal lobe
        (28.0, 28.0, 22.0),  # frontal white matter
        (28.0, -38.0, 28.0),  # parietal white matter
        (6.0, 38.0, 14.0),  # medial frontal lobe
    ),
    "meningioma": (
        (52.0, 2.0, -24.0),  # sphenoid wing and temporal convexity
        (48.0, 2.0, 34.0),  # frontal convexity
        (46.0, -44.0, 30.0),  # parietal convexity
        (10.0, -4.0, 66.0),  # parasagittal
        (32.0, 44.0, 32.0),  # frontal pole
    ),
}


def place_lesion(
    label: str,
    rng: np.random.Generator,
    anatomy: Anatomy,
    reference: NDArray[np.float64],
    axes: NDArray[np.float64],
    sella_radius: float,
    grow: float = 1.0,
) -> tuple[Lesion, float]:
    """Draw a tumour near the plane through `reference` (3,) spanned by `axes` (3, 3).

    `label` is a tumour class, `sella_radius` (mm) the patient's adenoma radius (the slices depend on it, so
    every class has one), `grow` scales the tumour. Returns the lesion and how far its centre lies along the
    normal (mm).
    """
    if label == "pituitary":
        jitter = rng.normal(0.0, 1.2, 3)
        centre = (float(jitter[0]), SELLA[1] + float(jitter[1]), SELLA[2] + 4.0 + float(jitter[2]))
        offset = float((np.array(centre) * anatomy.scale - reference) @ axes[2])
        return Adenoma(rng, centre, sella_radius * grow), offset
    kind = Glioma if label == "glioma" else Meningioma
    radius = float(rng.uniform(16.0, 27.0) if label == "glioma" else rng.uniform(14.0, 21.0)) * grow
    while True:
        offsets = rng.uniform((-85.0, -110.0), (85.0, 110.0), (_CANDIDATES, 2))
        depth = rng.uniform(-0.3, 0.3, (_CANDIDATES, 1)) * radius
        points = (reference + offsets @ axes[:2] + depth * axes[2]).astype(np.float32)
        s = anatomy.surfaces(Points(points[:, 0], points[:, 1], points[:, 2]))
        allowed = _in_brain(s, anatomy, radius) if label == "glioma" else _on_dura(s, radius)
        x, y, z = SELLA
        allowed &= np.sqrt(np.square(s.x - x) + np.square(s.y - y) + np.square(s.z - z - 4)) > radius + 13
        choices = np.flatnonzero(allowed)
        if choices.size:
            # The usual sites are likelier than the rest of the plane, as in patients.
            sites = np.array(_SITES[label])
            place = np.stack((np.abs(s.x), s.y, s.z), axis=1)[choices]
            away = np.linalg.norm(place[:, None] - sites[None], axis=2).min(axis=1)
            i = int(choices[np.argmin(away + rng.uniform(0.0, 8.0, choices.size))])
            middle: Point = (float(s.x[i]), float(s.y[i]), float(s.z[i]))
            return kind(rng, middle, radius), float(depth[i, 0])
        radius *= 0.9  # a plane that only grazes the brain has room for a smaller tumour


def _in_brain(s: Surfaces, anatomy: Anatomy, radius: float) -> NDArray[np.bool_]:
    gap = 1.0 + 2.6 * anatomy.atrophy
    cerebrum = cerebrum_distance(s.x, s.y, s.z, s.cavity, s.infratentorial, gap)
    cerebellum = cerebellum_distance(s.x, s.y, s.z, s.cavity, s.infratentorial, gap)
    return (np.minimum(cerebrum, cerebellum) < -0.25 * radius) & (s.cavity < -0.7 * radius) & (s.z > -55)


def _on_dura(s: Surfaces, radius: float) -> NDArray[np.bool_]:
    low, high = 0.3 * radius, 0.62 * radius
    convex = (-s.cavity > low) & (-s.cavity < high) & (s.z > -52)
    arch = np.square((s.y + 8) / 52) + np.square((s.z - 2) / 40) > 1
    ax = np.abs(s.x)
    falx = (ax > low) & (ax < high) & arch & (s.infratentorial > radius) & (s.cavity < -low) & (s.z > 0)
    edge = np.abs(s.infratentorial)
    tent = (edge > low) & (edge < high) & (s.cavity < -low) & (s.y < -40) & (ax > 8)
    return convex | falx | tent
