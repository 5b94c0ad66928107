"""Compressions that archives use: encoded by independent programs (dcmtk, gdcmconv), decoded here, the same pixels."""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest
from tests.io.test_dicom import code_of, write

import tumorlens
from tumorlens import io
from tumorlens.errors import InputError
from tumorlens.io.dicom_codecs import PLUGINS

pytest.importorskip("pydicom")
JPEG = "1.2.840.10008.1.2.4."
HEAD = Path(tumorlens.__file__).parent / "web" / "static" / "examples" / "glioma.png"

# Transfer syntax → the program that encodes it, and its options.
LOSSLESS = {
    "1.2.840.10008.1.2.1.99": ("dcmconv", "+td"),
    "1.2.840.10008.1.2.2": ("dcmconv", "+tb"),
    "1.2.840.10008.1.2.5": ("dcmcrle",),
    "1.2.840.10008.1.2.4.57": ("dcmcjpeg", "+el", "+sv", "4"),
    "1.2.840.10008.1.2.4.70": ("dcmcjpeg", "+e1"),
    "1.2.840.10008.1.2.4.80": ("dcmcjpls",),
    "1.2.840.10008.1.2.4.90": ("gdcmconv", "--j2k"),
}
LOSSY = {
    "1.2.840.10008.1.2.4.50": ("dcmcjpeg", "+eb", "+q", "95"),
    "1.2.840.10008.1.2.4.51": ("dcmcjpeg", "+ee", "+q", "95"),
    "1.2.840.10008.1.2.4.81": ("dcmcjpls", "+en", "+md", "2"),
    "1.2.840.10008.1.2.4.91": ("gdcmconv", "--j2k", "--lossy", "-q", "60"),
}


def head(signed: bool = False, bits: int = 12) -> np.ndarray:
    grey = cv2.imread(str(HEAD), cv2.IMREAD_GRAYSCALE).astype(np.int32)
    values = grey * ((1 << bits) - 1) // 255 if bits > 8 else grey
    return (
        (values - (1 << (bits - 1))).astype(np.int16) if signed else values.astype(np.uint8 if bits <= 8 else np.uint16)
    )


def encoded(source: str, syntax: str, program: str, *options: str) -> str:
    if not shutil.which(program):
        pytest.skip(f"needs {program}: apt-get install dcmtk libgdcm-tools")
    target = source.replace(".dcm", "-coded.dcm")
    subprocess.run([program, *options, source, target], check=True, capture_output=True)
    import pydicom

    assert str(pydicom.dcmread(target, stop_before_pixels=True).file_meta.TransferSyntaxUID) == syntax
    return target


def written(path: Path, pixels: np.ndarray, bits: int, frames: int = 1, **fields: object) -> str:
    stack = np.stack([np.roll(pixels, 5 * n, axis=0) for n in range(frames)])
    more = {"NumberOfFrames": frames} if frames > 1 else {}
    return write(path, stack if frames > 1 else pixels, BitsStored=bits, HighBit=bits - 1, **more, **fields)


@pytest.mark.parametrize("frames", [1, 3])
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("syntax", LOSSLESS)
def test_lossless_pixels_come_back_exactly(syntax: str, signed: bool, frames: int, tmp_path: Path) -> None:
    source = written(tmp_path / "a.dcm", head(signed), 12, frames, RescaleSlope=2, RescaleIntercept=-7)
    found = io.read(encoded(source, syntax, *LOSSLESS[syntax]))
    for one, other in zip(found, io.read(source), strict=True):
        np.testing.assert_array_equal(one.pixels, other.pixels)
    assert found[0].pixels.min() == (-2048 * 2 - 7 if signed else -7)


@pytest.mark.parametrize("bits", [8, 12])
@pytest.mark.parametrize("syntax", LOSSY)
def test_lossy_pixels_come_back_nearly(syntax: str, bits: int, tmp_path: Path) -> None:
    if syntax[-2:] in ("50", "51") and bits == 12:
        pytest.skip("JPEG baseline has 8 bits; extended, of which 8 are read, is refused below")
    source = written(tmp_path / "a.dcm", head(bits=bits), bits)
    (found,), (plain,) = io.read(encoded(source, syntax, *LOSSY[syntax])), io.read(source)
    assert np.abs(found.pixels - plain.pixels).mean() < 0.02 * np.ptp(plain.pixels)
    assert np.corrcoef(found.pixels.ravel(), plain.pixels.ravel())[0, 1] > 0.995


def test_jpeg_extended_with_12_bits_is_refused_by_name(tmp_path: Path) -> None:
    target = encoded(written(tmp_path / "a.dcm", head(), 12), f"{JPEG}51", *LOSSY[f"{JPEG}51"])
    with pytest.raises(InputError, match="JPEG Extended") as error:
        io.read(target)
    assert error.value.code == "unsupported"


@pytest.mark.parametrize("syntax", [one for one in {**LOSSLESS, **LOSSY} if ".4." in one])
def test_a_code_stream_of_another_size_is_refused(syntax: str, tmp_path: Path) -> None:
    import pydicom

    bits = 8 if syntax[-2:] in ("50", "51") else 12
    target = encoded(written(tmp_path / "a.dcm", head(bits=bits), bits), syntax, *{**LOSSLESS, **LOSSY}[syntax])
    data = pydicom.dcmread(target)
    data.Rows, data.Columns = data.Columns * 2, data.Rows
    data.save_as(target)
    assert code_of(target) == "corrupt"


@pytest.mark.parametrize("syntax", [one for one in PLUGINS if ".4." in one])
@pytest.mark.parametrize(
    "stream", [b"", b"\xff\xd8", b"\xff\xd8\xff\xc3\x00\x02", b"\xff" * 40, b"\xff\x4f\xff\x51", bytes(64)]
)
def test_a_code_stream_without_a_size_is_refused(syntax: str, stream: bytes, tmp_path: Path) -> None:
    from pydicom.encaps import encapsulate

    assert code_of(write(tmp_path / "a.dcm", PixelData=encapsulate([stream or b"\0\0"]), syntax=syntax)) == "truncated"


def test_broken_scans_become_errors(tmp_path: Path) -> None:
    """A frame header of the right size, and nothing that could be decoded behind it."""
    from pydicom.encaps import encapsulate

    frame = struct.pack(">HHBHHBBBB", 0xFFC3, 11, 12, 6, 8, 1, 1, 0x11, 0)
    scan = struct.pack(">HHBBBBBB", 0xFFDA, 8, 1, 1, 0, 1, 0, 0)
    for rest in (b"", b"\xff\xd9", bytes(range(256)) * 4):
        content = encapsulate([b"\xff\xd8" + frame + scan + rest])
        path = write(tmp_path / "a.dcm", PixelData=content, syntax="1.2.840.10008.1.2.4.70", BitsStored=12, HighBit=11)
        try:
            (found,) = io.read(path)
        except tumorlens.TumorLensError:
            continue
        assert found.pixels.shape == (6, 8)
