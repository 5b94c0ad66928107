"""The head outside the brain: scalp, skull, face, eyes, air spaces and neck."""

from __future__ import annotations

import numpy as np

from .context import Scene
from .fields import Array
from .primitives import ball, rod
from .shapes import smoothstep

__all__ = ["paint_outside", "paint_petrous"]


def paint_outside(scene: Scene) -> None:
    """Scalp and skull over the whole slice, then the face, the eyes, the sinuses and the neck."""
    canvas, anatomy, signal, coarse = scene.canvas, scene.anatomy, scene.signal, scene.coarse
    patch = coarse.at.field(anatomy.patchwork)
    fine = coarse.at.field(anatomy.fine)[0]
    # Muscle with fat between the bellies; muscle is commoner low down, in the neck and around the jaw.
    fat = 0.6 * smoothstep(np.abs(patch[0]) - 0.12 + 0.08 * fine, 0.26, -0.22)
    flesh = signal["muscle"] * (1 + 0.07 * fine) + fat * (signal["fat"] * 0.9 - signal["muscle"])
    canvas.solid(scene.head, canvas.plane.fine(flesh))
    shell = scene.head + np.float32(1.4)
    under = canvas.cover(shell) * (1 - canvas.cover(scene.head + np.float32(anatomy.scalp_mm * 0.9)))
    canvas.paint(under, canvas.plane.fine(signal["fat"] * (0.94 + 0.07 * fine)))
    canvas.paint(canvas.cover(scene.head) - canvas.cover(shell), signal["skin"])
    _paint_skull(scene, patch)
    _paint_face(scene)
    _paint_neck(scene)


def _paint_skull(scene: Scene, patch: Array) -> None:
    canvas, anatomy, signal = scene.canvas, scene.anatomy, scene.signal
    thick = anatomy.skull_mm
    canvas.solid(scene.cavity - np.float32(thick), signal["bone"])
    half = canvas.plane.fine((thick * 0.30 * (anatomy.diploe + 0.35 * patch[1])).astype(np.float32))
    middle = np.abs(scene.cavity - np.float32(thick * 0.5)) - half
    canvas.solid(middle, signal["marrow"], opacity=0.35 + 0.6 * anatomy.diploe)


