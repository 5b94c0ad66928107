"""Tumour masks: any image, volume or ``.mat`` field as a boolean array."""

from __future__ import annotations

import numpy as np

from tumorlens.errors import InputError
from tumorlens.io.files import frame_count, read_slice
from tumorlens.io.limits import DEFAULT, Limits


def read_mask(path: str, frame: int | None = None, *, limits: Limits = DEFAULT) -> np.ndarray:
    """The tumour mask of one slice.

    A mask is true above half of its largest value: that is "not zero" for 0/1 masks, and cuts the soft edges of an
    anti-aliased or JPEG-compressed 0..255 mask in the middle. Masks of small whole numbers (0, 1, 2, 4: several tumour
    parts, as in BraTS) are true wherever they are not zero.

    Args:
        path: image, volume, ``archive.zip!mask.png`` or ``file.mat!tumorMask``.
        frame: frame of a volume; a single-image mask serves every frame.
        limits: size limits.

    Returns:
        bool (H, W).

    Raises:
        InputError: when it cannot be read.
        MissingExtraError: when the format needs a package that is not installed.
    """
    if frame is not None and frame_count(path, limits=limits) is None:
        frame = None
    try:
        pixels = read_slice(path, frame, limits=limits).pixels
    except InputError as error:
        raise InputError(f"the mask {error.message}", hint=error.hint, code=error.code) from error
    top = float(pixels.max())
    threshold = 0.0 if top <= 16 else top / 2
    return np.asarray(pixels > threshold)
