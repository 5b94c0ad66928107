"""MATLAB v7.3 files as the Figshare set has them."""

from __future__ import annotations

import numpy as np
import pytest

from tumorlens import io
from tumorlens.errors import InputError

h5py = pytest.importorskip("h5py")

IMAGE = (np.arange(20 * 30).reshape(20, 30) * 3).astype(np.int16)
MASK = np.zeros((20, 30), np.uint8)
MASK[4:9, 10:25] = 1


def write_mat(path, label=2, patient="MR012345A", image=IMAGE, mask=MASK):
    """As MATLAB writes it: HDF5 behind a 512-byte text block, arrays transposed, text as UTF-16 codes."""
    with h5py.File(path, "w", userblock_size=512) as file:
        data = file.create_group("cjdata")
        data["label"] = np.array([[float(label)]])
        data["PID"] = np.array([[ord(letter)] for letter in patient], np.uint16)
        data["image"] = image.T
        data["tumorBorder"] = np.zeros((1, 40))
        data["tumorMask"] = mask.T
    with open(path, "r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file, Platform: PCWIN64, HDF5 schema 1.00 .".ljust(124) + b"\0\2IM")
    return str(path)


def code_of(path, call=io.read):
    with pytest.raises(InputError) as error:
        call(str(path))
    return error.value.code


@pytest.mark.parametrize(("label", "name"), [(1, "meningioma"), (2, "glioma"), (3, "pituitary"), (9, "")])
def test_image_label_patient_and_mask(tmp_path, label, name):
    path = write_mat(tmp_path / "1.mat", label)
    (found,) = io.read(path)
    np.testing.assert_array_equal(found.pixels, IMAGE)
    assert found.patient == "MR012345A"
    header = io.inspect(path)
    assert (header.frames, header.label, header.patient, header.mask) == (None, name, "MR012345A", f"{path}!tumorMask")
    np.testing.assert_array_equal(io.read_mask(header.mask), MASK > 0)
    np.testing.assert_array_equal(io.read_mask(header.mask, 0), MASK > 0)
    assert io.read_bytes((tmp_path / "1.mat").read_bytes())[0].pixels.shape == (20, 30)
    assert io.digest(path) != io.digest(header.mask)


def test_without_the_512_byte_block(tmp_path):
    with h5py.File(tmp_path / "1.mat", "w") as file:
        file["cjdata/image"] = IMAGE.T
    np.testing.assert_array_equal(io.read(str(tmp_path / "1.mat"))[0].pixels, IMAGE)


def test_other_hdf5_files_say_what_they_hold(tmp_path):
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file["weights"] = np.zeros(3)
    with pytest.raises(InputError, match="weights") as error:
        io.read(str(tmp_path / "w.h5"))
    assert error.value.code == "unsupported"
    (tmp_path / "old.mat").write_bytes(b"MATLAB 5.0 MAT-file, Platform: x".ljust(600))
    assert code_of(tmp_path / "old.mat") == "not_an_image"


def test_a_link_to_another_file_is_not_followed(tmp_path):
    secret = write_mat(tmp_path / "secret.mat")
    with h5py.File(tmp_path / "a.mat", "w") as file:
        file.create_group("cjdata")["image"] = h5py.ExternalLink(secret, "/cjdata/image")
    assert code_of(tmp_path / "a.mat") == "not_found"
    with h5py.File(tmp_path / "b.mat", "w") as file:
        file.create_dataset("cjdata/image", (4, 4), "u1", external=[(secret, 0, 16)])
    assert code_of(tmp_path / "b.mat") == "unsupported"


def test_a_huge_claim_is_refused(tmp_path):
    with h5py.File(tmp_path / "a.mat", "w") as file:
        file.create_dataset("cjdata/image", (100_000, 100_000), "i2", chunks=(100, 100))
    assert code_of(tmp_path / "a.mat") == code_of(tmp_path / "a.mat", io.frame_count) == "too_large"


def test_cut_off(tmp_path):
    path = tmp_path / "a.mat"
    write_mat(path)
    path.write_bytes(path.read_bytes()[:1500])
    assert code_of(path) == "corrupt"
    write_mat(tmp_path / "b.mat")
    assert code_of(f"{tmp_path / 'b.mat'}!nothing") == "not_found"
