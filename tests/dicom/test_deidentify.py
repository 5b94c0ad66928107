"""De-identification: what identifies is gone from every byte, what belongs together still does, pixels are the same."""

from __future__ import annotations

import io
import json
import os
import shutil
import stat
import struct
import subprocess
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.web.conftest import dicom_frames

import tumorlens
from tumorlens.cli.main import main
from tumorlens.dicom import deidentifying
from tumorlens.dicom.cleaning import remove_identity
from tumorlens.dicom.deidentifying import Outcome, deidentify
from tumorlens.dicom.pseudonyms import Pseudonyms
from tumorlens.errors import UsageError
from tumorlens.inference import Prediction
from tumorlens.io.limits import Limits

pydicom = pytest.importorskip("pydicom")
published = pytest.importorskip("dicomanonymizer.dicom_anonymization_databases.dicomfields_2026c")

NAMES = Pseudonyms(b"k" * 32)
GROUPS = ("X_TAGS", "Z_TAGS", "D_TAGS", "X_Z_TAGS", "Z_D_TAGS", "X_D_TAGS", "X_Z_D_TAGS", "U_TAGS")
TABLE = {one[0] << 16 | one[1]: name for name in GROUPS for one in getattr(published, name) if len(one) == 2}
# Commands (0000) and file meta information (0002) do not stand in a data set; a file with a document is left out.
IN_DATASET = sorted(tag for tag in TABLE if tag >> 16 > 2 and tag != 0x00420011)
STRINGS = ("AE", "AS", "CS", "DA", "DT", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UR", "UT")


def kind_of(tag: int) -> str:
    return pydicom.datadict.dictionary_VR(tag) if pydicom.datadict.dictionary_has_tag(tag) else "LO"


def put(dataset: Any, tag: int, vr: str, value: Any) -> None:
    """An element with any value, allowed or not."""
    element = pydicom.DataElement(tag, vr, value, validation_mode=pydicom.config.IGNORE)
    dataset[tag] = element


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
    (path,) = out.rglob("*.dcm")
    return pydicom.dcmread(path)


def left_out(source: Path, out: Path, **options: Any) -> dict[str, int]:
    return dict(deidentify(source, out, **options).left_out)


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


REAL = sorted(
    path.relative_to(folder).as_posix()
    for folder in [Path(__file__).resolve().parents[2].parent / "shared" / "data" / "dicom"]
    for path in folder.rglob("*.dcm")
    if "t1w_head" not in path.as_posix() or path.name == "N2D_0153.dcm"
)
UNUSABLE = {
    "mr/emri_small_jpeg_2k_lossless_too_short.dcm": "truncated",
    "not_brain_mr/liver_deflate.dcm": "unsupported",  # compressed in a way that is newer than the decoders
}
EXPOSING = {
    "not_brain_mr/JPEG-LL.dcm": "capture",
    "not_brain_mr/RG1_J2KI.dcm": "other_kind",
    "not_brain_mr/SC_rgb.dcm": "capture",
    "not_brain_mr/US1_J2KR.dcm": "other_kind",
    "not_brain_mr/explicit_VR-UN.dcm": "capture",
    "not_brain_mr/vlut_04.dcm": "capture",
}


@pytest.mark.shared
@pytest.mark.parametrize("name", REAL)
def test_real_files_keep_their_pixels_and_break_no_rule(shared_data: Path, tmp_path: Path, name: str) -> None:
    source = shared_data / "dicom" / name
    if name in UNUSABLE:
        assert left_out(source, tmp_path / "out") == {UNUSABLE[name]: 1}
        return
    if name in EXPOSING:
        assert left_out(source, tmp_path / "none") == {EXPOSING[name]: 1}
    assert deidentify(source, tmp_path / "out", allow_burned_in=name in EXPOSING).written == 1
    (path,) = (tmp_path / "out").rglob("*.dcm")
    before, after = pydicom.dcmread(source), pydicom.dcmread(path)
    assert after.file_meta.TransferSyntaxUID == before.file_meta.TransferSyntaxUID
    assert after.get("PixelData") == before.get("PixelData")
    np.testing.assert_array_equal(after.pixel_array, before.pixel_array)
    if name.startswith(("mr/MR", "t1w")):
        assert set(faults(path)) <= set(faults(source))
    else:  # the same faults may be told of other items
        assert {line.partition(" <")[0] for line in faults(path)} <= {
            line.partition(" <")[0] for line in faults(source)
        }


def faults(path: Path) -> list[str]:
    """What ``dciodvfy`` (dicom3tools) finds wrong."""
    if not shutil.which("dciodvfy"):
        pytest.skip("needs dciodvfy: apt-get install dicom3tools")
    told = subprocess.run(["dciodvfy", path], capture_output=True, check=False)
    return [line for line in (told.stdout + told.stderr).decode("latin-1").splitlines() if line.startswith("Error")]


@pytest.mark.shared
def test_files_of_a_series_still_belong_together(shared_data: Path, tmp_path: Path) -> None:
    names = ("N2D_0137.dcm", "N2D_0153.dcm")
    old = [pydicom.dcmread(shared_data / "dicom" / "t1w_head" / name) for name in names]
    for one, other, name in zip(old, old[::-1], names, strict=True):
        reference = pydicom.Dataset()
        reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = other.SOPClassUID, other.SOPInstanceUID
        one.ReferencedImageSequence = one.SourceImageSequence = [reference]
        one.FrameOfReferenceUID = "1.2.999.5"
        (tmp_path / "in").mkdir(exist_ok=True)
        one.save_as(tmp_path / "in" / name)
    assert deidentify(tmp_path / "in", tmp_path / "out").written == 2
    new = sorted(map(pydicom.dcmread, (tmp_path / "out").rglob("*.dcm")), key=lambda one: int(one.InstanceNumber))
    old.sort(key=lambda one: int(one.InstanceNumber))
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "PatientID", "PatientName"):
        assert len({str(one[keyword].value) for one in new}) == 1
        assert new[0][keyword].value != old[0][keyword].value
    for one, other in zip(new, new[::-1], strict=True):
        for keyword in ("ReferencedImageSequence", "SourceImageSequence"):
            (reference,) = one[keyword].value
            assert reference.ReferencedSOPInstanceUID == other.SOPInstanceUID
            assert reference.ReferencedSOPClassUID == other.SOPClassUID == "1.2.840.10008.5.1.4.1.1.4"
        assert one.file_meta.MediaStorageSOPInstanceUID == one.SOPInstanceUID
    positions = [[float(x) for x in one.ImagePositionPatient] for one in (*old, *new)]
    assert positions[:2] == positions[2:]


