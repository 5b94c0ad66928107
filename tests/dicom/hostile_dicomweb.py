"""A DICOMweb server that answers wrongly, without end or in drips, and a model that is asked about what it holds."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.dicom.archive import Archive, Handler, send
from tests.dicom.test_reports import drawn

from tumorlens.inference import Failure, Prediction, SeriesPrediction
from tumorlens.pipeline.model import Model

pydicom = pytest.importorskip("pydicom")
pytest.importorskip("requests")


def place(archive: Archive, level: str = "series", number: int = 0) -> str:
    """Path of an instance on the server, or of what it belongs to."""
    data, _ = list(archive.files.values())[number]
    levels = {"studies": data.StudyInstanceUID, "series": data.SeriesInstanceUID, "instances": data.SOPInstanceUID}
    return "".join(f"/{name}/{uid}" for name, uid in list(levels.items())[: list(levels).index(level) + 1])


def added(archive: Archive, folder: Path) -> Any:
    """Put a series of another modality into the study."""
    path = drawn(folder, 1)[0]
    data = pydicom.dcmread(path)
    data.Modality, data.StudyInstanceUID = "CT", next(iter(archive.files.values()))[0].StudyInstanceUID
    data.save_as(path)
    archive.files[str(data.SOPInstanceUID)] = (data, path)
    return data


def asked(model: Model, *named: str) -> tuple[list[Prediction], list[SeriesPrediction], list[tuple[str, str]]]:
    """Slices, series and (path, code) of failures; none of the answers names a person or what was asked for."""
    answers = list(model.predict_paths(named))
    for one in answers:
        assert "CANARY" not in f"{one.as_dict()}"
        assert "Doe" not in f"{one.as_dict()}"
    return (
        [one for one in answers if isinstance(one, Prediction)],
        [one for one in answers if isinstance(one, SeriesPrediction)],
        [(one.path, one.error.code) for one in answers if isinstance(one, Failure)],
    )


def fixed(body: bytes, kind: str = "application/dicom+json", status: int = 200, **headers: str) -> Any:
    """Answers everybody the same."""
    return lambda to: send(to, body, kind, status, **headers)


def endless(kind: str, head: bytes, block: bytes, **headers: str) -> Callable[[Handler], None]:
    """Answers with a head, then one block after another for as long as anybody listens."""

    def answer(to: Handler) -> None:
        to.close_connection = True
        to.send_response(200)
        for name, value in {"Content-Type": kind, "Connection": "close", **headers}.items():
            to.send_header(name.replace("_", "-"), value)
        to.end_headers()
        to.wfile.write(head)
        while True:
            to.wfile.write(block)

    return answer


# What comes at once, and what comes in drops.
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/dicom+json\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
DRIPS = {
    "a status": (b"HTTP/1.1 200 ", b"O"),
    "headers": (OK, b"X: y\r\n"),
    "a header": (OK, b"X"),
    "promises": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "a body": (OK + b"\r\n", b" "),
    "the size of a chunk": (CHUNKED, b"0"),
    "trailers": (CHUNKED + b"0\r\n", b"X: y\r\n"),
}


def dripping(what: str) -> Callable[[Handler], None]:
    """Answers with a head, then a drop ten times a second, for five seconds."""

    def answer(to: Handler) -> None:
        to.close_connection = True
        head, drop = DRIPS[what]
        to.wfile.write(head)
        end = time.monotonic() + 5
        while time.monotonic() < end:
            to.wfile.write(drop)
            time.sleep(0.1)

    return answer
