"""From tissue signal to an 8-bit picture: coil profile, noise, display window, black frame."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from .fields import Array

__all__ = ["OVERSAMPLING", "Camera", "draw_camera", "expose", "shrink_mask"]

OVERSAMPLING = 1.25


@dataclass(frozen=True, slots=True)
class Camera:
    """Nuisance of one series, the same for its slices: geometry in px and mm, noise and display."""

    shape: tuple[int, int]
    pad: tuple[int, int, int, int]
    spacing: float
    noise: float
    bias: float
    coil: float
    gamma: float
    white: float
    percentile: float
    smooth: float

    @property
    def work_shape(self) -> tuple[int, int]:
        """Size of the oversampled rendering."""
        return round(self.shape[0] * OVERSAMPLING), round(self.shape[1] * OVERSAMPLING)


def draw_camera(rng: np.random.Generator, height_mm: float, width_mm: float) -> Camera:
    """Draw a camera that shows about `height_mm` x `width_mm`; the final size is 192 to 320 px a side."""
    matrix = int(rng.integers(192, 297))
    fov = max(height_mm, width_mm) * rng.uniform(0.97, 1.25)
    spacing = float(fov / matrix)
    tight = rng.uniform(0.0, 1.0)
    rows, cols = (
        int(np.clip(round((tight * mm * 1.03 + (1 - tight) * fov) / spacing), 192, matrix))
        for mm in (height_mm, width_mm)
    )
    pad = [0, 0, 0, 0]
    if rng.random() < 0.4:
        top, bottom = rng.integers(0, max(1, min(12, (320 - rows) // 2)) + 1, 2)
        left, right = rng.integers(0, max(1, min(12, (320 - cols) // 2)) + 1, 2)
        pad = [int(top), int(bottom), int(left), int(right)]
    return Camera(
        shape=(rows, cols),
        pad=(pad[0], pad[1], pad[2], pad[3]),
        spacing=spacing,
        noise=float(np.exp(rng.uniform(np.log(0.006), np.log(0.018)))),
        bias=float(rng.uniform(0.06, 0.26)),
        coil=float(rng.uniform(0.0, 0.45)),
        gamma=float(rng.uniform(0.85, 1.2)),
        white=float(rng.uniform(1.0, 1.45)),
        percentile=float(rng.uniform(98.5, 99.8)),
        smooth=float(rng.uniform(0.35, 0.75)),
    )


def _smooth_field(rng: np.random.Generator, shape: tuple[int, int], nodes: int) -> Array:
    grid = rng.standard_normal((nodes, nodes)).astype(np.float32)
    result: Array = cv2.resize(grid, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC)
    return result


def expose(image: Array, camera: Camera, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Turn a work-size float32 signal image into the final uint8 picture.

    The noise is Rician: the magnitude of a complex signal with Gaussian noise in both channels (Gudbjartsson
    and Patz, Magn. Reson. Med. 34, 1995).
    """
    rows, cols = camera.shape
    small = cv2.GaussianBlur(image, (0, 0), camera.smooth * OVERSAMPLING)
    small = cv2.resize(small, (cols, rows), interpolation=cv2.INTER_AREA)
    field = camera.bias * _smooth_field(rng, camera.shape, 4)
    v = np.linspace(-1, 1, rows, dtype=np.float32)[:, None]
    h = np.linspace(-1, 1, cols, dtype=np.float32)[None, :]
    field += np.float32(camera.coil) * (v * v + h * h)  # head coils are brighter near the scalp
    small *= np.exp(field, out=field)
    real = rng.standard_normal(camera.shape, dtype=np.float32)
    imaginary = rng.standard_normal(camera.shape, dtype=np.float32)
    real *= np.float32(camera.noise)
    imaginary *= np.float32(camera.noise)
    small = cv2.magnitude(small + real, imaginary)
    top = np.percentile(small[::2, ::2], camera.percentile) * camera.white
    small *= np.float32(1 / max(float(top), 1e-6))
    np.clip(small, 0, 1, out=small)
    small = cv2.pow(small, camera.gamma)
    return _frame((small * 255 + 0.5).astype(np.uint8), camera)


def shrink_mask(cover: Array, camera: Camera) -> NDArray[np.bool_]:
    """Pixels of the final picture at least half covered by the tumour."""
    rows, cols = camera.shape
    small = cv2.resize(cover, (cols, rows), interpolation=cv2.INTER_AREA)
    return _frame((small >= 0.5).astype(np.uint8), camera).astype(bool)


def _frame(picture: NDArray[np.uint8], camera: Camera) -> NDArray[np.uint8]:
    top, bottom, left, right = camera.pad
    result: NDArray[np.uint8] = cv2.copyMakeBorder(picture, top, bottom, left, right, cv2.BORDER_CONSTANT, value=0)
    return result
