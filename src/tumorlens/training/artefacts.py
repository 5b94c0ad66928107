"""What scanners and sequences do to a picture: bias field, another contrast, blur, ghosts, a spike, noise, at random.

For training on slices of few scanners: a network that has seen these is less surprised by others. Parameters are drawn
apart from the pure function that applies them.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

# Each is done to so many of the images that are chosen at all.
_BIAS, _CURVE, _SHARPNESS, _GHOST, _SPIKE, _NOISE = 0.4, 0.4, 0.4, 0.2, 0.15, 0.4
_KNOTS = 6
# Preprocessing finds black and white again in whatever a scanner did: these percentiles of a changed picture.
_BLACK, _WHITE = 0.5, 99.5


@dataclass(frozen=True)
class Artefacts:
    """What will be done to one image; zeros do nothing.

    Attributes:
        bias: float32 (3, 3), logarithm of the coil's sensitivity on a coarse grid (bicubic in between).
        curve: float32 (6,), new grey values, 0..1, of 0, 0.2, … 1; monotone, as another sequence or window would show
            part of the tissues.
        sharpness: standard deviation of a Gaussian blur in pixels; negative: strength of sharpening.
        ghosts: how often the head is repeated along the phase direction.
        ghost_axis: 0 for down, 1 for across.
        ghost_strength: of the repetitions, as a share of the head.
        spike: strength of one point of k-space as a share of the strongest: stripes over all of the picture.
        wave: its place in k-space, (down, across) in waves per picture.
        noise: standard deviation of the complex noise as a share of the range; the magnitude of its sum with the image
            is Rician (Gudbjartsson H, Patz S. Magn Reson Med 1995;34:910-914).
        noise_seed: of the noise.
    """

    bias: np.ndarray
    curve: np.ndarray
    sharpness: float = 0.0
    ghosts: int = 0
    ghost_axis: int = 0
    ghost_strength: float = 0.0
    spike: float = 0.0
    wave: tuple[float, float] = (0.0, 0.0)
    noise: float = 0.0
    noise_seed: int = 0


def draw(rng: np.random.Generator, count: int, share: float) -> list[Artefacts | None]:
    """Random parameters for ``count`` images; None for those that are left alone.

    Args:
        rng: the only source of chance.
        count: how many images.
        share: how many of them are changed.
    """
    return [_draw(rng) if luck < share else None for luck in rng.random(count)]


def _draw(rng: np.random.Generator) -> Artefacts:
    does = rng.random(6)
    straight = np.linspace(0, 1, _KNOTS)
    # Halfway between no change and an arbitrary rise.
    bent = (straight + np.concatenate([[0], np.sort(rng.random(_KNOTS - 2)), [1]])) / 2
    sharpness = rng.uniform(0.4, 1.3) if rng.random() < 0.5 else -rng.uniform(0.3, 1.2)
    return Artefacts(
        bias=rng.normal(0, 0.4, (3, 3)).astype(np.float32) * np.float32(does[0] < _BIAS),
        curve=(bent if does[1] < _CURVE else straight).astype(np.float32),
        sharpness=float(sharpness) if does[2] < _SHARPNESS else 0.0,
        ghosts=int(rng.integers(2, 9)) if does[3] < _GHOST else 0,
        ghost_axis=int(rng.integers(2)),
        ghost_strength=float(rng.uniform(0.03, 0.25)),
        spike=float(rng.uniform(0.2, 2.0)) if does[5] < _SPIKE else 0.0,
        wave=(float(rng.uniform(-40, 40)), float(rng.uniform(3, 40))),
        noise=float(rng.uniform(0.01, 0.15)) if does[4] < _NOISE else 0.0,
        noise_seed=int(rng.integers(2**31)),
    )


def apply(image: np.ndarray, artefacts: Artefacts) -> np.ndarray:
    """The image with its artefacts; a pure function.

    Args:
        image: uint8 (S, S).
        artefacts: what to do.

    Returns:
        uint8 (S, S).
    """
    grey = image.astype(np.float32) * np.float32(1 / 255)
    shape = image.shape
    if artefacts.bias.any():
        grey *= np.exp(cv2.resize(artefacts.bias, shape[::-1], interpolation=cv2.INTER_CUBIC))
    grey = np.interp(grey, np.linspace(0, 1, _KNOTS), artefacts.curve).astype(np.float32)
    if artefacts.sharpness > 0:
        grey = cv2.GaussianBlur(grey, (0, 0), artefacts.sharpness)
    elif artefacts.sharpness < 0:
        grey = np.maximum(grey - artefacts.sharpness * (grey - cv2.GaussianBlur(grey, (0, 0), 1.0)), 0)
    if artefacts.ghosts:
        step = shape[artefacts.ghost_axis] // artefacts.ghosts
        copies = [np.roll(grey, step * k, artefacts.ghost_axis) for k in range(1, artefacts.ghosts)]
        grey = grey + np.float32(artefacts.ghost_strength / len(copies)) * np.sum(copies, axis=0)
    if artefacts.spike:
        grey = _striped(grey, artefacts.spike, artefacts.wave)
    if artefacts.noise:
        rng = np.random.default_rng(artefacts.noise_seed)
        real, imaginary = rng.normal(0, artefacts.noise, (2, *shape)).astype(np.float32)
        grey = np.hypot(grey + real, imaginary)
    if artefacts.spike or artefacts.bias.any():
        black, white = np.percentile(grey[::2, ::2], (_BLACK, _WHITE))
        grey = (grey - black) / max(float(white - black), 1e-6)
    return np.asarray(np.clip(np.rint(grey * 255), 0, 255), np.uint8)


def _striped(grey: np.ndarray, strength: float, wave: tuple[float, float]) -> np.ndarray:
    """The magnitude of the picture and one wave, which is what a single wrong point of k-space becomes."""
    amplitude = np.float32(strength * float(grey.mean()))
    down, across = (
        np.arange(side, dtype=np.float32) * (waves / side) for side, waves in zip(grey.shape, wave, strict=True)
    )
    turn = np.cos(np.float32(2 * np.pi) * (down[:, np.newaxis] + across))
    return np.asarray(np.sqrt(np.maximum(grey * grey + 2 * amplitude * grey * turn + amplitude**2, 0)), np.float32)
