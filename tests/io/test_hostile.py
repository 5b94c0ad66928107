"""Mutated and cut bytes raise InputError or give an image; never anything else."""

from __future__ import annotations

import io as memory
import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from tumorlens import io
from tumorlens.errors import InputError

NOISE = np.random.default_rng(1).integers(0, 255, (24, 20), np.uint8)


def _pictures():
    made = {}
    for kind, options in (
        ("PNG", {}),
        ("JPEG", {}),
        ("JPEG", {"progressive": True}),
        ("GIF", {}),
        ("TIFF", {}),
        ("BMP", {}),
        ("WEBP", {}),
    ):
        out = memory.BytesIO()
        Image.fromarray(NOISE).save(out, kind, **options)
        made[f"{kind}{len(options) or ''}"] = out.getvalue()
    return made


def _npz():
    out = memory.BytesIO()
    np.savez(out, train_images=np.stack([NOISE] * 2))
    return out.getvalue()


def _zip():
    out = memory.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.png", _pictures()["PNG"])
    return out.getvalue()


def _dicom():
    pydicom = pytest.importorskip("pydicom")
    from pydicom.dataset import Dataset, FileMetaDataset

    data = Dataset()
    data.SOPClassUID, data.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.4", "1.2.3"
    data.Modality, data.PatientID, data.PixelSpacing = "MR", "P", [1, 1]
    data.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    data.Rows, data.Columns = NOISE.shape
    data.SamplesPerPixel, data.PhotometricInterpretation, data.PixelRepresentation = 1, "MONOCHROME2", 0
    data.BitsAllocated, data.BitsStored, data.HighBit = 8, 8, 7
    data.PixelData = NOISE.tobytes()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    out = memory.BytesIO()
    data.save_as(out, enforce_file_format=True)
    return out.getvalue()


def _nifti():
    nibabel = pytest.importorskip("nibabel")
    return nibabel.Nifti1Image(np.dstack([NOISE] * 2), np.eye(4)).to_bytes()


def _mat():
    h5py = pytest.importorskip("h5py")
    out = memory.BytesIO()
    with h5py.File(out, "w") as file:
        file["cjdata/image"] = NOISE.T
        file["cjdata/label"] = [[1.0]]
        file["cjdata/PID"] = np.array([[65], [66]], np.uint16)
    return out.getvalue()


FORMATS = {**_pictures(), "dcm": _dicom(), "nii": _nifti(), "npz": _npz(), "zip": _zip(), "mat": _mat()}
LIMITS = io.Limits(image_pixels=4_000_000, file_pixels=8_000_000, member_bytes=1 << 20)


@st.composite
def damaged(draw):
    name = draw(st.sampled_from(sorted(FORMATS)))
    data = bytearray(FORMATS[name])
    if draw(st.booleans()):
        del data[draw(st.integers(1, len(data) - 1)) :]
    for _ in range(draw(st.integers(0, 4))):
        # Headers are where it hurts.
        top = len(data) - 1 if draw(st.booleans()) else min(len(data) - 1, 200)
        at = draw(st.integers(0, top))
        data[at : at + draw(st.integers(0, 3))] = draw(st.binary(min_size=1, max_size=4))
    return name, bytes(data)


@settings(max_examples=600, deadline=None, suppress_health_check=list(HealthCheck))
@given(damaged())
def test_damaged_uploads(case):
    name, data = case
    try:
        found = io.read_bytes(data, f"x.{name}", limits=LIMITS)
    except InputError as error:
        assert error.code
        assert error.message
    else:
        for item in found:
            assert item.pixels.ndim == 2
            assert item.pixels.dtype == np.float32
            assert np.isfinite(item.pixels).all()


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(damaged())
def test_damaged_files_and_members(tmp_path_factory, case):
    name, data = case
    path = tmp_path_factory.getbasetemp() / f"x.{name}"
    path.write_bytes(data)
    inner = {"npz": "!train_images", "zip": "!a.png", "mat": "!image"}.get(name, "")
    for call in (io.frame_count, io.read, io.read_mask, io.digest, io.inspect, io.file_facts):
        try:
            call(f"{path}{inner}", limits=LIMITS)
        except InputError as error:
            assert error.message
    if name == "zip":
        try:
            io.members(str(path))
        except InputError as error:
            assert error.message


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.binary(max_size=600), st.sampled_from(["a.jpg", "a.dcm", "a.nii.gz", "a.mat", "a.npz", "a"]))
def test_random_bytes(data, name):
    with pytest.raises(InputError):
        io.read_bytes(data, name)
