"""Normal structures that take up contrast agent: dura, venous sinuses, arteries, pituitary gland and its
stalk.

They are present in every class, so brightness alone does not mean tumour.
"""

from __future__ import annotations

import numpy as np

from .brain import Brain
from .context import Scene
from .shapes import Point, capsule, ellipsoid

__all__ = ["Vessels", "paint_vessels"]

_ARTERIES: tuple[tuple[Point, Point, float], ...] = (
    ((13.0, 4.0, -22.0), (34.0, 6.0, -14.0), 1.5),
    ((34.0, 6.0, -14.0), (42.0, -8.0, 0.0), 1.2),
    ((42.0, -8.0, 0.0), (50.0, -28.0, 8.0), 1.0),
    ((12.0, 5.0, -22.0), (2.0, 16.0, -18.0), 1.3),
    ((2.0, 16.0, -18.0), (2.0, 38.0, 2.0), 1.2),
    ((2.0, 38.0, 2.0), (2.0, 20.0, 30.0), 1.0),
    ((2.0, 20.0, 30.0), (2.0, -30.0, 32.0), 0.9),
    ((3.0, -8.0, -16.0), (17.0, -22.0, -12.0), 1.3),
    ((17.0, -22.0, -12.0), (18.0, -50.0, -4.0), 1.1),
    ((13.0, 4.0, -22.0), (10.0, -8.0, -16.0), 0.8),
    ((40.0, 12.0, -10.0), (56.0, 6.0, 8.0), 1.0),
)


class Vessels:
    """A patient's own vessels: whether arteries are bright or flow voids, and veins on the surface."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.void = float(rng.uniform(0.0, 1.0))
        self.sinus = float(rng.uniform(0.6, 1.3))
        self.gland = tuple(float(v) for v in rng.uniform((5.0, 4.0, 2.6), (7.0, 5.5, 4.4)))
        self.dura = float(rng.uniform(0.2, 1.0))
        self.falx = float(rng.uniform(0.2, 0.9))
        direction = rng.standard_normal((14, 3))
        direction[:, 2] = np.abs(direction[:, 2]) * 1.2 - 0.2
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        start = direction * (66.0, 84.0, 66.0) * rng.uniform(0.72, 0.97, (14, 1)) + (0.0, -16.0, 8.0)
        stop = start + rng.normal(0.0, 11.0, (14, 3))
        radius = rng.uniform(0.6, 1.6, 14)
        self.veins: list[tuple[Point, Point, float]] = [
            (tuple(map(float, a)), tuple(map(float, b)), float(r))  # type: ignore[misc]
            for a, b, r in zip(start, stop, radius, strict=True)
        ]


def _rod(scene: Scene, value: float, a: Point, b: Point, r: float, opacity: float = 1.0) -> None:
    low = (min(a[0], b[0]) - r, min(a[1], b[1]) - r, min(a[2], b[2]) - r)
    high = (max(a[0], b[0]) + r, max(a[1], b[1]) + r, max(a[2], b[2]) + r)
    scene.canvas.local(scene.brain, low, high, lambda x, y, z: capsule(x, y, z, a, b, r, r), value, opacity)


def _ball(scene: Scene, value: float, centre: Point, radii: Point, opacity: float = 1.0) -> None:
    low = (centre[0] - radii[0], centre[1] - radii[1], centre[2] - radii[2])
    high = (centre[0] + radii[0], centre[1] + radii[1], centre[2] + radii[2])
    scene.canvas.local(scene.bone, low, high, lambda x, y, z: ellipsoid(x, y, z, centre, radii), value, opacity)


def paint_vessels(scene: Scene, brain: Brain, vessels: Vessels) -> None:
    """Paint dura, falx, sinuses, arteries and veins, and the normal pituitary gland."""
    canvas, signal, plane = scene.canvas, scene.signal, scene.canvas.plane
    blood, void = signal["blood"], signal["flow_void"]
    canvas.paint(canvas.cover(np.abs(scene.cavity) - np.float32(0.5)) * np.float32(vessels.dura), signal["dura"])

    coarse = scene.coarse
    ax = np.abs(scene.coarse_brain[0])
    # The falx lies in the fissure from the skull to a little above the callosum.
    y, z = coarse.y, coarse.z
    reach = 1 - np.sqrt(np.square((y + 8) / 52) + np.square((z - 2) / 40))
    hangs = (coarse.infratentorial > 0) & (reach < 0) & (z > -12) & (coarse.cavity < 0)
    falx = plane.fine(hangs.astype(np.float32))
    across = abs(float(plane.axes[2][0]))
    blur = max(canvas.edge, scene.thickness * across)
    sheet = canvas.cover(np.abs(scene.brain.axes[0]) - np.float32(0.5), blur) * np.float32(min(1.0, 1.4 / blur))
    canvas.paint(sheet * falx * np.float32(vessels.falx), signal["dura"])
    tent = plane.fine(((ax > 10) & (y < -18) & (coarse.cavity < 0)).astype(np.float32))
    edge = plane.fine(coarse.infratentorial)
    canvas.paint(
        canvas.cover(np.abs(edge - 0.5) - np.float32(0.4)) * tent * np.float32(0.7 * vessels.dura),
        signal["dura"],
    )

    sagittal = np.maximum(np.abs(coarse.x) - 0.62 * (coarse.cavity + 7.5 * vessels.sinus), coarse.cavity)
    sagittal = np.maximum(sagittal, np.maximum(-2 - z, coarse.cavity))
    transverse = np.maximum(np.abs(coarse.infratentorial) - 3.2 * vessels.sinus, -coarse.cavity - 5.5 * vessels.sinus)
    transverse = np.maximum(np.maximum(transverse, coarse.cavity), y + 48)
    canvas.solid(plane.fine(np.minimum(sagittal, transverse)), blood, opacity=0.85)

    _rod(scene, blood, (0.0, -44.0, 6.0), (0.0, -88.0, -12.0), 2.2, 0.85)
    _rod(scene, blood, (0.0, -36.0, 4.0), (0.0, -45.0, 8.0), 2.6, 0.85)
    artery = blood + (void - blood) * (1.0 if vessels.void > 0.6 else 0.0)
    for side in (-1.0, 1.0):
        _ball(scene, blood, (side * 14.0, 2.0, -31.0), (5.0, 11.0, 6.5), 0.7)
        _ball(scene, void, (side * 14.0, 4.0, -30.0), (2.6, 8.0, 2.6), 0.8)
        _rod(scene, blood, (side * 56.0, -42.0, -38.0), (side * 44.0, -34.0, -60.0), 4.0 * vessels.sinus, 0.8)
        for a, b, r in _ARTERIES:
            _rod(scene, artery, (side * a[0], a[1], a[2]), (side * b[0], b[1], b[2]), r, 0.85)
    _rod(scene, artery, (0.0, -9.0, -17.0), (0.0, -12.0, -44.0), 1.7)
    for a, b, r in vessels.veins:
        _rod(scene, blood, a, b, r, 0.9)

    gx, gy, gz = vessels.gland
    _ball(scene, signal["gland"], (0.0, 4.0, -31.0), (gx, gy, gz))
    _rod(scene, signal["gland"], (0.0, 3.0, -28.0), (0.0, -3.0, -15.0), 1.1, 0.9)
    _rod(scene, signal["white"], (-7.0, 3.0, -16.5), (7.0, 3.0, -16.5), 1.8)
