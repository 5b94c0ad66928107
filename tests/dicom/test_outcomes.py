"""Every real DICOM and NIfTI file at hand: what becomes of it, and its pixels by an independent decoder."""

from __future__ import annotations

import gzip
import shutil
import struct
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tumorlens import io
from tumorlens.inference import Failure, Prediction, SeriesPrediction
from tumorlens.pipeline.model import Model

pydicom = pytest.importorskip("pydicom")
pytest.importorskip("nibabel")
pytestmark = pytest.mark.shared

ANSWERED = "answered"
# File → what becomes of it. Of files that are answered, slices that are no brain MRI get that as their answer.
DICOM = {
    "mr/MR-SIEMENS-DICOM-WithOverlays.dcm": "not_head",
    "mr/MR2_J2KR.dcm": "not_brain_mri",
    "mr/MR2_UNCR.dcm": "not_brain_mri",
    # Ten frames of 64 x 64 pixels of an occipital lobe: a part of a brain, and no head.
    "mr/emri_small.dcm": "not_brain_mri",
    "mr/emri_small_RLE.dcm": "not_brain_mri",
    "mr/emri_small_big_endian.dcm": "not_brain_mri",
    "mr/emri_small_jpeg_2k_lossless.dcm": "not_brain_mri",
    "mr/emri_small_jpeg_2k_lossless_too_short.dcm": "truncated",
    "mr/emri_small_jpeg_ls_lossless.dcm": "not_brain_mri",
    "not_brain_mr/JPEG-LL.dcm": "not_mr",
    "not_brain_mr/RG1_J2KI.dcm": "not_mr",
    "not_brain_mr/SC_rgb.dcm": "not_mr",
    "not_brain_mr/US1_J2KR.dcm": "not_mr",
    "not_brain_mr/bad_sequence.dcm": "not_mr",
    "not_brain_mr/explicit_VR-UN.dcm": "not_mr",
    "not_brain_mr/liver.dcm": "not_mr",
    "not_brain_mr/liver_deflate.dcm": "unsupported",
    "not_brain_mr/parametric_map_float.dcm": "not_mr",
    "not_brain_mr/vlut_04.dcm": "not_mr",
}
NIFTI = {"MR_Gd.nii.gz": ANSWERED, "spm152.nii.gz": ANSWERED}
# File → the program of another project that unpacks it, with its options.
DECODERS = {
    "mr/MR-SIEMENS-DICOM-WithOverlays.dcm": ("dcmconv", "+te"),
    "mr/MR2_J2KR.dcm": ("gdcmconv", "--raw"),
    "mr/MR2_UNCR.dcm": ("dcmconv", "+te"),
    "mr/emri_small.dcm": ("dcmconv", "+te"),
    "mr/emri_small_RLE.dcm": ("dcmdrle", "+te"),
    "mr/emri_small_big_endian.dcm": ("dcmconv", "+te"),
    "mr/emri_small_jpeg_2k_lossless.dcm": ("gdcmconv", "--raw"),
    "mr/emri_small_jpeg_ls_lossless.dcm": ("dcmdjpls", "+te"),
    "not_brain_mr/JPEG-LL.dcm": ("dcmdjpeg", "+te"),
    "t1w_head/N2D_0185.dcm": ("dcmconv", "+te"),
}


def outcome(answers: list[Any]) -> str:
    """What became of one file: the code of its error, ``not_brain_mri`` when no slice has a class, else answered."""
    if isinstance(answers[0], Failure):
        assert len(answers) == 1
        assert answers[0].error.hint or answers[0].error.message
        return str(answers[0].error.code)
    slices = [one for one in answers if isinstance(one, Prediction)]
    for one in slices:
        assert one.verdict in ("accepted", "uncertain", "not_brain_mri")
        assert (one.predicted is None) == (one.verdict == "not_brain_mri")
        assert sum(one.probabilities.values()) == pytest.approx(1, abs=1e-5)
    assert len(slices) == 1 or isinstance(answers[-1], SeriesPrediction)
    return ANSWERED if any(one.predicted for one in slices) else "not_brain_mri"


