"""DICOM: values, geometry, refusals, and a table over every real file beside the repository."""

from __future__ import annotations

import numpy as np
import pytest

from tumorlens import io
from tumorlens.errors import InputError

pydicom = pytest.importorskip("pydicom")

STORED = np.arange(6 * 8, dtype=np.uint16).reshape(6, 8) * 10


def write(path, pixels=STORED, *, preamble=True, syntax="1.2.840.10008.1.2.1", **fields):
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import MRImageStorage, generate_uid

    data = Dataset()
    data.SOPClassUID, data.SOPInstanceUID = MRImageStorage, generate_uid()
    data.Modality, data.PatientID = "MR", "P7"
    data.Rows, data.Columns = pixels.shape[-2:] if fields.get("SamplesPerPixel", 1) == 1 else pixels.shape[-3:-1]
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated = data.BitsStored = pixels.dtype.itemsize * 8
    data.HighBit = data.BitsStored - 1
    data.PixelRepresentation = int(pixels.dtype.kind == "i")
    data.PixelSpacing = [0.5, 0.75]
    data.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    data.PixelData = pixels.tobytes()
    for name, value in fields.items():
        if value is None:
            delattr(data, name)
        else:
            setattr(data, name, value)
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = syntax
    if preamble:
        data.save_as(path, enforce_file_format=True)
    else:
        pydicom.dcmwrite(path, _without_meta(data), implicit_vr=True, little_endian=True)
    return str(path)


def _without_meta(data):
    del data.file_meta
    return data


def code_of(path, call=io.read):
    with pytest.raises(InputError) as error:
        call(path)
    return error.value.code


def test_plain(tmp_path):
    path = write(tmp_path / "a.dcm")
    (found,) = io.read(path)
    np.testing.assert_array_equal(found.pixels, STORED)
    assert found.pixels.dtype == np.float32
    assert (found.frame, found.spacing, found.modality, found.plane, found.patient) == (
        None, (0.5, 0.75), "MR", "axial", "P7",
    )  # fmt: skip
    assert io.frame_count(path) is None


def test_signed_with_rescale_and_a_window_that_is_not_applied(tmp_path):
    path = write(
        tmp_path / "a.dcm",
        STORED.astype(np.int16) - 100,
        RescaleSlope=2,
        RescaleIntercept=-1000,
        WindowCenter=1,
        WindowWidth=2,
    )
    np.testing.assert_array_equal(io.read(path)[0].pixels, (STORED.astype(float) - 100) * 2 - 1000)


def test_monochrome1_is_inverted(tmp_path):
    path = write(tmp_path / "a.dcm", PhotometricInterpretation="MONOCHROME1", RescaleSlope=2, RescaleIntercept=5)
    np.testing.assert_array_equal(io.read(path)[0].pixels, (65535.0 - STORED) * 2 + 5)


def test_padding_is_as_dark_as_the_darkest_pixel(tmp_path):
    padded = STORED.astype(np.int16)
    padded[0, :3] = -2000
    expected = padded.copy()
    expected[0, :3] = padded[padded >= 0].min()
    path = write(tmp_path / "a.dcm", padded, PixelPaddingValue=-2000)
    np.testing.assert_array_equal(io.read(path)[0].pixels, expected)
    padded[0, 1] = -1500  # a range
    path = write(tmp_path / "b.dcm", padded, PixelPaddingValue=-2000, PixelPaddingRangeLimit=-1400)
    np.testing.assert_array_equal(io.read(path)[0].pixels, expected)
    path = write(tmp_path / "c.dcm", padded, PixelPaddingValue=-3000)  # of a value that is not there
    np.testing.assert_array_equal(io.read(path)[0].pixels, padded)
    (found,) = io.read(
        write(tmp_path / "d.dcm", padded, PixelPaddingValue=-2000, PixelPaddingRangeLimit=-1400,
              PhotometricInterpretation="MONOCHROME1")
    )  # fmt: skip
    assert (found.pixels[0, :3] == found.pixels.min()).all()


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"WindowCenter": 200, "WindowWidth": 101}, (149.5, 249.5)),  # LINEAR, PS3.3 C.11.2.1.2.1
        ({"WindowCenter": [200, 7], "WindowWidth": [100, 9], "VOILUTFunction": "LINEAR_EXACT"}, (150.0, 250.0)),
        ({"WindowCenter": 200, "WindowWidth": 0}, None),
        ({"WindowCenter": 0.5, "WindowWidth": 0.8}, None),
        ({"WindowCenter": 0.5, "WindowWidth": 0.8, "VOILUTFunction": "LINEAR_EXACT"}, (0.1, 0.9)),
        ({"WindowCenter": 200}, None),
        ({}, None),
    ],
)
def test_the_window_of_the_header_is_kept_for_the_eyes(tmp_path, fields, expected):
    found = io.read(write(tmp_path / "a.dcm", **fields))[0].window
    assert found == (None if expected is None else pytest.approx(expected))