def _paint_face(scene: Scene) -> None:
    air = scene.anatomy.sinus_air
    _, dy, dz = scene.anatomy.face
    ball(scene, scene.bone, "bone", (0.0, 46.0, -42.0), (17.0, 26.0, 20.0))
    rod(scene, scene.bone, "marrow", (0.0, -7.0, -37.0), (0.0, -21.0, -60.0), 6.5, 5.0, 0.9)
    ball(scene, scene.bone, "marrow", (0.0, 10.0, -42.0), (15.0, 16.0, 9.0), 0.7)
    for side in (-1.0, 1.0):
        ball(scene, scene.bone, "fat", (side * 27.0, 42.0 + dy, -37.0), (17.0, 30.0, 17.0))
        rod(scene, scene.bone, "muscle", (side * 20.0, 20.0, -34.0), (side * 20.5, 52.0 + dy, -37.0), 1.6, 2.2)
        rod(scene, scene.bone, "muscle", (side * 26.0, 18.0, -34.0), (side * 41.0, 52.0 + dy, -37.0), 1.6, 2.2)
        rod(scene, scene.bone, "muscle", (side * 24.0, 18.0, -30.0), (side * 31.0, 54.0 + dy, -23.0), 1.5, 1.9)
        rod(scene, scene.bone, "muscle", (side * 24.0, 18.0, -38.0), (side * 31.0, 54.0 + dy, -51.0), 1.5, 1.9)
        rod(scene, scene.bone, "white", (side * 13.0, 14.0, -27.0), (side * 31.0, 50.0 + dy, -37.0), 1.8, 1.8)
        ball(scene, scene.bone, "skin", (side * 31.5, 60.0 + dy, -37.0), (13.6, 13.6, 13.6))
        ball(scene, scene.bone, "vitreous", (side * 31.5, 60.0 + dy, -37.0), (12.3, 12.3, 12.3))
        ball(scene, scene.bone, "lens", (side * 31.5, 69.5 + dy, -37.0), (4.6, 2.0, 4.6))
        ball(scene, scene.bone, "bone", (side * 28.0, 44.0, -70.0), (18.0, 20.0, 18.0))
        ball(scene, scene.bone, "mucosa", (side * 28.0, 44.0, -70.0), (16.5, 18.5, 16.5), 0.7)
        ball(scene, scene.bone, "air", (side * 28.0, 45.0, -69.0), (15.0 * air**0.3, 17.0 * air**0.3, 15.0 * air**0.3))
        ball(scene, scene.bone, "muscle", (side * 52.0, 18.0 + dy, -62.0), (9.0, 14.0, 24.0))
        ball(scene, scene.bone, "bone", (side * 46.0, 8.0, -78.0), (3.5, 9.0, 26.0))
        ball(scene, scene.bone, "muscle", (side * 66.0, 14.0, -22.0), (7.0, 22.0, 24.0), 0.8)
        rod(scene, scene.bone, "blood", (side * 38.0, -14.0, -60.0), (side * 38.0, -16.0, -130.0), 4.0, 5.0, 0.8)
        ball(scene, scene.bone, "skin", (side * 77.0, -26.0, -42.0), (5.0, 11.0, 20.0), 0.8)
    ball(scene, scene.bone, "mucosa", (0.0, 44.0, -40.0), (14.0, 24.0, 16.0), 0.9)
    for i in range(4):
        for j in (-1.0, 1.0):
            ball(
                scene,
                scene.bone,
                "air",
                (j * (4.5 + (i % 2) * 2.5), 28.0 + 11 * i, -38.0 + 3 * (i % 3)),
                (4.6, 5.0, 8.5),
            )
    ball(scene, scene.bone, "mucosa", (0.0, 20.0, -42.0), (15.0 * air, 13.0 * air, 10.0 * air), 0.8)
    ball(scene, scene.bone, "air", (0.0, 20.5, -42.0), (13.6 * air, 11.6 * air, 8.6 * air))
    ball(scene, scene.bone, "air", (0.0, 66.0, -12.0), (13.0 * air, 5.0 * air, 12.0 * air))
    ball(scene, scene.bone, "mucosa", (0.0, 47.0 + dy, -66.0), (12.0, 32.0, 14.0), 0.65)
    for j in (-1.0, 1.0):
        for i in range(3):
            height = -56.0 - 9 * i
            rod(scene, scene.bone, "air", (j * 5.0, 22.0, height), (j * 5.0, 72.0 + dy, height - 4), 1.2, 1.9, 0.8)
        rod(scene, scene.bone, "air", (j * 9.5, 24.0, -62.0), (j * 9.5, 70.0, -66.0), 1.2, 1.2)
    rod(scene, scene.bone, "air", (0.0, 12.0, -66.0), (0.0, 0.0, -130.0), 7.0, 7.5)
    ball(scene, scene.bone, "bone", (0.0, 54.0 + dy, -88.0), (26.0, 26.0, 3.0))
    ball(scene, scene.bone, "muscle", (0.0, 42.0 + dy, -108.0 + dz), (23.0, 30.0, 17.0))
    ball(scene, scene.bone, "air", (0.0, 44.0 + dy, -91.5), (18.0, 24.0, 1.8))


def _paint_neck(scene: Scene) -> None:
    for i in range(5):
        top = -74.0 - 15 * i
        y = -24.0 - 0.5 * i
        rod(scene, scene.bone, "bone", (0.0, y, top), (0.0, y - 1, top - 9), 9.6, 9.6)
        rod(scene, scene.bone, "marrow", (0.0, y, top - 1.5), (0.0, y - 1, top - 8), 7.6, 7.6, 0.85)
    rod(scene, scene.bone, "bone", (0.0, -44.0, -64.0), (0.0, -52.0, -140.0), 11.5, 11.0)
    rod(scene, scene.bone, "csf", (0.0, -40.0, -60.0), (0.0, -46.0, -140.0), 9.5, 9.0)
    rod(scene, scene.bone, "white", (0.0, -38.0, -60.0), (0.0, -45.0, -140.0), 6.5, 5.2)


def paint_petrous(scene: Scene) -> None:
    """The petrous bones with their air cells and the inner ear; drawn after the brain they indent."""
    for side in (-1.0, 1.0):
        rod(scene, scene.bone, "bone", (side * 17.0, -14.0, -40.0), (side * 52.0, -34.0, -43.0), 4.5, 9.5)
        ball(scene, scene.bone, "air", (side * 54.0, -38.0, -52.0), (11.0, 10.0, 14.0), 0.9)
        ball(scene, scene.bone, "mucosa", (side * 50.0, -36.0, -50.0), (2.0, 5.0, 6.0), 0.4)
        ball(scene, scene.bone, "csf", (side * 26.0, -21.0, -42.0), (3.6, 1.6, 1.6))
        ball(scene, scene.bone, "marrow", (side * 20.0, -15.0, -41.0), (4.5, 3.0, 2.6), 0.7)
