"""Spacing, plane, value scale and window of a DICOM frame, from its header or functional groups (PS3.3 C.7.6.16)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from tumorlens.io.dicom_sequence import contrast, weighting
from tumorlens.io.dicom_values import window
from tumorlens.io.volumes import Geometry

# The largest component of a slice's normal below which it is called oblique: about 37° off an axis.
_OBLIQUE = 0.8


def about(dataset: Any, frame: int, mirror: float | None = None) -> Geometry:
    """What the header says of one frame; what is missing or makes no sense is None.

    Args:
        dataset: of pydicom.
        frame: its number, from 0.
        mirror: see :func:`tumorlens.io.dicom_values.window`.
    """
    orientation = _numbers(_find(dataset, frame, "PlaneOrientationSequence", "ImageOrientationPatient"), 6)
    return Geometry(
        spacing=_spacing(dataset, frame),
        modality=_word(dataset, "Modality"),
        plane=plane(orientation),
        patient=_word(dataset, "PatientID"),
        series=_word(dataset, "SeriesInstanceUID"),
        position=_position(dataset, frame, orientation),
        window=next(
            (one for place in _places(dataset, frame, "FrameVOILUTSequence") if (one := window(place, mirror))), None
        ),
        weighting=weighting(dataset),
        contrast=contrast(dataset),
    )


def scale(dataset: Any, frame: int) -> tuple[float, float]:
    """(rescale slope, rescale intercept) of one frame; (1, 0) when there is none."""
    place = "PixelValueTransformationSequence"
    slope = _numbers(_find(dataset, frame, place, "RescaleSlope"), 1)
    intercept = _numbers(_find(dataset, frame, place, "RescaleIntercept"), 1)
    return (slope[0] if slope and slope[0] != 0 else 1.0, intercept[0] if intercept else 0.0)


def plane(orientation: list[float] | None) -> str | None:
    """``axial``, ``coronal``, ``sagittal`` or ``oblique`` from ImageOrientationPatient (row and column cosines)."""
    if orientation is None:
        return None
    normal = _normal(orientation)
    length = math.sqrt(sum(value * value for value in normal))
    if length < 1e-6:
        return None
    parts = [abs(value) / length for value in normal]
    largest = max(parts)
    return "oblique" if largest < _OBLIQUE else ("sagittal", "coronal", "axial")[parts.index(largest)]


def _normal(orientation: list[float]) -> tuple[float, float, float]:
    a, b, c, d, e, f = orientation
    return b * f - c * e, c * d - a * f, a * e - b * d


def _position(dataset: Any, frame: int, orientation: list[float] | None) -> float | None:
    """How far along the slices' normal a frame lies, in mm; without that its number in the series."""
    corner = _numbers(_find(dataset, frame, "PlanePositionSequence", "ImagePositionPatient"), 3)
    if corner is not None and orientation is not None:
        return sum(x * n for x, n in zip(corner, _normal(orientation), strict=True))
    number = _numbers(dataset.get("InstanceNumber"), 1)
    return number[0] if number else None


def _spacing(dataset: Any, frame: int) -> tuple[float, float] | None:
    found = _numbers(_find(dataset, frame, "PixelMeasuresSequence", "PixelSpacing"), 2)
    return (found[0], found[1]) if found and min(found) > 0 else None


def _find(dataset: Any, frame: int, sequence: str, keyword: str) -> Any:
    for place in _places(dataset, frame, sequence):
        value = place.get(keyword)
        if value is not None and value != "":
            return value
    return None


def _places(dataset: Any, frame: int, sequence: str) -> Iterator[Any]:
    """Where a value of a frame may stand, the most particular first."""
    per_frame = dataset.get("PerFrameFunctionalGroupsSequence") or []
    shared = dataset.get("SharedFunctionalGroupsSequence") or []
    for groups, index in ((per_frame, frame), (shared, 0)):
        if index < len(groups):
            inner = groups[index].get(sequence)
            if inner:
                yield inner[0]
    yield dataset


def _numbers(value: Any, count: int) -> list[float] | None:
    try:
        found = [float(item) for item in ([value] if count == 1 else value)]
    except (TypeError, ValueError):
        return None
    return found if len(found) == count and all(math.isfinite(item) for item in found) else None


def _word(dataset: Any, keyword: str) -> str | None:
    value = dataset.get(keyword)
    return (str(value).strip("\x00 ") or None) if value is not None else None
