"""What goes wrong with MR slices, at five severities, to ask how far answers hold.

The table was fixed before anything was measured with it. Severities, each in five equal steps, are those of Boone L et
al. ROOD-MRI: Benchmarking the robustness of deep learning segmentation models to out-of-distribution data in MRI.
NeuroImage 2023;278:120289 (bias field, ghosting, motion, noise, blur, both gammas, rotation, downsampling along an
axis); the spike's are equal steps up to the default of Pérez-García F et al. TorchIO. Comput Methods Programs Biomed
2021;208:106236; JPEG qualities are those of Hendrycks D, Dietterich T. Benchmarking neural network robustness to common
corruptions and perturbations. ICLR 2019. Lengths are in pixels of a slice of 256, about a millimetre each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.float32]
_Change = Callable[[Picture, float, np.random.Generator], Picture]

SEVERITIES: Final = (1, 2, 3, 4, 5)
#: Strength of each corruption at each severity; what it means stands with the function of its name.
STRENGTHS: Final[Mapping[str, tuple[float, ...]]] = MappingProxyType(
    {
        "noise": (0.16, 0.32, 0.48, 0.64, 0.80),
        "bias_field": (0.3, 0.6, 0.9, 1.2, 1.5),
        "ghosting": (0.5, 1.0, 1.5, 2.0, 2.5),
        "motion": (1.0, 2.0, 3.0, 4.0, 5.0),
        "blur": (0.8, 1.6, 2.4, 3.2, 4.0),
        "gamma_low": (0.86, 0.72, 0.58, 0.44, 0.30),
        "gamma_high": (1.4, 1.8, 2.2, 2.6, 3.0),
        "jpeg": (25, 18, 15, 10, 7),
        "downsampling": (2.8, 4.6, 6.4, 8.2, 10.0),
        "rotation": (6, 12, 18, 24, 30),
        "spike": (0.6, 1.2, 1.8, 2.4, 3.0),
    }
)
LARGEST: Final = 256
_MOTION_MM: Final = 2.0  # of translation for each degree of rotation
_ORDER: Final = 3  # of the bias field's polynomial


def unit_picture(pixels: np.ndarray) -> Picture:
    """A slice as corruptions want it: float32 (h, w) in [0, 1], the longer side at most 256 pixels."""
    finite = np.isfinite(pixels)
    low = float(pixels[finite].min()) if finite.any() else 0.0
    filled = np.where(finite, pixels, low).astype(np.float32)
    scale = min(1.0, LARGEST / max(filled.shape))
    shape = tuple(max(1, round(side * scale)) for side in filled.shape)
    small = cv2.resize(filled, shape[::-1], interpolation=cv2.INTER_AREA)
    high = float(np.percentile(small, 99.9))
    return np.asarray(np.clip((small - low) / max(high - low, 1e-6), 0, 1), np.float32)


def corrupt(picture: Picture, kind: str, severity: int, rng: np.random.Generator) -> Picture:
    """The picture with one corruption.

    Args:
        picture: float32 (h, w) in [0, 1].
        kind: a key of :data:`STRENGTHS`.
        severity: 1 to 5.
        rng: the only source of chance.

    Returns:
        float32 (h, w), not negative.
    """
    return np.asarray(_CHANGES[kind](picture, STRENGTHS[kind][severity - 1], rng), np.float32)


def _noise(picture: Picture, strength: float, rng: np.random.Generator) -> Picture:
    """Rician noise; ``strength`` is its standard deviation over that of the picture."""
    spread = np.float32(strength * float(picture.std()))
    real, imaginary = rng.standard_normal((2, *picture.shape), dtype=np.float32) * spread
    return np.asarray(np.hypot(picture + real, imaginary), np.float32)


def _bias_field(picture: Picture, strength: float, rng: np.random.Generator) -> Picture:
    """Multiplied by the exponential of a polynomial of third order whose coefficients lie within ±``strength``."""
    y, x = (np.linspace(-1, 1, side, dtype=np.float32) for side in picture.shape)
    field = np.zeros(picture.shape, np.float32)
    for i in range(_ORDER + 1):
        for j in range(_ORDER + 1 - i):
            field += np.float32(rng.uniform(-strength, strength)) * np.outer(y**i, x**j).astype(np.float32)
    return np.asarray(picture * np.exp(field), np.float32)


def _ghosting(picture: Picture, strength: float, rng: np.random.Generator) -> Picture:
    """Every n-th line of k-space, but for the middle, weakened by ``strength``: 3 to 11 ghosts, as severity grows."""
    ghosts, axis = round(1 + 4 * strength), int(rng.integers(2))
    space = np.fft.fftshift(np.fft.fft2(picture))
    lines = np.moveaxis(space, axis, 0)
    middle = len(lines) // 2
    keep = max(1, len(lines) // 50)
    weak = np.arange(int(rng.integers(ghosts)), len(lines), ghosts)
    weak = weak[np.abs(weak - middle) > keep]
    lines[weak] *= 1 - strength
    return _from_k_space(space)


def _motion(picture: Picture, strength: float, rng: np.random.Generator) -> Picture:
    """K-space filled while the head moves, twice per degree of ``strength``: rotations, and twice as many pixels."""
    moves = round(2 * strength)
    step = 1 / (moves + 1)
    times = step * np.arange(1, moves + 1) + rng.uniform(-0.3, 0.3, moves) * step
    poses = [(0.0, 0.0, 0.0)]
    for _ in range(moves):
        angle, *shift = rng.uniform(-strength, strength, 3) * (1, _MOTION_MM, _MOTION_MM)
        poses.append((float(angle), float(shift[0]), float(shift[1])))
    # What was seen longest, while the middle of k-space was filled, is where the head is shown.
    first = int(np.searchsorted(times, 0.5))
    poses[0], poses[first] = poses[first], poses[0]
    space = np.zeros(picture.shape, np.complex128)
    ends = [0, *(int(len(picture) * time) for time in times), len(picture)]
    for pose, start, end in zip(poses, ends[:-1], ends[1:], strict=True):
        space[start:end] = np.fft.fftshift(np.fft.fft2(_moved(picture, *pose)))[start:end]
    return _from_k_space(space)


def _blur(picture: Picture, strength: float, rng: np.random.Generator) -> Picture:
    """A Gaussian with a standard deviation of ``strength`` pixels."""
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), strength), np.float32)


def _gamma(picture: Picture, strength: float, rng: np.random.Generator) -> Picture:
    """To the power of ``strength``: below 1 dark tissues come close to bright ones, above 1 to black."""
    return np.asarray(picture ** np.float32(strength), np.float32)


def _jpeg(picture: Picture, strength: float, rng: np.random.Generator) -> Picture:
    """Through a JPEG file of quality ``strength``."""
    grey = np.clip(np.rint(picture * 255), 0, 255).astype(np.uint8)
    coded = cv2.imencode(".jpg", grey, [cv2.IMWRITE_JPEG_QUALITY, int(strength)])[1]
    return np.asarray(cv2.imdecode(coded, cv2.IMREAD_GRAYSCALE), np.float32) / np.float32(255)


def _downsampling(picture: Picture, strength: float, rng: np.random.Generator) -> Picture:
    """Along one axis as many times fewer pixels, and back."""
    rows, columns = picture.shape
    fewer = (columns, max(2, round(rows / strength))) if rng.integers(2) else (max(2, round(columns / strength)), rows)
    small = cv2.resize(picture, fewer, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (columns, rows), interpolation=cv2.INTER_LINEAR), np.float32)


def _rotation(picture: Picture, strength: float, rng: np.random.Generator) -> Picture:
    """By up to ``strength`` degrees to either side."""
    return _moved(picture, float(rng.uniform(-strength, strength)), 0.0, 0.0)


def _spike(picture: Picture, strength: float, rng: np.random.Generator) -> Picture:
    """One point of k-space ``strength`` times as strong as its strongest: stripes."""
    space = np.fft.fftshift(np.fft.fft2(picture))
    row, column = (int(side * place) for side, place in zip(picture.shape, rng.uniform(0.2, 0.8, 2), strict=True))
    space[row, column] += strength * np.abs(space).max()
    return _from_k_space(space)


def _moved(picture: Picture, angle: float, right: float, down: float) -> Picture:
    rows, columns = picture.shape
    matrix = cv2.getRotationMatrix2D(((columns - 1) / 2, (rows - 1) / 2), angle, 1.0)
    matrix[:, 2] += (right, down)
    return np.asarray(cv2.warpAffine(picture, matrix, (columns, rows), flags=cv2.INTER_LINEAR), np.float32)


def _from_k_space(space: np.ndarray) -> Picture:
    return np.asarray(np.abs(np.fft.ifft2(np.fft.ifftshift(space))), np.float32)


_CHANGES: Final[Mapping[str, _Change]] = MappingProxyType(
    {
        "noise": _noise,
        "bias_field": _bias_field,
        "ghosting": _ghosting,
        "motion": _motion,
        "blur": _blur,
        "gamma_low": _gamma,
        "gamma_high": _gamma,
        "jpeg": _jpeg,
        "downsampling": _downsampling,
        "rotation": _rotation,
        "spike": _spike,
    }
)
