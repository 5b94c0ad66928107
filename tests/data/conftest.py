from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


def picture(path: Path, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 255, (8, 8), np.uint8)
    Image.fromarray(noise).save(path, format="JPEG" if path.suffix.lower() in (".jpg", ".jpeg") else "PNG")
    return path


@pytest.fixture
def tree(tmp_path) -> Callable[..., Path]:
    """Makes a folder of small pictures: ``tree("set", "glioma/a.png", …)``."""

    def make(name: str, *files: str) -> Path:
        for seed, file in enumerate(files):
            picture(tmp_path / name / file, seed)
        return tmp_path / name

    return make


@pytest.fixture
def dicom() -> Callable[..., Path]:
    """Writes an MR slice of 8 x 8 pixels: ``dicom(path, PatientID="7", Modality="CT", …)``; None takes an entry out."""
    pydicom = pytest.importorskip("pydicom")

    def write(path: Path, **fields: object) -> Path:
        image = pydicom.Dataset()
        image.SOPClassUID, image.SOPInstanceUID = pydicom.uid.MRImageStorage, pydicom.uid.generate_uid()
        image.Modality, image.PatientID, image.SeriesInstanceUID = "MR", "", pydicom.uid.generate_uid()
        image.Rows = image.Columns = 8
        image.SamplesPerPixel, image.PhotometricInterpretation, image.PixelRepresentation = 1, "MONOCHROME2", 0
        image.BitsAllocated = image.BitsStored = 16
        image.HighBit = 15
        image.PixelData = np.random.default_rng(len(str(path))).integers(0, 999, (8, 8), np.uint16).tobytes()
        for name, value in fields.items():
            if value is None:
                delattr(image, name)
            else:
                setattr(image, name, value)
        image.file_meta = pydicom.dataset.FileMetaDataset()
        image.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save_as(path, enforce_file_format=True)
        return path

    return write


@pytest.fixture
def zipped(tmp_path) -> Callable[[Path], Path]:
    """Packs a folder into ``<name>.zip`` beside it."""

    def make(folder: Path) -> Path:
        archive = tmp_path / f"{folder.name}.zip"
        with zipfile.ZipFile(archive, "w") as file:
            for path in sorted(folder.rglob("*")):
                if path.is_file():
                    file.write(path, str(path.relative_to(folder)))
        return archive

    return make