def test_frames_with_a_modality_table(tmp_path):
    """One scale for all frames, and as many windows as there are frames."""
    table = pydicom.Dataset()
    table.LUTDescriptor, table.ModalityLUTType = [480, 0, 16], "US"
    table.add_new(0x00283006, "US", [2 * value for value in range(480)])
    stack = np.stack([STORED, STORED])
    path = write(
        tmp_path / "a.dcm", stack, NumberOfFrames=2, ModalityLUTSequence=[table], WindowCenter=50, WindowWidth=9
    )
    for found in io.read(path):
        np.testing.assert_array_equal(found.pixels, 2 * STORED)
        assert found.window == (45.5, 53.5)


def test_the_window_follows_the_inversion(tmp_path):
    fields = {"RescaleSlope": 2, "RescaleIntercept": 5, "WindowCenter": 200, "WindowWidth": 100}
    fields |= {"VOILUTFunction": "LINEAR_EXACT"}
    plain = io.read(write(tmp_path / "a.dcm", **fields))[0]
    turned = io.read(write(tmp_path / "b.dcm", PhotometricInterpretation="MONOCHROME1", **fields))[0]
    grey = [np.clip((one.pixels - one.window[0]) / (one.window[1] - one.window[0]), 0, 1) for one in (plain, turned)]
    np.testing.assert_allclose(grey[0], 1 - grey[1], atol=1e-6)


@pytest.mark.parametrize(
    ("fields", "weighting", "contrast"),
    [
        ({"SeriesDescription": "AX T1 SE +C"}, "T1", True),
        ({"SeriesDescription": "t2_tirm_tra_dark-fluid"}, "FLAIR", None),
        ({"SeriesDescription": "Ax T2* GRE"}, "SWI", None),
        ({"ProtocolName": "MPRAGE", "ContrastBolusAgent": "Gadovist"}, "T1", True),
        ({"ContrastBolusAgent": "NONE"}, None, False),
        ({"ScanningSequence": "SE", "EchoTime": 100, "RepetitionTime": 4000}, "T2", None),
        (
            {"ScanningSequence": ["SE", "IR"], "EchoTime": 100, "RepetitionTime": 9000, "InversionTime": 2500},
            "FLAIR", None,
        ),
        ({"ScanningSequence": "SE", "EchoTime": 12, "RepetitionTime": 500}, "T1", None),
        ({"ScanningSequence": "SE", "EchoTime": 12, "RepetitionTime": 3000}, "PD", None),
        ({"ScanningSequence": "GR", "EchoTime": 3, "RepetitionTime": 8}, None, None),
        ({"SeriesDescription": "STUDY 7"}, None, None),
    ],
)  # fmt: skip
def test_what_the_header_says_of_the_scan(tmp_path, fields, weighting, contrast):
    (found,) = io.read(write(tmp_path / "a.dcm", **fields))
    assert (found.weighting, found.contrast) == (weighting, contrast)


