"""Files to de-identify, and a look at what came of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.web.conftest import dicom_frames

from tumorlens.dicom.deidentifying import deidentify

pydicom = pytest.importorskip("pydicom")
pytest.importorskip("dicomanonymizer.dicom_anonymization_databases.dicomfields_2026c")


def put(dataset: Any, tag: int, vr: str, value: Any) -> None:
    """An element with any value, allowed or not."""
    element = pydicom.DataElement(tag, vr, value, validation_mode=pydicom.config.IGNORE)
    dataset[tag] = element


def drawn(path: Path, **fields: Any) -> Path:
    """A drawn multi-frame MR image with the UIDs that a file has to have."""
    path.parent.mkdir(parents=True, exist_ok=True)
    dicom_frames(path, 2)
    data = pydicom.dcmread(path)
    data.StudyInstanceUID, data.PatientName = "1.2.999.1", "Doe^Jane"
    data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = f"1.2.999.2.{sum(path.name.encode())}"
    data.SeriesInstanceUID = "1.2.999.3"
    for name, value in fields.items():
        if value is None:
            delattr(data, name)
        else:
            setattr(data, name, value)
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID
    data.save_as(path)
    return path


def product_of(out: Path) -> Any:
    """The one file that came out."""
    (path,) = out.rglob("*.dcm")
    return pydicom.dcmread(path)


def left_out(source: Path, out: Path, **options: Any) -> dict[str, int]:
    """How many files did not come out, by code."""
    return dict(deidentify(source, out, **options).left_out)


def contents(out: Path) -> dict[str, bytes]:
    """All that came out, by path."""
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in out.rglob("*.dcm")}
