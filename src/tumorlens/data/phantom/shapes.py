"""Signed distances (mm, negative inside) of simple solids, float32, for points of any array shape."""

from __future__ import annotations

import numpy as np

from .fields import Array

__all__ = ["Point", "capsule", "ellipsoid", "smooth_max", "smooth_min", "smoothstep"]

Point = tuple[float, float, float]


def ellipsoid(x: Array, y: Array, z: Array, centre: Point, radii: Point) -> Array:
    """First-order distance to an ellipsoid (exact on its surface)."""
    px = (x - np.float32(centre[0])) * np.float32(1.0 / radii[0])
    py = (y - np.float32(centre[1])) * np.float32(1.0 / radii[1])
    pz = (z - np.float32(centre[2])) * np.float32(1.0 / radii[2])
    px2, py2, pz2 = px * px, py * py, pz * pz
    level = np.sqrt(px2 + py2 + pz2)
    slope = np.sqrt(
        px2 * np.float32(radii[0] ** -2) + py2 * np.float32(radii[1] ** -2) + pz2 * np.float32(radii[2] ** -2)
    )
    result: Array = level * (level - 1) / (slope + np.float32(1e-6))
    return result


def capsule(x: Array, y: Array, z: Array, a: Point, b: Point, ra: float, rb: float) -> Array:
    """Distance to the segment from `a` to `b` less a radius that runs from `ra` to `rb`."""
    bx, by, bz = b[0] - a[0], b[1] - a[1], b[2] - a[2]
    inverse = 1.0 / (bx * bx + by * by + bz * bz + 1e-9)
    px, py, pz = x - np.float32(a[0]), y - np.float32(a[1]), z - np.float32(a[2])
    t = px * np.float32(bx * inverse) + py * np.float32(by * inverse) + pz * np.float32(bz * inverse)
    np.clip(t, 0, 1, out=t)
    px -= np.float32(bx) * t
    py -= np.float32(by) * t
    pz -= np.float32(bz) * t
    result: Array = np.sqrt(px * px + py * py + pz * pz) - (np.float32(ra) + np.float32(rb - ra) * t)
    return result


def smooth_min(a: Array, b: Array, k: float) -> Array:
    """Minimum of two distances with the crease rounded over `k` mm (union)."""
    h = np.maximum(np.float32(k) - np.abs(a - b), 0)
    result: Array = np.minimum(a, b) - h * h * np.float32(0.25 / k)
    return result


def smooth_max(a: Array, b: Array, k: float) -> Array:
    """Maximum of two distances with the crease rounded over `k` mm (intersection)."""
    h = np.maximum(np.float32(k) - np.abs(a - b), 0)
    result: Array = np.maximum(a, b) + h * h * np.float32(0.25 / k)
    return result


def smoothstep(x: Array, low: float, high: float) -> Array:
    """0 at `low`, 1 at `high` (either order), smooth in between."""
    t = np.clip((x - np.float32(low)) * np.float32(1.0 / (high - low)), 0, 1)
    result: Array = t * t * (3 - 2 * t)
    return result