def contents(out: Path) -> dict[str, bytes]:
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in out.rglob("*.dcm")}


def test_a_key_repeats_its_names_and_no_other_does(tmp_path: Path) -> None:
    source = drawn(tmp_path / "a.dcm")
    for out, key in (("1", "k"), ("2", "k"), ("3", "other"), ("4", None), ("5", None)):
        assert deidentify(source, tmp_path / out, key=key and tmp_path / key).written == 1
    assert contents(tmp_path / "1") == contents(tmp_path / "2")
    assert len({tuple(contents(tmp_path / out)) for out in "12345"}) == 4
    assert len({str(product_of(tmp_path / out).PatientID) for out in "12345"}) == 4
    assert stat.S_IMODE((tmp_path / "k").stat().st_mode) == 0o600
    assert (tmp_path / "k").read_text().strip() not in (tmp_path / "1" / ".tumorlens-deidentify.json").read_text()


UIDS = st.lists(st.integers(0, 10**9), min_size=1, max_size=6).map(lambda parts: ".".join(map(str, (1, 3, *parts))))


@given(st.one_of(UIDS, st.text(max_size=64)), st.one_of(UIDS, st.text(max_size=64)))
def test_uids_are_mapped_one_to_one(one: str, other: str) -> None:
    new = NAMES.uid(one)
    assert Pseudonyms(b"k" * 32).uid(one) == new == NAMES.uid(f"{one}\0") == NAMES.uid(f" {one} ")
    same = one.strip("\0 ") == other.strip("\0 ")
    assert (NAMES.uid(other) == new) is same
    assert (NAMES.patient(one) == NAMES.patient(other)) is same
    if one.strip("\0 "):
        assert pydicom.uid.UID(new).is_valid
        assert new.startswith("2.25.") and len(new) <= 64
        assert Pseudonyms(b"o" * 32).uid(one) != new
    else:
        assert new == NAMES.patient(one) == ""


def test_what_dicom_registered_stays() -> None:
    for uid in pydicom.uid.UID_dictionary:
        assert NAMES.uid(uid) == uid
    for uid in ("1.2.840.10008", "1.2.840.100081.1", "1.2.840.10008.5.1.4.1.1.4.20200101101500", "1.2.840.10008.x",
                "1.2.840.10008.5.1.4.1.1.4.2024.0115.4711.0042"):  # fmt: skip
        assert NAMES.uid(uid) != uid


