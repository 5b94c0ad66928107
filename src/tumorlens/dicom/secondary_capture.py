"""Key slices with the map over them, as pictures that every viewer shows: Secondary Capture (PS3.3 A.8.1)."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from tumorlens import __version__
from tumorlens.dicom.headers import clean
from tumorlens.dicom.structured_report import Evaluated
from tumorlens.dicom.uids import uid_of
from tumorlens.inference import maps
from tumorlens.io.guard import extra
from tumorlens.labels import title

_NUMBER = 9101
_FONT, _MARGIN = cv2.FONT_HERSHEY_SIMPLEX, 26
_STAMP = "ALGORITHM OUTPUT - RESEARCH USE ONLY"


def picture(one: Evaluated, strength: np.ndarray) -> np.ndarray:
    """The slice as the network saw it, the map over it, what was answered below, and what it is above.

    Args:
        one: an answered slice.
        strength: float32 (S, S) in [0, 1], of :meth:`tumorlens.pipeline.model.Model.map`.

    Returns:
        uint8 (H, W, 3), RGB.
    """
    answer = one.answer
    name = str(answer.predicted)
    scale = maps.MASK_SCALE if answer.mask is not None else maps.CLASS_SCALE
    caption = f"{title(name)} {answer.probabilities[name]:.1%}, {answer.verdict or 'not judged'}"
    body = maps.captioned(answer.image, strength, caption, scale)
    strip = np.zeros((_MARGIN, body.shape[1], 3), np.uint8)
    width = cv2.getTextSize(_STAMP, _FONT, 1.0, 1)[0][0]
    cv2.putText(strip, _STAMP, (6, 18), _FONT, min(0.5, (body.shape[1] - 12) / width), (80, 200, 255), 1, cv2.LINE_AA)
    return np.ascontiguousarray(np.concatenate([strip, body])[..., ::-1])


def secondary_capture(one: Evaluated, strength: np.ndarray, number: int = 1) -> Any:
    """A capture of an answered slice, in the study of the slice.

    Args:
        one: the slice; its header names patient and study.
        strength: as for :func:`picture`.
        number: of the instance in its series.

    Raises:
        MissingExtraError: without highdicom.
    """
    with extra("highdicom", "dicom"):
        from highdicom.sc import SCImage
        from pydicom.dataset import Dataset
        from pydicom.sequence import Sequence
    identity = one.answer.model
    frame = "" if one.answer.frame is None else str(one.answer.frame)
    orientation = _orientation(one.header)
    key = (identity["sha256"], str(one.header.SOPInstanceUID), frame)
    made = SCImage.from_ref_dataset(
        clean(one.header),
        pixel_array=picture(one, strength),
        photometric_interpretation="RGB",
        bits_allocated=8,
        coordinate_system="PATIENT",
        patient_orientation=orientation or ("L", "P"),
        series_instance_uid=uid_of("capture series", identity["sha256"], str(one.header.SeriesInstanceUID)),
        sop_instance_uid=uid_of("capture", *key),
        series_number=_NUMBER,
        instance_number=number,
        manufacturer="tumorlens",
    )
    if orientation is None:
        made.PatientOrientation = []  # not known; highdicom wants one
    made.SeriesDescription = "tumorlens: algorithm output, research use only"
    made.BodyPartExamined = "BRAIN"
    made.ImageType = ["DERIVED", "SECONDARY"]
    made.BurnedInAnnotation = "NO"  # of the patient: what is written on it says nothing that identifies
    made.DerivationDescription = f"tumorlens {__version__}, model {identity['name']} {identity['version']}"
    source = Dataset()
    source.ReferencedSOPClassUID = one.header.SOPClassUID
    source.ReferencedSOPInstanceUID = one.header.SOPInstanceUID
    if one.answer.frame is not None:
        source.ReferencedFrameNumber = one.answer.frame + 1
    made.SourceImageSequence = Sequence([source])
    return made


def _orientation(header: Any) -> tuple[str, str] | None:
    """Where rows and columns of the slice run to, as in (0020,0020), which the crop keeps; None if not known."""
    cosines = header.get("ImageOrientationPatient")
    if cosines is None or len(cosines) != 6:
        return None
    row, column = (np.array([float(value) for value in part]) for part in (cosines[:3], cosines[3:]))
    return _letters(row), _letters(column)


def _letters(direction: np.ndarray) -> str:
    """The axes that a direction runs along (LPS), the strongest first (PS3.3 C.7.6.1.1.1)."""
    names = (("R", "L"), ("A", "P"), ("F", "H"))
    order = sorted(range(3), key=lambda axis: -abs(direction[axis]))
    return "".join(names[axis][int(direction[axis] > 0)] for axis in order if abs(direction[axis]) > 0.2)
