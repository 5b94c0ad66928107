"""What is known of a file without looking at its picture, as a table for the header probe."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from tumorlens.io import FileFacts, file_facts

Facts = FileFacts

# Column → what it is called in a sentence.
COLUMNS: Final = {
    "kind": "the file format",
    "size": "the size of the file in bytes",
    "height": "the height of the image",
    "width": "the width of the image",
    "aspect": "the shape of the image (height to width)",
    "density": "the file's bytes per pixel",
    "channels": "whether the file is stored as grey or as colour",
    "bits": "the bits per pixel",
    "quality": "the JPEG quality",
    "quality of colour": "the JPEG quality of the colours",
    "progressive": "whether the JPEG is progressive",
    "resolution unit": "the unit of the stored resolution",
    "resolution": "the stored resolution",
    "exif": "whether the file carries camera data (EXIF)",
    "saturation": "how colourful the picture is",
}


def facts(path: str) -> Facts:
    """The facts of one file or archive member, see :class:`tumorlens.io.FileFacts`.

    Raises:
        InputError: whatever is wrong with the file.
    """
    return file_facts(path)


def table(found: Sequence[Facts | None], shapes: np.ndarray) -> np.ndarray:
    """The facts as numbers: float32 (N, len(COLUMNS)); -1 where a file does not say.

    Args:
        found: facts of each slice's file; None where they could not be read.
        shapes: (N, 2) height and width of each slice, for formats whose header does not speak of single slices.
    """
    kinds = {kind: i for i, kind in enumerate(sorted({item.kind for item in found if item}))}
    rows = np.full((len(found), len(COLUMNS)), -1, np.float32)
    for row, item, shape in zip(rows, found, shapes, strict=True):
        height, width = int(shape[0]), int(shape[1])
        if item is None:
            row[2:5] = height, width, height / max(width, 1)
            continue
        height, width = item.height or height, item.width or width
        single = item.height is not None  # else the bytes belong to many slices
        unit, across, _ = item.density or (-1, -1, -1)
        row[:] = (
            kinds[item.kind],
            item.size if single else -1,
            height,
            width,
            height / max(width, 1),
            item.size / max(height * width, 1) if single else -1,
            _known(item.channels),
            _known(item.bits),
            item.tables[0] if item.tables else -1,
            item.tables[1] if len(item.tables) > 1 else -1,
            item.progressive,
            unit,
            across,
            item.exif,
            _known(item.saturation),
        )
    return rows


def _known(value: float | None) -> float:
    return -1 if value is None else value