@pytest.mark.shared
def test_the_model_answers_the_same(shared_data: Path, tmp_path: Path) -> None:
    source = shared_data / "dicom" / "t1w_head" / "N2D_0153.dcm"
    deidentify(source, tmp_path / "out")
    (product,) = (tmp_path / "out").rglob("*.dcm")
    model = tumorlens.load()
    before, after = (
        [answer for answer in model.predict_paths([str(path)]) if isinstance(answer, Prediction)]
        for path in (source, product)
    )
    assert before[0].probabilities == after[0].probabilities
    assert before[0].verdict == after[0].verdict


SC = "1.2.840.10008.5.1.4.1.1.7"


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"BurnedInAnnotation": "YES"}, "burned_in"),
        ({"BurnedInAnnotation": "MAYBE"}, "burned_in"),
        ({"BurnedInAnnotation": "NO"}, ""),
        ({"RecognizableVisualFeatures": "YES"}, "burned_in"),
        ({"SOPClassUID": SC}, "capture"),
        ({"SOPClassUID": f"{SC}.4", "BurnedInAnnotation": "NO"}, "capture"),
        ({"ImageType": ["DERIVED", "SECONDARY", "SCREEN SAVE"]}, "capture"),
        ({"ImageType": ["DERIVED", "SECONDARY"]}, ""),
        ({"ConversionType": "SD"}, "capture"),
        ({"ConversionType": "WSD"}, ""),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.6.1"}, "other_kind"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.77.1.4"}, "other_kind"),
    ],
)
def test_images_that_may_show_who_it_is_are_left_out(tmp_path: Path, fields: dict[str, Any], code: str) -> None:
    source = drawn(tmp_path / "a.dcm", **fields)
    assert left_out(source, tmp_path / "out") == ({code: 1} if code else {})
    assert bool(contents(tmp_path / "out")) is not bool(code)
    assert deidentify(source, tmp_path / "all", allow_burned_in=True).written == 1


def test_an_overlay_in_the_bits_of_the_pixels_is_burnt_in(tmp_path: Path) -> None:
    data = pydicom.dcmread(drawn(tmp_path / "a.dcm"))
    put(data, 0x60000100, "US", 16)
    put(data, 0x60000102, "US", 15)
    data.save_as(tmp_path / "a.dcm")
    assert left_out(tmp_path / "a.dcm", tmp_path / "out") == {"burned_in": 1}


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"PixelData": None, "SOPClassUID": "1.2.840.10008.5.1.4.1.1.88.33", "TextValue": "Doe"}, "not_an_image"),
        ({"PixelData": None, "EncapsulatedDocument": b"%PDF"}, "not_an_image"),
        ({"EncapsulatedDocument": b"%PDF"}, "not_an_image"),
        ({"SOPClassUID": "1.3.12.2.1107.5.9.1"}, "unsupported"),
        ({"Rows": None}, "corrupt"),
        ({"Rows": 4000}, "truncated"),
        ({"StudyInstanceUID": None}, "corrupt"),
        ({"StudyInstanceUID": ""}, "corrupt"),
        ({"SeriesInstanceUID": ["1.2.999.7", "1.2.999.8"]}, "corrupt"),
    ],
)
def test_what_is_no_sound_image_is_left_out_always(tmp_path: Path, fields: dict[str, Any], code: str) -> None:
    source = drawn(tmp_path / "a.dcm", **fields)
    assert left_out(source, tmp_path / "out", allow_burned_in=True) == {code: 1}
    assert not contents(tmp_path / "out")


