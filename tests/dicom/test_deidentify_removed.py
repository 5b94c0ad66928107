"""De-identification removes: what identifies is gone from every byte, wherever it hides, or the file is not written."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.dicom.deidentified import contents, drawn, left_out, product_of, put

from tumorlens.dicom import deidentifying
from tumorlens.dicom.cleaning import remove_identity
from tumorlens.dicom.deidentifying import deidentify
from tumorlens.dicom.pseudonyms import Pseudonyms

pydicom = pytest.importorskip("pydicom")
published = pytest.importorskip("dicomanonymizer.dicom_anonymization_databases.dicomfields_2026c")

GROUPS = ("X_TAGS", "Z_TAGS", "D_TAGS", "X_Z_TAGS", "Z_D_TAGS", "X_D_TAGS", "X_Z_D_TAGS", "U_TAGS")
TABLE = {one[0] << 16 | one[1]: name for name in GROUPS for one in getattr(published, name) if len(one) == 2}
# Commands (0000) and file meta information (0002) do not stand in a data set; a file with a document is left out.
IN_DATASET = sorted(tag for tag in TABLE if tag >> 16 > 2 and tag != 0x00420011)
STRINGS = ("AE", "AS", "CS", "DA", "DT", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UR", "UT")


def kind_of(tag: int) -> str:
    return pydicom.datadict.dictionary_VR(tag) if pydicom.datadict.dictionary_has_tag(tag) else "LO"


def canary(tag: int, mark: str) -> tuple[Any, list[bytes]]:
    """A value for an element, and how it would look in a file; nothing of it where it is too short to be told."""
    vr = kind_of(tag)
    word = f"{mark}{tag:08X}"
    if vr in STRINGS:
        return word, [word.encode()]
    if vr in ("DS", "IS"):
        number = str(tag)
        return number, [number.encode()]
    if vr == "UI":
        return f"1.2.999.{tag}", [f"1.2.999.{tag}".encode()]  # the same in both places
    if vr == "SQ":
        item = pydicom.Dataset()
        item.CodeMeaning = word
        return [item], [word.encode()]
    if vr in ("FD", "FL"):
        return float(tag), [struct.pack("<d" if vr == "FD" else "<f", float(tag))] if vr == "FD" else []
    if vr in ("US", "SS", "UL", "SL"):
        return 77, []
    return word.encode() + word.encode("utf-16-le"), [word.encode(), word.encode("utf-16-le")]


@pytest.fixture(scope="module")
def real(shared_data: Path) -> Path:
    """An MR image with private elements and an overlay."""
    return shared_data / "dicom" / "mr" / "MR-SIEMENS-DICOM-WithOverlays.dcm"


@pytest.fixture(scope="module")
def canaries(real: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, bytes]:
    """The result for a file with a canary in each element of the table, at the top and in an item, and its bytes."""
    folder = tmp_path_factory.mktemp("canaries")
    data = pydicom.dcmread(real)
    item = pydicom.Dataset()
    for mark, where in (("TOP", data), ("ITEM", item)):
        for tag in IN_DATASET:
            put(where, tag, kind_of(tag), canary(tag, mark)[0])
    data.ReferencedSeriesSequence = [item]
    (folder / "in").mkdir()
    data.save_as(folder / "in" / "a.dcm")
    source = (folder / "in" / "a.dcm").read_bytes()
    silent = [
        tag for tag in IN_DATASET for mark in ("TOP", "ITEM") for text in canary(tag, mark)[1] if text not in source
    ]
    assert not silent  # a test that cannot fail is a defect
    outcome = deidentify(folder / "in", folder / "out")
    assert outcome.as_dict() == {"in": 1, "out": 1, "already_there": 0, "left_out": {}}
    (product,) = (folder / "out").rglob("*.dcm")
    return pydicom.dcmread(product), product.read_bytes()


@pytest.mark.shared
@pytest.mark.parametrize("tag", IN_DATASET, ids=lambda tag: f"{tag:08X}")
def test_an_element_of_the_table_is_gone(canaries: tuple[Any, bytes], tag: int) -> None:
    product, content = canaries
    for mark, where in (("TOP", product), ("ITEM", product.ReferencedSeriesSequence[0])):
        value, texts = canary(tag, mark)
        assert not [text for text in texts if text in content]
        found = where.get(tag)
        if TABLE[tag] == "X_TAGS":
            assert found is None
        elif found is not None and kind_of(tag) != "SQ":
            assert found.value != value
        if TABLE[tag] == "Z_TAGS" and tag != 0x00100010:
            assert found is None or not found.value
        if TABLE[tag] == "D_TAGS" and pydicom.datadict.dictionary_has_tag(tag):
            assert found is not None
            assert kind_of(tag) == "SQ" or found.value not in ("", None)
        if TABLE[tag] == "U_TAGS":
            assert tag >> 16 < 8 if found is None else found.value.startswith("2.25.")
            assert found == product.get(tag)


def hidden(word: str) -> dict[str, Callable[[Any], None]]:
    """Other places for a word, by what they are called."""
    raw = word.encode()
    both = raw + word.encode("utf-16-le") + bytes(len(raw) % 2)

    def nested(data: Any, depth: int = 0) -> Any:
        item = pydicom.Dataset()
        item.PatientName, item.SOPClassUID = word, "1.2.840.10008.5.1.4.1.1.4"
        if depth < 8:
            item.ReferencedSeriesSequence = [nested(data, depth + 1)]
        return item

    def private(data: Any) -> None:
        block = data.private_block(0x0011, f"{word} CREATOR", create=True)
        block.add_new(1, "LO", word)
        block.add_new(2, "UN", both)
        block.add_new(3, "SQ", [nested(data)])

    def meta(data: Any) -> None:
        data.file_meta.SourceApplicationEntityTitle = word[:16]
        data.file_meta.SendingApplicationEntityTitle = word[:16]
        data.file_meta.ImplementationVersionName = word[:16]
        data.file_meta.PrivateInformationCreatorUID = "1.2.3"
        data.file_meta.PrivateInformation = both

    def icon(data: Any) -> None:
        small = pydicom.Dataset()
        small.Rows, small.Columns, small.PixelData = 1, len(both), both
        small["PixelData"].VR = "OB"
        data.IconImageSequence = [small]
        data.ReferencedInstanceSequence = [small]

    def many(data: Any) -> None:
        data.ReferencedSeriesSequence = [nested(data), pydicom.Dataset(), nested(data)]

    places: dict[str, Callable[[Any], None]] = {
        "preamble": lambda data: setattr(data, "preamble", raw.ljust(128, b"\0")),
        "file meta": meta,
        "private": private,
        "nested": many,
        "icon": icon,
        "behind the pixels": lambda data: setattr(data, "PixelData", data.PixelData + both),
        "three writings": lambda data: put(data, 0x00100010, "PN", f"{word}^A={word}^B={word}^C"),
        "several names": lambda data: put(data, 0x00081070, "PN", [word, f"{word}^Two"]),
        "trailing padding": lambda data: put(data, 0xFFFCFFFC, "OB", both),
        "a code that is none": lambda data: put(data, 0x00180015, "CS", f"{word}^JANE"),
        "a number that is none": lambda data: put(data, 0x00180050, "LO", word),
        "a UID that is none": lambda data: put(data, 0x0008001A, "UI", word),
        "rows as text": lambda data: put(data, 0x00280034, "LT", word),
        "bytes in place of text": lambda data: put(data, 0x00181250, "OB", both),
        "a sequence in place of text": lambda data: put(data, 0x00181251, "SQ", [nested(data)]),
        "what others said": lambda data: put(data, 0x00120063, "LO", word),
        "a class": lambda data: put(data, 0x00081150, "UI", f"1.2.{word}"),
    }
    for name, tag, vr in (
        ("an unknown element", 0x0018FFF1, "LO"),
        ("an unknown group", 0x7776_1234, "UT"),
        ("a curve", 0x50003000, "OW"),
        ("a curve's label", 0x50022500, "LO"),
        ("an overlay", 0x60003000, "OW"),
        ("an overlay's description", 0x60020022, "LO"),
        ("an overlay's label", 0x60041500, "LO"),
        ("bytes", 0x04000520, "OB"),
        ("sound", 0x54001010, "OW"),
        ("a text value", 0x0040A160, "UT"),
        ("a comment", 0x00400400, "LT"),
        ("a note", 0x00620006, "ST"),
        ("an address", 0x00081190, "UR"),
        ("a name", 0x0040A067, "PN"),
        ("another calendar", 0x00100033, "LO"),
        ("a device", 0x00181003, "LO"),
        ("a retired number", 0x00402006, "SH"),
        ("a directory", 0x00041141, "LO"),
        ("variable pixels", 0x7F000010, "OW"),
        ("a tracking label", 0x00620020, "UT"),
    ):
        value: Any = both if vr in ("OW", "OB") else word
        places[name] = lambda data, tag=tag, vr=vr, value=value: put(data, tag, vr, value)
    return places


@pytest.mark.shared
@pytest.mark.parametrize("place", sorted(hidden("")))
def test_a_word_is_gone_wherever_it_hides(real: Path, tmp_path: Path, place: str) -> None:
    word = "KANARIENVOGEL"
    data = pydicom.dcmread(real)
    hidden(word)[place](data)
    (tmp_path / "in").mkdir()
    data.save_as(tmp_path / "in" / "a.dcm")
    source = (tmp_path / "in" / "a.dcm").read_bytes()
    assert word.encode() in source
    assert deidentify(tmp_path / "in", tmp_path / "out").written == 1
    (product,) = (tmp_path / "out").rglob("*.dcm")
    content = product.read_bytes()
    assert word.encode() not in content
    assert word.encode("utf-16-le") not in content
    read = pydicom.dcmread(product)
    np.testing.assert_array_equal(read.pixel_array, pydicom.dcmread(real).pixel_array)
    assert (read.Modality, read.Manufacturer, read.MagneticFieldStrength) == (
        "MR",
        "SIEMENS",
        data.MagneticFieldStrength,
    )


def test_what_a_result_says_about_itself(tmp_path: Path) -> None:
    deidentify(drawn(tmp_path / "a.dcm", PatientSex="F", StudyDate="20200101"), tmp_path / "out")
    product = product_of(tmp_path / "out")
    assert product.PatientIdentityRemoved == "YES"
    assert product.LongitudinalTemporalInformationModified == "REMOVED"
    (code,) = product.DeidentificationMethodCodeSequence
    assert (code.CodeValue, code.CodingSchemeDesignator) == ("113100", "DCM")
    assert (product.PatientSex, product.StudyDate) == ("", "")
    assert product.PatientName == product.PatientID != ""
    assert product.preamble == bytes(128)


def sneaked() -> Iterator[tuple[str, Callable[[Any], None]]]:
    item = pydicom.Dataset()
    item.PatientBirthDate = "19660101"
    yield "private", lambda data: put(data, 0x00110010, "LO", "VENDOR")
    yield "removed", lambda data: put(data, 0x00081030, "LO", "head of Jane")
    yield "emptied", lambda data: put(data, 0x00100030, "DA", "19660101")
    yield "dummy", lambda data: put(data, 0x00181030, "LO", "protocol for Jane")
    yield "uid", lambda data: put(data, 0x00200052, "UI", "1.2.999.9")
    yield "patient", lambda data: put(data, 0x00100020, "LO", "4711")
    yield "unknown", lambda data: put(data, 0x0018FFF1, "LO", "Jane")
    yield "nested", lambda data: setattr(data, "ReferencedSeriesSequence", [item])
    yield "mark", lambda data: setattr(data, "PatientIdentityRemoved", "NO")
    yield "meta", lambda data: setattr(data.file_meta, "SourceApplicationEntityTitle", "JANES_PC")
    yield "preamble", lambda data: setattr(data, "preamble", b"Jane".ljust(128, b"\0"))
    yield "pixels", lambda data: setattr(data, "PixelData", data.PixelData[::-1])


@pytest.mark.parametrize(("name", "sneak"), list(sneaked()))
def test_what_cleaning_would_miss_is_caught(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, sneak: Callable[[Any], None]
) -> None:
    def careless(dataset: Any, names: Pseudonyms) -> frozenset[str]:
        made = remove_identity(dataset, names)
        sneak(dataset)
        return made

    source = drawn(tmp_path / "a.dcm")
    assert deidentify(source, tmp_path / "careful").written == 1
    if name == "pixels":  # changed between cleaning and writing
        real_write = pydicom.dcmwrite

        def writing(buffer: Any, dataset: Any, **options: Any) -> None:
            pixels = dataset.PixelData
            sneak(dataset)
            real_write(buffer, dataset, **options)
            dataset.PixelData = pixels

        monkeypatch.setattr(pydicom, "dcmwrite", writing)
    else:
        monkeypatch.setattr(deidentifying, "remove_identity", careless)
    assert left_out(source, tmp_path / "out") == {"survived": 1}
    assert not contents(tmp_path / "out")
