"""DICOM that by its own header is no MR image of a head has no part in a data set."""

from __future__ import annotations

from collections import Counter

import pytest

from tumorlens import data, io

FOREIGN = {
    "localiser": {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]},
    "not_mr": {"Modality": "CT"},
    "not_head": {"BodyPartExamined": "KNEE"},
}


@pytest.fixture
def mixed(tmp_path, dicom):
    """A class folder with a good slice, a scout, a CT, a knee and a screenshot."""
    folder = tmp_path / "set" / "glioma" / "P1"
    dicom(folder / "good.dcm")
    for name, fields in FOREIGN.items():
        dicom(folder / f"{name}.dcm", **fields)
    dicom(folder / "screenshot.dcm", SOPClassUID="1.2.840.10008.5.1.4.1.1.7")
    return tmp_path / "set"


CODES = {"localiser": 1, "not_mr": 2, "not_head": 1}


def left_out(found):
    return Counter(item.code for item in found.skipped)


def test_a_folder_and_a_table_leave_out_what_is_no_mr_of_a_head(mixed, zipped):
    table = mixed / "list.csv"
    for source in (mixed, zipped(mixed), f"glioma={mixed}"):
        found = data.read(source)
        assert [row.path.rsplit("/", 1)[1] for row in found] == ["good.dcm"]
        assert left_out(found) == CODES
    files = sorted(mixed.rglob("*.dcm"))
    table.write_text("path,label\n" + "".join(f"{path.relative_to(mixed)},glioma\n" for path in files))
    found = data.read(table)
    assert [row.path.rsplit("/", 1)[1] for row in found] == ["good.dcm"]
    assert left_out(found) == CODES
    assert all(item.reason and item.hint for item in found.skipped)


@pytest.mark.parametrize("code", sorted(FOREIGN))
def test_its_pixels_and_header_can_be_read_all_the_same(code, tmp_path, dicom):
    path = str(dicom(tmp_path / "a.dcm", **FOREIGN[code]))
    objection = io.inspect(path).objection
    assert objection is not None and objection.code == code
    assert io.read_slice(path).pixels.shape == (8, 8)
    assert io.inspect(str(dicom(tmp_path / "b.dcm"))).objection is None
