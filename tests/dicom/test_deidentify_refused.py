"""De-identification refuses: images that may show who it is, damaged files, folders and keys, and tells each."""

from __future__ import annotations

import io
import json
import os
import shutil
import struct
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.dicom.deidentified import contents, drawn, left_out, put

from tumorlens.cli.main import main
from tumorlens.dicom.deidentifying import deidentify
from tumorlens.errors import UsageError
from tumorlens.io.limits import Limits

pydicom = pytest.importorskip("pydicom")

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
