"""The brain: folded cortex, white matter, cerebellum, brain stem, deep nuclei and ventricles."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from .context import Scene
from .fields import Array
from .primitives import ball, rod
from .shapes import ellipsoid, smooth_max, smooth_min

__all__ = ["Brain", "cerebellum_distance", "cerebrum_distance", "paint_brain"]

CORTEX_MM = 2.7


@dataclass(frozen=True, slots=True)
class Brain:
    """What lesions and vessels use, full grid: `white` fraction, `fissure` distance, `brain` cover."""

    white: Array
    fissure: Array
    brain: Array


def cerebrum_distance(x: Array, y: Array, z: Array, cavity: Array, infratentorial: Array, gap: float) -> Array:
    """Signed distance (mm) to the cerebral hemispheres' outer surface, before the folds are cut."""
    body = smooth_max(cavity + np.float32(gap), 1.5 - infratentorial, 4.0)
    cistern = ellipsoid(x, y, z, (0.0, -10.0, -24.0), (19.0, 26.0, 18.0))
    return smooth_max(body, -cistern, 5.0)


def cerebellum_distance(x: Array, y: Array, z: Array, cavity: Array, infratentorial: Array, gap: float) -> Array:
    """Signed distance (mm) to the cerebellum."""
    lobe = ellipsoid(np.abs(x), y, z, (20.0, -62.0, -36.0), (36.0, 33.0, 28.0))
    vermis = ellipsoid(x, y, z, (0.0, -61.0, -26.0), (12.0, 25.0, 25.0))
    body = smooth_min(lobe, vermis, 4.0)
    return smooth_max(smooth_max(body, cavity + np.float32(gap), 4.0), infratentorial + 2.0, 4.0)