def test_many_files_of_all_sorts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = tmp_path / "Doe^Jane 1966", tmp_path / "out"
    for name in ("JANE_DOE.dcm", "MRN4711/IM0001", "MRN4711/.hidden/IM0002"):
        drawn(source / name)
    shutil.copy(source / "JANE_DOE.dcm", source / "copy of Jane")
    twin = pydicom.dcmread(source / "JANE_DOE.dcm")
    twin.WindowCenter = 5
    twin.save_as(source / "twin of Jane")
    drawn(source / "z" / "burnt", BurnedInAnnotation="YES")
    (source / "notes.txt").write_text("a letter about Jane " * 20)
    (source / "empty").touch()
    (source / "cut").write_bytes((source / "JANE_DOE.dcm").read_bytes()[:5000])
    drawn(tmp_path / "elsewhere" / "outside.dcm")
    os.symlink(tmp_path / "elsewhere", source / "to_folder")
    os.symlink(tmp_path / "elsewhere" / "outside.dcm", source / "to_file")
    os.symlink(source, source / "z" / "loop")
    assert main(["deidentify", str(source), str(out), "--json"]) == 1
    told = capsys.readouterr()
    document = json.loads(told.out)
    assert document["left_out"].pop("not_an_image", 0) + document["left_out"].pop("truncated", 0) == 1  # the cut one
    assert document == {
        "in": 12,
        "out": 3,
        "already_there": 1,
        "left_out": {"burned_in": 1, "duplicate_id": 1, "empty": 1, "link": 3, "not_dicom": 1},
    }
    assert "left out (burned_in): z/burnt" in told.err.splitlines()
    names = [path.relative_to(out).as_posix() for path in out.rglob("*")]
    assert len([name for name in names if name.endswith(".dcm")]) == 3
    for word in ("doe", "jane", "mrn4711", "1966", "im0001"):
        assert word not in " ".join(names).lower()
        assert word not in told.out.lower()
    for path, content in contents(out).items():
        data = pydicom.dcmread(io.BytesIO(content))
        assert path == f"{data.StudyInstanceUID}/{data.SeriesInstanceUID}/{data.SOPInstanceUID}.dcm"


def test_no_message_quotes_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = pydicom.dcmread(drawn(tmp_path / "in" / "a.dcm"))
    put(data, 0x00280010, "LO", "KANARIENVOGEL")  # rows that are no number
    put(data, 0x00100030, "DA", "KANARIENVOGEL")
    data.save_as(tmp_path / "in" / "a.dcm")
    assert main(["deidentify", str(tmp_path / "in"), str(tmp_path / "out"), "-v"]) == 3
    told = capsys.readouterr()
    assert "left out (corrupt): a.dcm" in told.err
    assert "KANARIENVOGEL" not in told.err + told.out


def test_exit_codes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    drawn(tmp_path / "good" / "a.dcm")
    (tmp_path / "good" / "readme").write_text("text")
    assert main(["deidentify", str(tmp_path / "good"), str(tmp_path / "1")]) == 0
    assert "1 of 2 files written" in capsys.readouterr().out
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "readme").write_text("text")
    assert main(["deidentify", str(tmp_path / "bad"), str(tmp_path / "2")]) == 3
    assert main(["deidentify", str(tmp_path / "nowhere"), str(tmp_path / "3")]) == 3
    assert not (tmp_path / "3").exists()
    assert main(["deidentify", str(tmp_path / "good"), str(tmp_path / "1")]) == 2
    assert "is not empty" in capsys.readouterr().err


def test_a_folder_is_continued_with_its_key_alone(tmp_path: Path) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    drawn(source / "a.dcm")
    assert deidentify(source, out, key=tmp_path / "k").written == 1
    first = contents(out)
    half = next(out.rglob("*.dcm")).with_name(".x.dcm.abc.part")
    half.write_bytes(b"half")
    drawn(source / "b.dcm")
    outcome = deidentify(source, out, key=tmp_path / "k")
    assert (outcome.written, outcome.already_there, dict(outcome.left_out)) == (1, 1, {})
    assert first.items() < contents(out).items()
    assert not half.exists()
    for key in (None, tmp_path / "another"):
        with pytest.raises(UsageError):
            deidentify(source, out, key=key)
    assert not (tmp_path / "another").exists()


@pytest.mark.parametrize("out", ["in", "in/out", "full", "file"])
def test_a_folder_that_is_not_free_is_refused(tmp_path: Path, out: str) -> None:
    drawn(tmp_path / "in" / "a.dcm")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("years of work")
    (tmp_path / "file").write_text("a file")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UsageError):
        deidentify(tmp_path / "in", tmp_path / out, key=tmp_path / "k")
    assert sorted(tmp_path.rglob("*")) == before


def test_keys_that_are_none_or_would_be_given_away(tmp_path: Path) -> None:
    source = drawn(tmp_path / "a.dcm")
    (tmp_path / "k").write_text("secret")
    for key in (tmp_path / "k", tmp_path / "out" / "k", tmp_path):
        with pytest.raises(UsageError):
            deidentify(source, tmp_path / "out", key=key)
    assert not (tmp_path / "out").exists()


