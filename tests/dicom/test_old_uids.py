"""UIDs as old archives write them, with zeros in front of a component: taken, answered and referenced."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.dicom.conftest import free_port
from tests.dicom.test_node import announce, options, store, until
from tests.dicom.test_reports import drawn

from tumorlens.dicom.headers import clean
from tumorlens.dicom.node import Node
from tumorlens.dicom.uids import is_uid
from tumorlens.pipeline.model import Model

pydicom = pytest.importorskip("pydicom")
pytest.importorskip("highdicom")

OLD = "1.2.840.113704.7.01.5"


@pytest.mark.parametrize("text", [OLD, "1.2.840.10008.1.2", "01.2", "0.0", "1." + "0" * 62])
def test_digits_and_dots_are_a_uid(text: str) -> None:
    assert is_uid(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "4711",
        "4711.12",
        "12.03.1958",
        ".1.2",
        "1.2.",
        "1..2",
        "1.2\n",
        "1.2 ",
        "1.a",
        "DOE JANE",
        "1.٢",
        "1." + "0" * 63,
    ],
)
def test_what_may_be_a_name_or_a_number_of_a_patient_is_none(text: str) -> None:
    assert not is_uid(text)


def renamed(paths: list[Path]) -> list[str]:
    """The same series under such UIDs; SOP Instance UIDs."""
    sops = []
    for number, path in enumerate(paths):
        data = pydicom.dcmread(path)
        for keyword, value in (
            ("StudyInstanceUID", OLD),
            ("SeriesInstanceUID", f"{OLD}.007"),
            ("SOPInstanceUID", f"{OLD}.007.0{number}"),
        ):
            data[keyword] = pydicom.DataElement(keyword, "UI", value, validation_mode=pydicom.config.IGNORE)
        data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
        data.save_as(path)
        sops.append(str(data.SOPInstanceUID))
    return sops


@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
def test_a_series_under_such_uids_is_answered_with_references_to_it(model: Model, tmp_path: Path) -> None:
    paths = drawn(tmp_path / "in", 3)
    sops = renamed(paths)
    node = Node(options(tmp_path / "node", free_port(), quiet=3600.0), model)
    try:
        assert [store(node.port, path) for path in paths] == [0, 0, 0]
        assert announce(node.port, [pydicom.dcmread(path) for path in paths]) == 0
        until(lambda: node.queue.counts()["series"] == {"answered": 1})
    finally:
        node.stop()
    made = [pydicom.dcmread(path) for path in (tmp_path / "node" / "out").iterdir()]
    (report,) = (one for one in made if one.Modality == "SR")
    assert report.StudyInstanceUID == OLD
    (listed,) = report.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence
    assert listed.SeriesInstanceUID == f"{OLD}.007"
    assert {str(one.ReferencedSOPInstanceUID) for one in listed.ReferencedSOPSequence} == set(sops)
    captures = [one for one in made if one.Modality == "OT"]
    assert captures
    assert {str(one.SourceImageSequence[0].ReferencedSOPInstanceUID) for one in captures} <= set(sops)


@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
def test_a_header_keeps_such_uids_and_loses_what_is_none() -> None:
    header = pydicom.Dataset()
    header.StudyInstanceUID, header.FrameOfReferenceUID = OLD, "DOE JANE"
    header.SeriesInstanceUID = f"{OLD}..1"
    made = clean(header)
    assert made.StudyInstanceUID == OLD
    assert "FrameOfReferenceUID" not in made
    assert "SeriesInstanceUID" not in made