def test_burnt_in_text_makes_an_answer_uncertain(tmp_path):
    """What the network may have read from the picture cannot be accepted."""
    import cv2

    import tumorlens
    from tumorlens.inference.result import BURNT_IN

    head = cv2.imread(f"{tumorlens.__path__[0]}/web/static/examples/glioma.png", cv2.IMREAD_GRAYSCALE)
    model = tumorlens.load()
    plain = model.predict(write(tmp_path / "a.dcm", head, BurnedInAnnotation="NO"))
    marked = model.predict(write(tmp_path / "b.dcm", head, BurnedInAnnotation="YES"))
    assert plain.predicted == marked.predicted == "glioma"
    assert plain.verdict == "accepted"
    assert marked.verdict == "uncertain"
    assert marked.reason == BURNT_IN
    frames = write(tmp_path / "c.dcm", np.stack([head] * 3), NumberOfFrames=3, BurnedInAnnotation="YES")
    series = model.predict(frames)[-1]
    assert series.predicted == "glioma"
    assert series.verdict == "uncertain"
    assert "burnt into" in series.reason


def test_colour_is_luminance(tmp_path):
    rgb = np.zeros((4, 5, 3), np.uint8)
    rgb[:] = (200, 100, 40)
    path = write(tmp_path / "a.dcm", rgb, SamplesPerPixel=3, PhotometricInterpretation="RGB", PlanarConfiguration=0)
    np.testing.assert_allclose(io.read(path)[0].pixels, 200 * 0.299 + 100 * 0.587 + 40 * 0.114, atol=0.6)


def test_frames(tmp_path):
    stack = np.stack([STORED, STORED + 1, STORED + 2])
    path = write(tmp_path / "a.dcm", stack, NumberOfFrames=3)
    assert io.frame_count(path) == 3
    np.testing.assert_array_equal([item.pixels for item in io.read(path)], stack)
    np.testing.assert_array_equal(io.read_slice(path, 2).pixels, stack[2])
    assert code_of(path, lambda name: io.read_slice(name, 3)) == "not_found"


@pytest.mark.parametrize(
    ("cosines", "plane"),
    [
        ([1, 0, 0, 0, 1, 0], "axial"),
        ([1, 0, 0, 0, 0, -1], "coronal"),
        ([0, 1, 0, 0, 0, -1], "sagittal"),
        ([0.7071, 0.7071, 0, 0, 0, -1], "oblique"),
        ([0.95, 0.31, 0, -0.31, 0.95, 0], "axial"),
        ([0, 0, 0, 0, 0, 0], None),
        (None, None),
    ],
)
def test_plane(tmp_path, cosines, plane):
    assert io.read(write(tmp_path / "a.dcm", ImageOrientationPatient=cosines))[0].plane == plane


def test_without_preamble_only_by_its_name(tmp_path):
    path = write(tmp_path / "a.dcm", preamble=False)
    np.testing.assert_array_equal(io.read(path)[0].pixels, STORED)
    data = (tmp_path / "a.dcm").read_bytes()
    (tmp_path / "a.bin").write_bytes(data)
    assert code_of(str(tmp_path / "a.bin")) == "not_an_image"
    (tmp_path / "b.dcm").write_text("a letter to the editor " * 20)
    assert code_of(str(tmp_path / "b.dcm")) == "not_an_image"


def test_no_extension_is_needed(tmp_path):
    np.testing.assert_array_equal(io.read(write(tmp_path / "IM0001"))[0].pixels, STORED)


def test_no_image_inside(tmp_path):
    path = write(tmp_path / "a.dcm", Rows=None, Columns=None, PixelData=None, Modality="SR")
    with pytest.raises(InputError) as error:
        io.read(path)
    assert error.value.code == "not_an_image"
    assert "SR" in error.value.message
    assert code_of(path, io.frame_count) == "not_an_image"


def test_huge_header_is_refused_at_once(tmp_path):
    path = write(tmp_path / "a.dcm", Rows=65535, Columns=65535)
    assert code_of(path) == code_of(path, io.frame_count) == "too_large"
    path = write(tmp_path / "b.dcm", NumberOfFrames=2_000_000_000)
    assert code_of(path) == code_of(path, io.frame_count) == "too_large"


def test_cut_off(tmp_path):
    path = tmp_path / "a.dcm"
    write(path)
    path.write_bytes(path.read_bytes()[:-20])
    assert code_of(str(path)) == "truncated"


def test_a_deflate_bomb_is_refused(tmp_path):
    path = write(tmp_path / "a.dcm", np.zeros((2000, 2000), np.uint16), syntax="1.2.840.10008.1.2.1.99")
    assert io.read(path)[0].pixels.shape == (2000, 2000)
    with pytest.raises(InputError) as error:
        io.read(path, limits=io.Limits(file_bytes=1_000_000))
    assert error.value.code == "too_large"


