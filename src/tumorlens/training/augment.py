"""Random changes of training images: parameters are drawn apart from the pure function that applies them.

One warp (rotation, zoom, shift, shear, flips and elastic deformation composed) and one lookup table (gamma, contrast,
brightness) per image, so that each pixel is interpolated once; then, for some, what scanners do (``artefacts``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from tumorlens.config import AugmentSettings
from tumorlens.training import artefacts
from tumorlens.training.artefacts import Artefacts

# Points of the elastic deformation: coarse, so that organs bend and textures do not.
_GRID = (5, 5)


@dataclass(frozen=True)
class Parameters:
    """What will be done to each of N images.

    Attributes:
        matrices: float64 (N, 2, 3), from (x, y) in the result to (x, y) in the source, about the centre.
        tables: uint8 (N, 256), new grey value of each old one.
        fields: float32 (N, 5, 5, 2), how far (x, y) each point of a coarse grid moves before that, as a share of the
            size, bicubic in between; None for no deformation.
        artefacts: N of them, None for an image without; None for none at all.
    """

    matrices: np.ndarray
    tables: np.ndarray
    fields: np.ndarray | None = None
    artefacts: Sequence[Artefacts | None] | None = None


def draw(rng: np.random.Generator, count: int, settings: AugmentSettings) -> Parameters:
    """Random parameters for ``count`` images.

    Args:
        rng: the only source of chance.
        count: how many images.
        settings: how far each change may go.
    """
    spread = rng.uniform(-1.0, 1.0, (count, 8))
    flips = rng.random((count, 2)) < 0.5
    angle = np.deg2rad(settings.rotation) * spread[:, 0]
    zoom = 1 + settings.zoom * spread[:, 1]
    shear = np.deg2rad(settings.shear) * spread[:, 2]
    x_sign = np.where(flips[:, 0] & settings.horizontal_flip, -1.0, 1.0)
    y_sign = np.where(flips[:, 1] & settings.vertical_flip, -1.0, 1.0)
    cosine, sine = np.cos(angle) / zoom, np.sin(angle) / zoom
    matrices = np.empty((count, 2, 3))
    matrices[:, 0, 0] = x_sign * cosine
    matrices[:, 0, 1] = x_sign * (cosine * np.tan(shear) - sine)
    matrices[:, 1, 0] = y_sign * sine
    matrices[:, 1, 1] = y_sign * (sine * np.tan(shear) + cosine)
    matrices[:, :, 2] = settings.shift * spread[:, 3:5]

    grey = np.linspace(0, 1, 256)[np.newaxis]
    # Drawn on a logarithmic scale: as often darker as brighter.
    gamma = np.exp(np.log1p(settings.gamma) * spread[:, 5:6])
    gain = 1 + settings.contrast * spread[:, 6:7]
    # The air around the head stays black whatever is added: real air is, whatever the scanner's window.
    added = settings.brightness * spread[:, 7:8] * np.minimum(grey * 16, 1)
    curve = np.where(grey > 0, grey**gamma, 0) * gain + added
    tables = np.clip(np.rint(curve * 255), 0, 255).astype(np.uint8)
    # Drawn last and only where asked for, so that what is drawn above does not depend on them.
    fields = rng.normal(0, settings.elastic, (count, *_GRID, 2)).astype(np.float32) if settings.elastic else None
    spoilt = artefacts.draw(rng, count, settings.artefacts) if settings.artefacts else None
    return Parameters(matrices, tables, fields, spoilt)


def apply(images: np.ndarray, parameters: Parameters) -> np.ndarray:
    """The images changed as the parameters say; a pure function.

    Args:
        images: uint8 (N, S, S).
        parameters: of the same N.

    Returns:
        uint8 (N, S, S).
    """
    result = move(images, parameters)
    for index, table in enumerate(parameters.tables):
        result[index] = cv2.LUT(result[index], table)
        if parameters.artefacts is not None and (spoilt := parameters.artefacts[index]) is not None:
            result[index] = artefacts.apply(result[index], spoilt)
    return result


def move(images: np.ndarray, parameters: Parameters) -> np.ndarray:
    """The images moved as the parameters say, their grey values left alone: for masks, of any resolution.

    Args:
        images: uint8 (N, S, S).
        parameters: of the same N.

    Returns:
        uint8 (N, S, S).
    """
    size = images.shape[1]
    centre = (size - 1) / 2
    result = np.empty(images.shape, np.uint8)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    for index, (image, matrix) in enumerate(zip(images, parameters.matrices, strict=True)):
        linear = matrix[:, :2]
        offset = centre + matrix[:, 2] * size - linear @ (centre, centre)
        affine = np.column_stack([linear, offset])
        if parameters.fields is not None:
            columns, rows = _bent(parameters.fields[index], affine, size)
            cv2.remap(image, columns, rows, cv2.INTER_LINEAR, dst=result[index], borderMode=cv2.BORDER_CONSTANT)
            continue
        cv2.warpAffine(
            np.ascontiguousarray(image),
            affine,
            (size, size),
            dst=result[index],
            flags=flags,
            borderMode=cv2.BORDER_CONSTANT,
        )
    return result


def _bent(field: np.ndarray, affine: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Where each pixel comes from: columns and rows in the source, float32 (S, S) each.

    After Simard PY et al. Best practices for convolutional neural networks. ICDAR 2003.
    """
    moved = cv2.resize(field, (size, size), interpolation=cv2.INTER_CUBIC) * np.float32(size)
    x = np.arange(size, dtype=np.float32)[np.newaxis] + moved[..., 0]
    y = np.arange(size, dtype=np.float32)[:, np.newaxis] + moved[..., 1]
    (a, b, c), (d, e, f) = affine.astype(np.float32)
    return a * x + b * y + c, d * x + e * y + f
