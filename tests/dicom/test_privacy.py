"""Canaries in every element that may name a person: none of them sings outside the DICOM objects meant to carry it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest
from tests.dicom.conftest import Pacs, free_port
from tests.dicom.test_node import announce, store, until
from tests.dicom.test_reports import drawn

from tumorlens.dicom.queue import Queue

pydicom = pytest.importorskip("pydicom")
pytest.importorskip("pynetdicom")
pytest.importorskip("highdicom")

# Values that fit their element; warnings about values that don't would repeat them, so there are some of these, too.
FITTING = {
    "PatientName": "CANARY01^Jane", "PatientID": "CANARY02", "OtherPatientIDs": "CANARY03",
    "PatientBirthDate": "19330713", "PatientAddress": "CANARY05 Street", "PatientTelephoneNumbers": "CANARY06",
    "PatientComments": "CANARY07", "AccessionNumber": "CANARY08", "StudyID": "CANARY09",
    "InstitutionName": "CANARY10", "InstitutionAddress": "CANARY11", "ReferringPhysicianName": "CANARY12^A",
    "PerformingPhysicianName": "CANARY13^B", "OperatorsName": "CANARY14^C", "StationName": "CANARY15",
    "StudyDescription": "CANARY16", "SeriesDescription": "CANARY17", "ProtocolName": "CANARY18",
    "ImageComments": "CANARY19", "RequestingPhysician": "CANARY20^D", "PatientMotherBirthName": "CANARY21^E",
    "MedicalRecordLocator": "CANARY22", "EthnicGroup": "CANARY23 O'Brien 'Pat\"", "AdmissionID": "CANARY24",
}  # fmt: skip
WRONG = {
    "PatientAge": "CANARY31", "StudyDate": "CANARY32", "PatientSex": "CANARY33_SEX_OF_NOBODY_IN_LOWER case",
    "StudyTime": "CANARY34", "PatientWeight": "CANARY35", "FrameOfReferenceUID": "CANARY36",
    "IrradiationEventUID": "CANARY37",
}  # fmt: skip
CANARY = re.compile(rb"CANARY|19330713|C\0A\0N\0A\0R\0Y")


def named(paths: list[Path], wrong: bool = False) -> list[Path]:
    """The files with a canary in each element."""
    with pydicom.config.disable_value_validation():
        _name(paths, wrong)
    return paths


def _name(paths: list[Path], wrong: bool) -> None:
    for path in paths:
        data = pydicom.dcmread(path)
        for keyword, value in {**FITTING, **(WRONG if wrong else {})}.items():
            tag = pydicom.datadict.tag_for_keyword(keyword)
            kind = "LO" if keyword == "PatientWeight" else pydicom.datadict.dictionary_VR(tag)
            data[tag] = pydicom.DataElement(tag, kind, value, validation_mode=pydicom.config.IGNORE)
        block = data.private_block(0x0011, "CANARY40", create=True)
        block.add_new(0x01, "LO", "CANARY41")
        data.file_meta.SourceApplicationEntityTitle = "CANARY42"
        data.save_as(path)


def damaged(folder: Path) -> list[Path]:
    """Series that fail in several ways: a localiser, cut-off pixels, no image size, a body part, an unknown coding."""
    made = []
    for number, (keyword, value) in enumerate(
        [("ImageType", ["ORIGINAL", "PRIMARY", "LOCALIZER"]), ("PixelData", b"\0" * 10), ("Rows", 60_000),
         ("BodyPartExamined", "CHEST 19330713"), ("BitsAllocated", 12)]
    ):  # fmt: skip
        (path,) = named(drawn(folder / str(number), 1), wrong=number % 2 == 1)
        data = pydicom.dcmread(path)
        setattr(data, keyword, value)
        data.save_as(path)
        made.append(path)
    return made


def told(place: Path) -> dict[str, list[bytes]]:
    """Where canaries are, in the content and the names of everything but the DICOM objects."""
    found: dict[str, list[bytes]] = {}
    for path in place.rglob("*"):
        if CANARY.search(str(path.relative_to(place)).encode()):
            found.setdefault("a name", []).append(str(path).encode())
        if path.is_file() and path.suffix != ".dcm":
            content = path.read_bytes()
            for hit in CANARY.finditer(content):
                found.setdefault(path.name, []).append(content[max(0, hit.start() - 80) : hit.end() + 40])
    return found


LOUD = textwrap.dedent(
    """
    import logging, sys, warnings
    logging.basicConfig(level=logging.DEBUG)
    warnings.simplefilter("always")
    import pynetdicom
    pynetdicom.debug_logger()
    from tumorlens.cli.main import main
    sys.exit(main(sys.argv[1:]))
    """
)


def test_the_node_says_nothing_of_a_person(pacs: Pacs, tmp_path: Path) -> None:
    good = named(drawn(tmp_path / "good", 3))
    odd = named(drawn(tmp_path / "odd", 3), wrong=True)
    place, own = tmp_path / "place", tmp_path / "place" / "tmp"
    own.mkdir(parents=True)
    gone = free_port()
    command = [sys.executable, "-c", LOUD, "dicom-node", "--data", str(place / "node"), "--port", str(pacs.node)]
    command += ["--to", f"ORTHANC@127.0.0.1:{pacs.port}", "--to", f"AWAY@127.0.0.1:{gone}", "--from-any"]
    command += ["--to", f"http://127.0.0.1:{gone}/dicom-web", "--wait", "1", "--keep-free", "0", "-v"]
    with (place / "log.txt").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, "TMPDIR": str(own)})
    try:
        until(lambda: b"listens" in (place / "log.txt").read_bytes())
        assert pacs.send([pacs.add(path) for path in good]).status_code == 200
        for path in odd + damaged(tmp_path / "bad"):
            store(pacs.node, path)
        head = pydicom.dcmread(odd[0])
        for keyword in ("SeriesInstanceUID", "StudyInstanceUID"):
            tag = pydicom.datadict.tag_for_keyword(keyword)
            head[tag] = pydicom.DataElement(tag, "UI", "CANARY60", validation_mode=pydicom.config.IGNORE)
        assert announce(pacs.node, [head], ("CANARY61",)) == 0
        until(lambda: len(pacs.found("SR")) == 2, 90)
        until(lambda: _states(place / "node").get("refused", 0) >= 3, 90)
        time.sleep(3)  # what is away is tried again
    finally:
        process.terminate()
        assert process.wait(60) == 0
    log_text = (place / "log.txt").read_bytes()
    assert b"DEBUG" in log_text or b"D: " in log_text  # it was loud
    assert told(place) == {}
    report: Any = pydicom.dcmread(next(place.glob("node/out/*.dcm")))
    assert str(report.PatientID) == "CANARY02"  # who it is about is in the object that is meant to carry it


def _states(folder: Path) -> dict[str, int]:
    from tumorlens.dicom.watching import status

    return status(folder).series


def test_a_journal_and_a_database_hold_no_person(tmp_path: Path) -> None:
    """The check itself finds what it looks for."""
    Queue(tmp_path / "node").close()
    assert told(tmp_path) == {}
    (tmp_path / "node" / "log.txt").write_text("about CANARY01")
    assert list(told(tmp_path)) == ["log.txt"]


@pytest.mark.parametrize("style", ["table", "json", "csv"])
def test_predict_says_nothing_of_a_person(style: str, tmp_path: Path) -> None:
    paths = named(drawn(tmp_path / "in", 2), wrong=True) + damaged(tmp_path / "bad")
    place = tmp_path / "place"
    (place / "tmp").mkdir(parents=True)
    command = [sys.executable, "-c", LOUD, "predict", *map(str, paths), "--format", style, "--maps"]
    with (place / "log.txt").open("wb") as log:
        done = subprocess.run(
            [*command, str(place / "maps"), "-v"], stdout=log, stderr=log,
            env={**os.environ, "TMPDIR": str(place / "tmp")},
        )  # fmt: skip
    assert done.returncode == 1
    assert told(place) == {}


def test_the_web_server_says_nothing_of_a_person(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    import logging

    from tests.web.conftest import client_of

    paths = named(drawn(tmp_path / "in", 2), wrong=True) + damaged(tmp_path / "bad")
    with client_of(None) as client, caplog.at_level(logging.DEBUG):
        for path in paths:
            answer = client.post("/api/v1/predict", files={"files": ("scan.dcm", path.read_bytes())})
            assert not CANARY.search(answer.content), answer.text
        assert not CANARY.search(client.get("/metrics").content)
    out, err = capfd.readouterr()
    assert not CANARY.search((out + err + caplog.text).encode())
