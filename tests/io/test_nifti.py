"""NIfTI: the view, the axis, the limits."""

from __future__ import annotations

import gzip

import numpy as np
import pytest

from tumorlens import io
from tumorlens.errors import InputError

nibabel = pytest.importorskip("nibabel")

# In RAS: x → right, y → anterior, z → superior. Values say where a voxel is.
X, Y, Z = np.meshgrid(np.arange(5), np.arange(6), np.arange(7), indexing="ij")
RAS = (X + 10 * Y + 100 * Z).astype(np.int16)


def write(path, volume, affine=None, kind=None):
    image = (kind or nibabel.Nifti1Image)(volume, np.eye(4) if affine is None else affine)
    nibabel.save(image, path)
    return str(path)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_axial_view_is_radiological(tmp_path, suffix):
    path = write(tmp_path / f"a{suffix}", RAS)
    assert io.frame_count(path) == 7
    found = io.read(path)
    assert {item.plane for item in found} == {"axial"}
    first = found[0].pixels
    assert first.shape == (6, 5)
    assert first.dtype == np.float32
    # top left: anterior, patient's right
    assert first[0, 0] == 10 * 5 + 4
    assert first[-1, -1] == 0
    assert found[3].pixels[0, 0] == 300 + 54


@pytest.mark.parametrize(("axis", "plane", "count"), [(0, "sagittal", 5), (1, "coronal", 6), (2, "axial", 7)])
def test_the_thick_axis_is_cut(tmp_path, axis, plane, count):
    zooms = np.ones(3)
    zooms[axis] = 5
    path = write(tmp_path / "a.nii", RAS, np.diag([*zooms, 1]))
    found = io.read(path)
    assert (len(found), found[0].plane, found[0].spacing) == (count, plane, (1.0, 1.0))
    top_left = found[0].pixels[0, 0]
    assert top_left == {"sagittal": 50 + 600, "coronal": 4 + 600, "axial": 4 + 50}[plane]


@pytest.mark.parametrize("codes", ["LPS", "RAS", "PIR", "SAL", "ILA"])
def test_every_storage_order_looks_the_same(tmp_path, codes):
    image = nibabel.Nifti1Image(RAS, np.diag([1, 1, 4, 1]))
    wanted = nibabel.orientations.axcodes2ornt(codes)
    turned = image.as_reoriented(nibabel.orientations.ornt_transform(nibabel.io_orientation(image.affine), wanted))
    plain, other = write(tmp_path / "a.nii", RAS, image.affine), str(tmp_path / "b.nii")
    nibabel.save(turned, other)
    for one, two in zip(io.read(plain), io.read(other), strict=True):
        np.testing.assert_array_equal(one.pixels, two.pixels)
        assert (one.plane, one.spacing) == (two.plane, two.spacing)


def test_scaling_four_dimensions_and_nifti2(tmp_path):
    image = nibabel.Nifti1Image(RAS, np.eye(4))
    image.header.set_slope_inter(0.5, 3)
    nibabel.save(image, tmp_path / "a.nii")
    plain = io.read(write(tmp_path / "b.nii", RAS))
    scaled = io.read(str(tmp_path / "a.nii"))
    expected = np.asarray(nibabel.load(tmp_path / "a.nii").dataobj)
    assert scaled[2].pixels.max() == expected[:, :, 2].max()
    series = io.read(write(tmp_path / "c.nii", np.stack([RAS, RAS * 2], axis=3)))
    second = io.read(write(tmp_path / "d.nii", RAS, kind=nibabel.Nifti2Image))
    assert len(series) == len(second) == 7
    np.testing.assert_array_equal(series[4].pixels, plain[4].pixels)
    np.testing.assert_array_equal(second[4].pixels, plain[4].pixels)


def test_not_a_number_becomes_zero(tmp_path):
    volume = np.ones((4, 4, 2), np.float64)
    volume[0, 0, 0] = np.nan
    assert io.read(write(tmp_path / "a.nii", volume))[0].pixels.min() == 0


def test_a_mask_has_the_geometry_of_its_scan(tmp_path):
    affine = np.diag([-1, -1, 3, 1])
    scan = write(tmp_path / "scan.nii.gz", RAS, affine)
    mask = write(tmp_path / "mask.nii.gz", (RAS > 355).astype(np.uint8), affine)
    for frame in range(io.frame_count(scan)):
        np.testing.assert_array_equal(io.read_mask(mask, frame), io.read_slice(scan, frame).pixels > 355)


def code_of(path, call=io.read):
    with pytest.raises(InputError) as error:
        call(str(path))
    return error.value.code


