"""An archive with some of everything, and the answers for it."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tumorlens.data.phantom import make_slices
from tumorlens.pipeline.archiving import Archive, answer_archive
from tumorlens.pipeline.model import Model
from tumorlens.pipeline.reporter import Reporter
from tumorlens.pipeline.spreading import Workers


class Told(Reporter):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)

    warn = note


def mr(path: Path, series: str, place: float, pixels: np.ndarray) -> None:
    """A slice as an MR file."""
    pydicom = pytest.importorskip("pydicom")
    data = pydicom.Dataset()
    data.SOPClassUID, data.SOPInstanceUID = pydicom.uid.MRImageStorage, pydicom.uid.generate_uid()
    data.Modality, data.SeriesInstanceUID = "MR", series
    data.Rows, data.Columns = pixels.shape
    data.SamplesPerPixel, data.PhotometricInterpretation, data.PixelRepresentation = 1, "MONOCHROME2", 0
    data.BitsAllocated = data.BitsStored = 16
    data.HighBit = 15
    data.ImageOrientationPatient, data.ImagePositionPatient = [1, 0, 0, 0, 1, 0], [0, 0, place]
    data.PixelData = pixels.astype(np.uint16).tobytes()
    data.file_meta = pydicom.dataset.FileMetaDataset()
    data.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    path.parent.mkdir(parents=True, exist_ok=True)
    data.save_as(path, enforce_file_format=True)


def write_scans(root: Path) -> None:
    """Pictures, two DICOM series mixed over folders, a volume, masks, text, damaged files."""
    pictures = [one.image for one in make_slices(40, seed=3)]
    for number, image in enumerate(pictures):
        path = root / f"p{number % 7}" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), image)
    chance = random.Random(0)
    places = [(series, place) for series in ("1.2.3", "1.2.4") for place in range(24)]
    chance.shuffle(places)
    for number, (series, place) in enumerate(places):
        mr(root / f"p{number % 5}" / "dicom" / f"IM{number}", series, place, pictures[place].astype(np.uint16) * 9)
    nibabel = pytest.importorskip("nibabel")
    volume = np.stack([cv2.resize(one, (64, 64)).astype(np.int16) for one in pictures[:6]], axis=2)
    nibabel.save(nibabel.Nifti1Image(volume, np.diag([1.0, 1.0, 5.0, 1.0])), root / "p3" / "head.nii.gz")
    np.savez(root / "more.npz", images=np.stack([cv2.resize(one, (64, 64)) for one in pictures[:5]]))
    cv2.imwrite(str(root / "p1" / "1_mask.png"), pictures[0])
    (root / "p2" / "text.jpg").write_text("hello")
    (root / "p2" / "cut.png").write_bytes((root / "p2" / "2.png").read_bytes()[:200])
    (root / "p2" / "nothing.dcm").write_bytes(b"")
    (root / "p4" / "readme.txt").write_text("hello")
    (root / "p4" / "LICENSE").write_text("hello")


def asked(out: Path, *named: str | Path, **changes: Any) -> Archive:
    """What is to be answered into a file, in this process unless changed."""
    known: dict[str, Any] = {"form": "jsonl", "model": None, "engine": "onnxruntime", "workers": Workers(1)}
    return Archive([str(name) for name in named], out, **{**known, **changes})


def answer(what: Archive, model: Model, names: Iterable[str] | None = None) -> list[str]:
    """Answers, and returns what was said."""
    told = Told()
    answer_archive(what, model, what.named if names is None else names, told)
    return told.notes


def entries(path: Path) -> list[dict[str, Any]]:
    """What a file holds, but for how long it took."""
    lines = path.read_text().splitlines()
    return [{**json.loads(line), "ms": None} for line in lines]
