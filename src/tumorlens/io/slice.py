"""A slice: one grey image and where it came from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tumorlens.errors import InputError


@dataclass(frozen=True, slots=True, eq=False)
class Slice:
    """One 2-D grey image.

    Attributes:
        pixels: float32 (H, W), in the file's own grey values (a colour file is converted to luminance).
        path: the file, or ``archive.zip!member``.
        frame: index in a multi-frame file, volume or array; None for a single image.
        spacing: (row, column) distance between pixel centres in mm, or None when the file does not say.
        modality: DICOM modality (``MR``, ``CT``, …) or None when the file does not say.
        plane: ``axial``, ``coronal``, ``sagittal``, ``oblique`` or None.
        patient: the patient identifier the file carries, or None. Never written to logs.
        series: what it is a slice of: the file of a volume, or a DICOM series; None for a picture of its own.
        position: where in that series it lies, in any unit that orders it; None when the file does not say.
        objection: why, by the file's own header, this is no MR image of a head; None when nothing there speaks against
            it. Reading leaves the decision to who asked.
        derived: whether the file's own header says that it was computed from other images.
        burnt_in: whether it says that text or marks are part of the picture (Burned In Annotation).
        window: (low, high) grey values that it asks to be shown as black and white, or None. For eyes: the network sees
            the same picture whatever a header asks for.
        weighting: ``T1``, ``T2``, ``FLAIR``, ``PD``, ``DWI``, ``SWI`` as far as the header hints at it, or None.
        contrast: whether a contrast agent was given, or None where nothing says so.
    """

    pixels: np.ndarray
    path: str
    frame: int | None = None
    spacing: tuple[float, float] | None = None
    modality: str | None = None
    plane: str | None = None
    patient: str | None = None
    series: str | None = None
    position: float | None = None
    objection: InputError | None = None
    derived: bool = False
    burnt_in: bool = False
    window: tuple[float, float] | None = None
    weighting: str | None = None
    contrast: bool | None = None

    @property
    def id(self) -> str:
        """``path`` or ``path#frame``."""
        return slice_id(self.path, self.frame)


def slice_id(path: str, frame: int | None) -> str:
    """The name of a slice: ``path``, ``path#frame`` or ``archive.zip!member``."""
    return path if frame is None else f"{path}#{frame}"