def _sheets(scene: Scene, depth: Array) -> tuple[Array, Array, Array]:
    """Distances (full grid, mm) to the sulci, the interhemispheric and the Sylvian fissures."""
    anatomy, plane = scene.anatomy, scene.canvas.plane
    x, y, z = scene.coarse_brain
    wobble = scene.coarse.at.field(anatomy.patchwork)
    # Project points outwards so that sulci run from the surface inwards instead of lying along it.
    px, py, pz = x + 2.5 * wobble[0], y + 16 + 2.5 * wobble[1], z - 5 + 1.5 * (wobble[0] - wobble[1])
    # The folds are long waves, so every second coarse point is enough for the cosines.
    half = (max(2, x.shape[1] // 2), max(2, x.shape[0] // 2))
    px, py, pz = (cv2.resize(a, half, interpolation=cv2.INTER_AREA) for a in (px, py, pz))
    level = np.sqrt(np.square(px / 68) + np.square(py / 86) + np.square(pz / 66))
    shrink = np.maximum(level, 0.3) ** -0.75
    folds = anatomy.fold(px * shrink, py * shrink, pz * shrink)
    limit = plane.fine(13 + 5 * scene.coarse.at.field(anatomy.fold_depth)[0])
    arch = 1 - np.sqrt(np.square((y + 5) / 39) + np.square((z - 1) / 27))
    inside = np.maximum(arch * 30, 0)
    below = np.maximum(-16 - z, 0)
    bx = scene.brain.axes[0]
    fissure = np.sqrt(bx * bx + plane.fine(inside * inside + below * below))
    buried = np.minimum(depth, fissure)
    sulci = np.full_like(fissure, 99.0)
    # The second, shallower set of folds dents the surface between the deep ones.
    for fold, reach in zip(folds, (1.0, 0.5), strict=True):
        over = np.maximum(buried - reach * limit, 0)
        sulcus = plane.fine(fold, cubic=True) * np.float32(anatomy.fold_mm / (2 * np.pi))
        np.minimum(sulci, np.sqrt(sulcus * sulcus + over * over), out=sulci)

    ax = np.abs(x) + 1.5 * wobble[0]
    rise = z + 5 + 0.42 * y + 2.0 * wobble[1]
    ends = np.square(np.maximum(y - 20, 0)) + np.square(np.maximum(-38 - y, 0))
    lateral = np.square(np.maximum(38 - ax, 0)) + ends
    insula = np.square(np.maximum(np.abs(rise) - 11, 0)) + ends
    rise_fine, wall = plane.fine(rise), plane.fine(ax - 38)
    sylvian = np.minimum(
        np.sqrt(rise_fine * rise_fine + plane.fine(lateral)), np.sqrt(wall * wall + plane.fine(insula))
    )
    return sulci, fissure, sylvian


def _crack(scene: Scene, distance: Array, half: float, normal_along: float) -> Array:
    """Cover of a thin sheet `2 * half` mm wide; one that lies in the slice is averaged over its thickness."""
    blur = max(scene.canvas.edge, scene.thickness * normal_along)
    return scene.canvas.cover(distance - np.float32(half), blur) * np.float32(min(1.0, 2.4 * half / blur))


def paint_brain(scene: Scene) -> Brain:
    """Paint the inside of the skull."""
    canvas, signal, anatomy = scene.canvas, scene.signal, scene.anatomy
    plane = canvas.plane
    gap = 1.0 + 2.6 * anatomy.atrophy
    canvas.solid(scene.cavity, signal["csf"])

    frame, coarse = scene.coarse_brain, scene.coarse
    cerebrum = plane.fine(cerebrum_distance(*frame, coarse.cavity, coarse.infratentorial, gap))
    cerebellum = plane.fine(cerebellum_distance(*frame, coarse.cavity, coarse.infratentorial, gap))
    sulci, fissure, sylvian = _sheets(scene, -cerebrum)

    tone = plane.fine(1 + 0.02 * coarse.at.field(anatomy.patchwork)[0])
    matter = canvas.cover(cerebrum)
    canvas.paint(matter, signal["grey"] * tone)
    pial = np.minimum(np.minimum(sulci, -cerebrum), np.minimum(fissure, sylvian))
    white = canvas.cover(CORTEX_MM - pial, 1.6)
    canvas.paint(white, signal["white"] * tone)
    half = 0.20 + 0.45 * anatomy.atrophy
    across = abs(float(plane.axes[2][0]))
    # Sulci open towards the surface, which makes the brain's outline a folded one.
    mouth = np.float32(0.9 + 0.9 * anatomy.atrophy) * np.clip(1 + cerebrum * np.float32(1 / 7.0), 0, 1)
    canvas.paint(_crack(scene, sulci - mouth, half, 0.3) * matter, signal["csf"])
    canvas.paint(_crack(scene, fissure, half + 0.2, across) * matter, signal["csf"])
    canvas.paint(_crack(scene, sylvian, half + 0.35, 0.3) * matter, signal["csf"])

    _paint_hindbrain(scene, cerebellum, tone)
    _paint_nuclei(scene)
    _paint_ventricles(scene)
    return Brain(white, fissure, np.maximum(matter, canvas.cover(cerebellum)))


def _paint_hindbrain(scene: Scene, cerebellum: Array, tone: Array) -> None:
    canvas, signal = scene.canvas, scene.signal
    cover = canvas.cover(cerebellum)
    if cover.any():
        canvas.paint(cover, signal["grey"] * tone)
        _paint_folia(scene, cerebellum, cover, tone)
    ball(scene, scene.brain, "white", (0.0, -20.0, -11.0), (17.0, 13.0, 11.0))
    ball(scene, scene.brain, "white", (0.0, -24.0, -31.0), (17.0, 13.0, 15.0))
    rod(scene, scene.brain, "white", (0.0, -29.0, -42.0), (0.0, -38.0, -64.0), 8.5, 6.5)
    for side in (-1.0, 1.0):
        rod(scene, scene.brain, "white", (side * 12.0, -30.0, -32.0), (side * 22.0, -46.0, -36.0), 6.0, 6.0)
    ball(scene, scene.brain, "deep_grey", (0.0, -17.5, -9.0), (9.0, 2.5, 4.0), 0.6)
    ball(scene, scene.brain, "csf", (0.0, -39.0, -33.0), (8.0, 4.5, 11.0))
    rod(scene, scene.brain, "csf", (0.0, -27.0, -6.0), (0.0, -36.0, -24.0), 1.0, 1.6)
    ball(scene, scene.brain, "deep_grey", (0.0, -32.0, -3.0), (7.0, 3.0, 6.0))


def _paint_folia(scene: Scene, cerebellum: Array, cover: Array, tone: Array) -> None:
    """Fissures that fan out from the fourth ventricle, curved around the stem, and white matter between them."""
    canvas, signal, anatomy, plane = scene.canvas, scene.signal, scene.anatomy, scene.canvas.plane
    x, y, z = scene.coarse_brain
    wobble = scene.coarse.at.field(anatomy.patchwork)
    back, up = np.float32(-46) - y + np.float32(0.011) * x * x, z + 34
    angle = np.arctan2(up, back) + (0.10 * wobble[0] + 0.04 * scene.coarse.at.field(anatomy.fine)[0])
    rows, cols = (np.flatnonzero(cover.any(axis=axis)) for axis in (1, 0))
    window = slice(rows[0], rows[-1] + 1), slice(cols[0], cols[-1] + 1)
    inside, cover, tone = cerebellum[window], cover[window], tone[window]
    # Interpolating the angle itself would smear the line where it jumps.
    angle = np.arctan2(plane.fine(np.sin(angle))[window], plane.fine(np.cos(angle))[window])
    away = plane.fine(back)[window]
    strength = np.clip(plane.fine(0.5 + 0.35 * wobble[1])[window], 0, 1) * cover
    target = canvas.image[window]
    white = canvas.cover(9.5 + inside - 2.5 * np.sin(9 * angle), 5.0) * cover
    target += white * (signal["white"] * tone - target)
    # The pitch along `away` bends the fans into spirals: a slice at the ventricle's level cuts them too.
    for count, pitch, reach, share in ((9, 21.0, 18.0, 0.75), (37, 7.0, 14.0, 0.6)):
        line = np.cos(count * angle + away * np.float32(2 * np.pi / pitch))
        line = np.clip((line - 0.70) * 3.3, 0, 1) * np.clip(1.2 + inside / reach, 0, 1)
        target += line * strength * np.float32(share) * (signal["csf"] - target)


def _paint_nuclei(scene: Scene) -> None:
    # White matter that the fold model would otherwise cut: callosum, fornix and the walls of the ventricles.
    ball(scene, scene.brain, "white", (0.0, -5.0, 3.0), (30.0, 38.0, 25.0), 0.9)
    for side in (-1.0, 1.0):
        ball(scene, scene.brain, "deep_grey", (side * 11.0, -17.0, 6.0), (9.5, 15.0, 9.5))
        ball(scene, scene.brain, "deep_grey", (side * 13.5, 14.0, 6.0), (5.5, 12.0, 9.0))
        ball(scene, scene.brain, "deep_grey", (side * 25.0, 3.0, 1.0), (8.0, 17.0, 10.5))
        ball(scene, scene.brain, "deep_grey", (side * 25.0, -8.0, -20.0), (7.0, 10.0, 7.0), 0.5)
        ball(scene, scene.brain, "grey", (side * 28.0, -24.0, -13.0), (5.0, 13.0, 4.0), 0.7)


def _paint_ventricles(scene: Scene) -> None:
    v = scene.anatomy.ventricle
    for side in (-1.0, 1.0):
        s = side
        rod(scene, scene.brain, "csf", (s * 8.5, 29.0, 7.0), (s * 8.0, 4.0, 17.0), 4.2 * v, 5.2 * v)
        rod(scene, scene.brain, "csf", (s * 8.0, 4.0, 17.0), (s * 13.5, -28.0, 19.0), 5.2 * v, 5.2 * v)
        ball(scene, scene.brain, "csf", (s * 21.0, -38.0, 11.0), (7.0 * v, 10.0 * v, 10.5 * v))
        rod(scene, scene.brain, "csf", (s * 22.0, -40.0, 9.0), (s * 24.0, -66.0, 5.0), 5.0 * v, 2.2 * v)
        rod(scene, scene.brain, "csf", (s * 24.0, -37.0, 2.0), (s * 32.0, -12.0, -16.0), 3.0 * v, 2.2 * v)
        rod(scene, scene.brain, "choroid", (s * 20.5, -36.0, 4.0), (s * 18.0, -36.0, 15.0), 2.6, 2.0, 0.9)
        rod(scene, scene.brain, "choroid", (s * 13.0, -30.0, 16.0), (s * 6.0, 0.0, 12.0), 1.6, 1.0, 0.8)
    ball(scene, scene.brain, "csf", (0.0, -9.0, -2.0), (2.2 * v, 14.0, 11.0))
    rod(scene, scene.brain, "white", (0.0, 22.0, 10.0), (0.0, -8.0, 14.0), 1.2, 2.2, 0.8)