def test_a_zip_is_read_in_place(tmp_path: Path) -> None:
    drawn(tmp_path / "a.dcm")
    with zipfile.ZipFile(tmp_path / "scan.zip", "w") as archive:
        archive.write(tmp_path / "a.dcm", "Doe/IM1")
        archive.writestr("readme.txt", "text")
    outcome = deidentify(tmp_path / "scan.zip", tmp_path / "out")
    assert (outcome.found, outcome.written, dict(outcome.left_out)) == (2, 1, {"not_dicom": 1})


def deep(levels: int, *, known: bool) -> bytes:
    """Elements of a data set: sequences in sequences, of undefined or of known length."""
    content = b""
    for _ in range(levels):
        if known:
            item = struct.pack("<HHI", 0xFFFE, 0xE000, len(content)) + content
            content = struct.pack("<HH2sHI", 0x0008, 0x1115, b"SQ", 0, len(item)) + item
        else:
            start = struct.pack("<HH2sHI", 0x0008, 0x1115, b"SQ", 0, 0xFFFFFFFF)
            item = struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)
            end = struct.pack("<HHIHHI", 0xFFFE, 0xE00D, 0, 0xFFFE, 0xE0DD, 0)
            content = start + item + content + end
    return content


def hostile(path: Path, extra: bytes) -> Path:
    """A sound file with other elements before its patient."""
    drawn(path)
    data = path.read_bytes()
    at = data.index(struct.pack("<HH2s", 0x0010, 0x0010, b"PN"))
    path.write_bytes(data[:at] + extra + data[at:])
    return path


@pytest.mark.parametrize("known", [True, False])
def test_sequences_that_never_end_are_refused(tmp_path: Path, known: bool) -> None:
    assert left_out(hostile(tmp_path / "a.dcm", deep(3000, known=known)), tmp_path / "out") == {"corrupt": 1}
    assert deidentify(hostile(tmp_path / "b.dcm", deep(20, known=known)), tmp_path / "all").written == 1


def test_a_sequence_that_cannot_be_read_is_not_dropped_in_silence(tmp_path: Path) -> None:
    broken = struct.pack("<HH2sHI", 0x0008, 0x1115, b"SQ", 0, 4) + b"item"
    assert left_out(hostile(tmp_path / "a.dcm", broken), tmp_path / "out") == {"corrupt": 1}


def test_sizes_that_lie(tmp_path: Path) -> None:
    lie = struct.pack("<HH2sHI", 0x0008, 0x2112, b"UT", 0, 0xFFFFFFF0)
    outcome = deidentify(hostile(tmp_path / "a.dcm", lie), tmp_path / "out")
    assert outcome.written == 0
    assert sum(outcome.left_out.values()) == 1


def test_a_deflate_bomb_is_refused(tmp_path: Path) -> None:
    data = pydicom.dcmread(drawn(tmp_path / "a.dcm", Rows=2000, Columns=2000, PixelData=bytes(16_000_000)))
    data.file_meta.TransferSyntaxUID = pydicom.uid.DeflatedExplicitVRLittleEndian
    data.save_as(tmp_path / "a.dcm")
    assert left_out(tmp_path / "a.dcm", tmp_path / "1", limits=Limits(file_bytes=1_000_000)) == {"too_large": 1}
    assert deidentify(tmp_path / "a.dcm", tmp_path / "2").written == 1


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = drawn(tmp_path_factory.mktemp("sound") / "a.dcm", Rows=4, Columns=4, NumberOfFrames=1, PixelData=bytes(32))
    return path.read_bytes()


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_damaged_bytes_are_left_out_or_cleaned(
    sound: bytes, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    damaged = bytearray(sound)
    for _ in range(data.draw(st.integers(1, 6))):
        damaged[data.draw(st.integers(132, len(sound) - 1))] = data.draw(st.integers(0, 255))
    folder = tmp_path_factory.mktemp("damaged")
    (folder / "a.dcm").write_bytes(damaged[: data.draw(st.integers(200, len(sound)))])
    outcome = deidentify(folder / "a.dcm", folder / "out")
    assert outcome.written + sum(outcome.left_out.values()) == outcome.found == 1
    for content in contents(folder / "out").values():
        assert content[:132] == bytes(128) + b"DICM"


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


def test_a_result_can_be_cleaned_again(tmp_path: Path) -> None:
    deidentify(drawn(tmp_path / "a.dcm"), tmp_path / "1")
    assert deidentify(tmp_path / "1", tmp_path / "2").as_dict() == Outcome(1, 1).as_dict()
    first, second = product_of(tmp_path / "1"), product_of(tmp_path / "2")
    assert first.SOPInstanceUID != second.SOPInstanceUID
    assert first.keys() == second.keys()