def test_truncated(tmp_path):
    for suffix in (".nii", ".nii.gz"):
        path = tmp_path / f"a{suffix}"
        write(path, np.random.default_rng(0).integers(0, 999, (20, 20, 9)).astype(np.int16))
        path.write_bytes(path.read_bytes()[:-500])
        assert code_of(path) == "truncated"
        path.write_bytes(path.read_bytes()[:100])
        assert code_of(path) in ("truncated", "corrupt", "not_an_image")


def header(shape, datatype=4, bits=16):
    head = nibabel.Nifti1Header()
    head.set_data_shape(shape)
    head["datatype"], head["bitpix"], head["vox_offset"] = datatype, bits, 352
    return head.binaryblock + b"\0" * 4


def test_a_bomb_is_refused_from_its_header(tmp_path):
    path = tmp_path / "a.nii.gz"
    path.write_bytes(gzip.compress(header((30000, 30000, 200)) + b"\0" * 1000))
    assert code_of(path) == code_of(path, io.frame_count) == "too_large"


def test_wide_voxels_are_limited_by_their_bytes(tmp_path):
    path = tmp_path / "a.nii.gz"
    path.write_bytes(gzip.compress(header((800, 800, 800), datatype=64, bits=64) + b"\0" * 1000))
    assert code_of(path) == code_of(path, io.frame_count) == "too_large"
    small = tmp_path / "b.nii.gz"
    small.write_bytes(gzip.compress(header((8, 8, 8), datatype=64, bits=64) + b"\0" * 4096))
    assert len(io.read(str(small), limits=io.Limits(file_bytes=4096))) == 8
    with pytest.raises(InputError) as error:
        io.read(str(small), limits=io.Limits(file_bytes=4095))
    assert error.value.code == "too_large"


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_a_volume_is_held_once_while_it_is_read(tmp_path, suffix):
    import tracemalloc

    volume = np.zeros((256, 256, 320), np.int16)
    volume[3, 4, 5] = 7
    path = write(tmp_path / f"a{suffix}", volume)
    io.read_slice(path, 0)  # what is imported and kept for good
    path = write(tmp_path / f"b{suffix}", volume)
    tracemalloc.start()
    assert io.read_slice(path, 5).pixels[-5, -4] == 7
    assert tracemalloc.get_traced_memory()[1] < 1.8 * volume.nbytes
    tracemalloc.stop()


def test_what_lies_behind_the_volume_is_never_unpacked(tmp_path):
    path = tmp_path / "a.nii.gz"
    with gzip.open(path, "wb") as file:
        file.write(header((4, 4, 2)) + b"\1" * 64)
        for _ in range(64):
            file.write(b"\0" * (1 << 20))
    import tracemalloc

    tracemalloc.start()
    assert len(io.read(str(path))) == 2
    assert tracemalloc.get_traced_memory()[1] < 8 << 20
    tracemalloc.stop()


@pytest.mark.parametrize("shape", [(0, 4, 4), (-3, 4, 4), (4,)])
def test_senseless_shapes(tmp_path, shape):
    head = bytearray(header((4, 4, 4)))
    head[40:48] = np.array([len(shape), *shape, 1, 1, 1][:4], "<i2").tobytes()
    (tmp_path / "a.nii").write_bytes(bytes(head) + b"\0" * 500)
    assert code_of(tmp_path / "a.nii") == "corrupt"


def test_complex_values_are_unsupported(tmp_path):
    assert code_of(write(tmp_path / "a.nii", RAS.astype(np.complex64))) == "unsupported"


def test_frame_by_frame_decodes_once(tmp_path, monkeypatch):
    from tumorlens.io import nifti, volumes

    volumes.forget()
    path = write(tmp_path / "a.nii.gz", RAS)
    calls = []
    real = nifti.frames
    monkeypatch.setattr(nifti, "frames", lambda *args: calls.append(1) or real(*args))
    for frame in range(7):
        io.read_slice(path, frame)
    assert len(calls) == 1


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "frames", "shape"), [("MR_Gd.nii.gz", 144, (188, 176)), ("spm152.nii.gz", 215, (256, 207))]
)
def test_real_volume(shared_data, name, frames, shape, capfd):
    path = str(shared_data / "nifti" / name)
    assert io.frame_count(path) == frames
    found = io.read_slice(path, frames // 2)
    assert (found.pixels.shape, found.plane) == (shape, "axial")
    assert capfd.readouterr() == ("", "")


@pytest.mark.shared
def test_real_head_stands_upright(shared_data):
    """In an axial slice of the template the head is longer than wide and left-right symmetric."""
    pixels = io.read_slice(str(shared_data / "nifti/spm152.nii.gz"), 100).pixels
    rows, columns = np.nonzero(pixels > pixels.mean())
    assert np.ptp(rows) > np.ptp(columns)
    assert np.corrcoef(pixels.ravel(), pixels[:, ::-1].ravel())[0, 1] > 0.9