REAL = {
    "mr/MR-SIEMENS-DICOM-WithOverlays.dcm": (None, (484, 484), "MR", "axial"),
    "mr/MR2_J2KR.dcm": (None, (1024, 1024), "MR", "sagittal"),
    "mr/MR2_UNCR.dcm": (None, (1024, 1024), "MR", "sagittal"),
    "mr/emri_small.dcm": (10, (64, 64), "MR", None),
    "mr/emri_small_RLE.dcm": (10, (64, 64), "MR", None),
    "mr/emri_small_big_endian.dcm": (10, (64, 64), "MR", None),
    "mr/emri_small_jpeg_2k_lossless.dcm": (10, (64, 64), "MR", None),
    "mr/emri_small_jpeg_2k_lossless_too_short.dcm": "truncated",
    "mr/emri_small_jpeg_ls_lossless.dcm": (10, (64, 64), "MR", None),
    "not_brain_mr/JPEG-LL.dcm": (None, (1024, 256), "NM", None),
    "not_brain_mr/RG1_J2KI.dcm": (None, (1955, 1841), "CR", None),
    "not_brain_mr/SC_rgb.dcm": (None, (100, 100), "OT", None),
    "not_brain_mr/US1_J2KR.dcm": (None, (480, 640), "US", None),
    "not_brain_mr/bad_sequence.dcm": (None, (512, 512), "CT", "axial"),
    "not_brain_mr/explicit_VR-UN.dcm": (None, (512, 512), "CT", "axial"),
    "not_brain_mr/liver.dcm": (3, (512, 512), "SEG", "axial"),
    "not_brain_mr/liver_deflate.dcm": "unsupported",
    "not_brain_mr/parametric_map_float.dcm": (None, (128, 128), "OT", "axial"),
    "not_brain_mr/vlut_04.dcm": (None, (512, 512), "OT", None),
}


@pytest.mark.shared
@pytest.mark.parametrize("name", sorted(REAL))
def test_real_file(shared_data, name, capfd, recwarn):
    path, expected = str(shared_data / "dicom" / name), REAL[name]
    if isinstance(expected, str):
        assert code_of(path) == expected
    else:
        frames, shape, modality, plane = expected
        assert io.frame_count(path) == frames
        found = io.read(path)
        assert len(found) == (frames or 1)
        assert {(item.pixels.shape, item.modality, item.plane) for item in found} == {(shape, modality, plane)}
        assert all(np.isfinite(item.pixels).all() and np.ptp(item.pixels) > 0 for item in found)
    assert capfd.readouterr() == ("", "")
    assert not recwarn.list


@pytest.mark.shared
def test_no_real_file_is_forgotten_and_the_series_reads(shared_data):
    folder = shared_data / "dicom"
    there = {str(path.relative_to(folder)) for path in folder.rglob("*.dcm")}
    series = {name for name in there if name.startswith("t1w_head")}
    assert there - series == set(REAL)
    for name in series:
        (found,) = io.read(str(folder / name))
        assert (found.pixels.shape, found.modality, found.plane) == ((384, 274), "MR", "axial")


@pytest.mark.shared
@pytest.mark.parametrize("coded", ["RLE", "big_endian", "jpeg_2k_lossless", "jpeg_ls_lossless"])
def test_lossless_codings_of_one_image_agree(shared_data, coded):
    folder = shared_data / "dicom" / "mr"
    for plain, other in zip(
        io.read(str(folder / "emri_small.dcm")), io.read(str(folder / f"emri_small_{coded}.dcm")), strict=True
    ):
        np.testing.assert_array_equal(plain.pixels, other.pixels)


def test_unsupported_names_the_transfer_syntax(tmp_path):
    video = pydicom.encaps.encapsulate([b"\0\0"])
    path = write(tmp_path / "a.dcm", PixelData=video, syntax="1.2.840.10008.1.2.4.100")
    with pytest.raises(InputError, match="MPEG2") as error:
        io.read(path)
    assert error.value.code == "unsupported"