@pytest.mark.parametrize("name", sorted(DICOM))
def test_every_dicom_file_has_its_outcome(shared_data: Path, model: Model, name: str) -> None:
    assert outcome(list(model.predict_paths([str(shared_data / "dicom" / name)]))) == DICOM[name]


@pytest.mark.parametrize("name", sorted(NIFTI))
def test_every_nifti_file_has_its_outcome(shared_data: Path, model: Model, name: str) -> None:
    assert outcome(list(model.predict_paths([str(shared_data / "nifti" / name)]))) == NIFTI[name]


def test_no_file_is_forgotten_and_the_healthy_head_is_answered_as_one(shared_data: Path, model: Model) -> None:
    head = sorted(str(path) for path in (shared_data / "dicom" / "t1w_head").iterdir())
    there = {str(path.relative_to(shared_data / "dicom")) for path in (shared_data / "dicom").rglob("*.dcm")}
    assert there - {str(Path(path).relative_to(shared_data / "dicom")) for path in head} == set(DICOM)
    assert {path.name for path in (shared_data / "nifti").iterdir()} == set(NIFTI)
    *slices, series = model.predict_paths(head)
    assert isinstance(series, SeriesPrediction)
    assert series.predicted == "no_tumor"
    assert list(series.slices) == head  # their names are in the order of their positions
    assert len(slices) == len(head)


@pytest.mark.parametrize("name", sorted(DECODERS))
def test_pixels_are_those_of_an_independent_decoder(shared_data: Path, name: str, tmp_path: Path) -> None:
    program, *options = DECODERS[name]
    if not shutil.which(program):
        pytest.skip(f"needs {program}: apt-get install dcmtk libgdcm-tools")
    raw = tmp_path / "raw.dcm"
    subprocess.run([program, *options, shared_data / "dicom" / name, raw], check=True, capture_output=True)
    data = pydicom.dcmread(raw)
    assert data.file_meta.TransferSyntaxUID in (
        pydicom.uid.ExplicitVRLittleEndian,
        pydicom.uid.ImplicitVRLittleEndian,
    )
    kind = f"<{'i' if data.PixelRepresentation else 'u'}{data.BitsAllocated // 8}"
    count = int(data.get("NumberOfFrames", 1))
    stored = np.frombuffer(data.PixelData, kind)[: count * data.Rows * data.Columns]
    expected = stored.reshape(count, data.Rows, data.Columns).astype(np.float64)
    slope, intercept = float(data.get("RescaleSlope") or 1), float(data.get("RescaleIntercept") or 0)
    found = np.stack([one.pixels for one in io.read(str(shared_data / "dicom" / name))])
    np.testing.assert_array_equal(found, (expected * slope + intercept).astype(np.float32))


@pytest.mark.parametrize("name", sorted(NIFTI))
def test_voxels_are_those_of_the_file_itself(shared_data: Path, name: str) -> None:
    """By the NIfTI-1 header's own numbers: the same values, whatever order and direction the slices are taken in."""
    data = gzip.decompress((shared_data / "nifti" / name).read_bytes())
    shape, code = struct.unpack_from("<8h", data, 40)[1:4], struct.unpack_from("<h", data, 70)[0]
    start, slope, intercept = struct.unpack_from("<3f", data, 108)
    kind = {2: "<u1", 4: "<i2", 16: "<f4", 64: "<f8", 512: "<u2"}[code]
    stored = np.frombuffer(data, kind, int(np.prod(shape)), int(start)).astype(np.float64)
    expected = (stored * (slope or 1) + intercept).astype(np.float32)
    found = np.concatenate([one.pixels.ravel() for one in io.read(str(shared_data / "nifti" / name))])
    np.testing.assert_allclose(np.sort(found), np.sort(expected), rtol=1e-6)
