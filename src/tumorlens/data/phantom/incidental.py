"""Harmless findings of every class: white-matter spots, calcification, cysts, swollen mucosa."""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from .context import Scene
from .shapes import Point, ellipsoid

__all__ = ["Incidentals"]


class Incidentals:
    """A patient's incidental findings, drawn from `rng` alone (never from the class)."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.inside: list[tuple[str, Point, Point, float]] = []
        self.outside: list[tuple[str, Point, Point, float]] = []
        for _ in range(int(rng.poisson(2.0))):
            centre = rng.uniform((14.0, -60.0, -18.0), (42.0, 36.0, 36.0)) * (
                rng.choice((-1.0, 1.0)),
                1.0,
                1.0,
            )
            size = rng.uniform(1.2, 4.0, 3)
            self._add(self.inside, "gliosis", centre, size, float(rng.uniform(0.4, 0.9)))
        if rng.random() < 0.35:
            centre = rng.uniform((-50.0, -80.0, -40.0), (50.0, 40.0, 50.0))
            self._add(self.inside, "calcium", centre, rng.uniform(1.5, 4.0, 3), 0.9)
        if rng.random() < 0.4:
            self._add(self.inside, "calcium", np.array((0.0, -33.0, 2.0)), rng.uniform(1.5, 3.0, 3), 0.8)
        if rng.random() < 0.22:
            side = float(rng.choice((-1.0, 1.0)))
            places = ((side * 42.0, 18.0, -34.0), (side * 20.0, -86.0, -48.0), (side * 52.0, 10.0, 24.0))
            place = np.array(places[int(rng.integers(3))]) + rng.normal(0.0, 5.0, 3)
            self._add(self.inside, "csf", place, rng.uniform(5.0, 14.0, 3), 1.0)
        for _ in range(int(rng.poisson(0.8))):
            side = float(rng.choice((-1.0, 1.0)))
            places = ((side * 28.0, 44.0, -78.0), (side * 6.0, 22.0, -46.0), (side * 8.0, 50.0, -42.0))
            place = np.array(places[int(rng.integers(3))]) + rng.normal(0.0, 3.0, 3)
            self._add(self.outside, "mucosa", place, rng.uniform(4.0, 12.0, 3), 0.9)

    @staticmethod
    def _add(
        to: list[tuple[str, Point, Point, float]],
        tissue: str,
        centre: NDArray[np.float64],
        size: NDArray[np.float64],
        opacity: float,
    ) -> None:
        place = (float(centre[0]), float(centre[1]), float(centre[2]))
        to.append((tissue, place, (float(size[0]), float(size[1]), float(size[2])), opacity))

    def paint(self, scene: Scene) -> None:
        """Paint the findings that the slice meets."""
        for frame, items in ((scene.brain, self.inside), (scene.bone, self.outside)):
            for tissue, c, r, opacity in items:
                low = (c[0] - r[0], c[1] - r[1], c[2] - r[2])
                high = (c[0] + r[0], c[1] + r[1], c[2] + r[2])

                distance = partial(ellipsoid, centre=c, radii=r)
                scene.canvas.local(frame, low, high, distance, scene.signal[tissue], opacity)
