"""The web room asked as a client would: in process, as a real server, and in a real browser."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import httpx2 as httpx
import numpy as np
import pytest
from starlette.testclient import TestClient

import tumorlens
from tumorlens.dicom.journal import Journal
from tumorlens.dicom.queue import Queue
from tumorlens.pipeline.model import Model
from tumorlens.web.app import create_app
from tumorlens.web.options import ServeOptions

EXAMPLES = Path(tumorlens.__file__).parent / "web" / "static" / "examples"


@pytest.fixture(scope="session")
def shipped() -> Model:
    return tumorlens.load()


@pytest.fixture(scope="session")
def glioma() -> Path:
    return EXAMPLES / "glioma.png"


@contextmanager
def client_of(model: Model | None, **changed: Any) -> Iterator[TestClient]:
    """An application with other options than usual."""
    options = replace(ServeOptions(hosts=("testserver",)), **changed)
    with TestClient(create_app(options, model), raise_server_exceptions=False) as client:
        yield client


@pytest.fixture(scope="module")
def client(shipped: Model) -> Iterator[TestClient]:
    with client_of(shipped) as one:
        yield one


def volume(path: Path, slices: int = 20) -> Path:
    """A NIfTI volume of one drawn head, darker from slice to slice, after two blank ones."""
    nibabel = pytest.importorskip("nibabel")
    head = cv2.imread(str(EXAMPLES / "meningioma.png"), cv2.IMREAD_GRAYSCALE).astype(np.int16)
    stack = np.stack([np.zeros_like(head)] * 2 + [head - n for n in range(slices - 2)], axis=-1)
    affine = np.diag([0.9, 0.9, 5.0, 1.0])
    nibabel.save(nibabel.Nifti1Image(np.clip(stack, 0, None), affine), path)
    return path


def dicom_frames(path: Path, frames: int = 3) -> Path:
    """A multi-frame DICOM file of a drawn head."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    head = cv2.imread(str(EXAMPLES / "glioma.png"), cv2.IMREAD_GRAYSCALE).astype(np.uint16)
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = "1.2.840.10008.5.1.4.1.1.4"
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = generate_uid()
    data.Modality, data.SeriesInstanceUID, data.PatientID = "MR", generate_uid(), "CANARY^7"
    data.Rows, data.Columns, data.NumberOfFrames = *head.shape, frames
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 12, 11, 0
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.PixelSpacing = [0.5, 0.5]
    data.PixelData = np.stack([head * (8 - n) for n in range(frames)]).tobytes()
    data.save_as(path, enforce_file_format=True)
    return path


UID = "1.2.840.113619.2.44"
PEER = "ARCHIVE@10.1.2.3:104"


def node_folder(folder: Path) -> Path:
    """A folder as a node leaves it: one series answered and on its way, one refused, one that waits."""
    queue = Queue(folder)
    for number in range(3):
        queue.receive(f"{UID}.{number}.1", f"{UID}.{number}", UID, b"x")
    queue.answered(f"{UID}.0", [f"{UID}.0.1"], {f"{UID}.9": b"report"}, [PEER])
    queue.unsent(queue.due(PEER)[0], 60)
    queue.refused(f"{UID}.1", [f"{UID}.1.1"], "localiser")
    queue.close()
    journal = Journal(folder / "audit.jsonl")
    journal.note("received", sop=f"{UID}.0.1")
    journal.note("series refused", series=f"{UID}.1", reason="localiser")
    journal.close()
    return folder


class Served:
    """A server in a process of its own.

    Attributes:
        url: where it answers.
        process: the one.
    """

    def __init__(self, *arguments: str, log: Path) -> None:
        self._log = log
        with log.open("w") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tumorlens", "serve", "--port", "0", *arguments], stderr=file
            )
        self.url = ""
        end = time.monotonic() + 120
        while not self.url and time.monotonic() < end and self.process.poll() is None:
            found = re.search(r"http://\S+", self.log)
            self.url = found.group() if found else ""
            time.sleep(0.05)
        while time.monotonic() < end and self.process.poll() is None:
            try:
                if httpx.get(self.url + "readyz").status_code == 200:
                    return
            except httpx.TransportError:
                time.sleep(0.05)
        raise AssertionError(f"the server did not start:\n{self.log}")

    @property
    def log(self) -> str:
        return self._log.read_text()

    def stop(self) -> int:
        self.process.terminate()
        return self.process.wait(60)


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The shipped model, served as anybody would, beside a node."""
    folder = tmp_path_factory.mktemp("served")
    one = Served("--node", str(node_folder(folder / "node")), log=folder / "log.txt")
    yield one
    one.stop()
