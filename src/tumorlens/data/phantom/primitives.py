"""Simple bodies painted into the scene: ellipsoids and tapered rods, in head coordinates in mm."""

from __future__ import annotations

from .canvas import Frame
from .context import Scene
from .shapes import Point, capsule, ellipsoid


def ball(scene: Scene, layer: Frame, tissue: str, centre: Point, radii: Point, opacity: float = 1.0) -> None:
    """Paint an ellipsoid of ``tissue`` into a layer of the scene."""
    low = (centre[0] - radii[0], centre[1] - radii[1], centre[2] - radii[2])
    high = (centre[0] + radii[0], centre[1] + radii[1], centre[2] + radii[2])
    signal = scene.signal[tissue]
    scene.canvas.local(layer, low, high, lambda x, y, z: ellipsoid(x, y, z, centre, radii), signal, opacity)


def rod(
    scene: Scene, layer: Frame, tissue: str, a: Point, b: Point, ra: float, rb: float, opacity: float = 1.0
) -> None:
    """Paint a rod of ``tissue`` from ``a`` (radius ``ra``) to ``b`` (radius ``rb``) into a layer of the scene."""
    r = max(ra, rb)
    low = (min(a[0], b[0]) - r, min(a[1], b[1]) - r, min(a[2], b[2]) - r)
    high = (max(a[0], b[0]) + r, max(a[1], b[1]) + r, max(a[2], b[2]) + r)
    signal = scene.signal[tissue]
    scene.canvas.local(layer, low, high, lambda x, y, z: capsule(x, y, z, a, b, ra, rb), signal, opacity)
