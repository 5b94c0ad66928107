"""``mask:LABEL=PATH``, scans, ``.mat`` folders."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from PIL import Image

from tumorlens import data, io
from tumorlens.errors import DataError

SCAN = np.random.default_rng(0).integers(0, 255, (30, 30), np.uint8)


def save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def mask_of(count):
    mask = np.zeros(900, np.uint8)
    mask[:count] = 255
    return mask.reshape(30, 30)


@pytest.mark.parametrize("layout", ["suffix", "folders"])
def test_mask_decides_the_label(tmp_path, layout):
    for number, count in enumerate([0, 50, 199, 200, 900]):
        folder = tmp_path / "set"
        if layout == "suffix":
            save(folder / f"TCGA_{number}/s_{number}.png", SCAN)
            save(folder / f"TCGA_{number}/s_{number}_mask.png", mask_of(count))
        else:
            save(folder / f"images/s_{number}.png", SCAN)
            save(folder / f"masks/s_{number}.png", mask_of(count))
    save(tmp_path / ("set/TCGA_9/alone.png" if layout == "suffix" else "set/images/alone.png"), SCAN)
    found = data.read(f"mask:glioma={tmp_path / 'set'}")
    assert [(row.label, bool(row.mask)) for row in found] == [("no_tumor", False), ("glioma", True), ("glioma", True)]
    assert Counter(item.code for item in found.skipped) == {"small_mask": 2, "no_mask": 1}
    if layout == "suffix":
        assert [row.patient for row in found] == ["TCGA_0", "TCGA_3", "TCGA_4"]
    assert any("2 with fewer than 200" in note for note in found.notes)
    assert data.read(f"mask:x={tmp_path / 'set'}", min_mask_pixels=50).count() == {"no_tumor": 1, "x": 4}


def test_blank_and_misfit(tmp_path):
    save(tmp_path / "set/a.png", np.zeros((30, 30), np.uint8))
    save(tmp_path / "set/a_mask.png", mask_of(0))
    save(tmp_path / "set/b.png", SCAN[:10])
    save(tmp_path / "set/b_mask.png", mask_of(300))
    save(tmp_path / "set/c.png", SCAN)
    save(tmp_path / "set/c_mask.png", mask_of(300))
    found = data.read(f"mask:glioma={tmp_path / 'set'}")
    assert found.count() == {"glioma": 1}
    assert sorted(item.code for item in found.skipped) == ["blank", "corrupt"]


def test_no_masks_at_all(tmp_path):
    save(tmp_path / "set/a.png", SCAN)
    with pytest.raises(DataError) as error:
        data.read(f"mask:glioma={tmp_path / 'set'}")
    assert error.value.code == "no_mask"


def test_nifti_tree(tmp_path):
    nibabel = pytest.importorskip("nibabel")
    volume = np.random.default_rng(0).integers(1, 99, (30, 30, 4)).astype(np.int16)
    volume[:, :, 3] = 0
    mask = np.zeros((30, 30, 4), np.uint8)
    mask[:20, :20, 1] = 1
    mask[:5, :5, 2] = 1
    for patient in ("p1", "p2"):
        (tmp_path / "set" / patient).mkdir(parents=True)
        for name, array in (("Pre_Scan_T1", volume), ("Pre_Mask", mask), ("Post_Scan_T1", volume), ("Post_Mask", mask)):
            nibabel.save(nibabel.Nifti1Image(array, np.eye(4)), tmp_path / "set" / patient / f"{name}.nii.gz")
    found = data.read(f"mask:glioma={tmp_path / 'set'}")
    assert found.count() == {"glioma": 4, "no_tumor": 4}
    assert Counter(item.code for item in found.skipped) == {"small_mask": 4, "blank": 4}
    assert {row.patient for row in found} == {"p1", "p2"}
    for row in found:
        if row.mask:
            assert row.mask == row.path.replace("Scan_T1", "Mask")
            assert row.frame == 1
    plain = data.read(tmp_path / "set")
    assert len(plain) == 16
    assert plain.count() == {"": 16}
    assert all(row.mask for row in plain)
    labelled = data.read(f"glioma={tmp_path / 'set'}")
    assert labelled.count() == {"glioma": 16}
    assert len(set(labelled.groups)) == 2


def test_brats_names(tmp_path):
    nibabel = pytest.importorskip("nibabel")
    folder = tmp_path / "glioma/BraTS_001"
    folder.mkdir(parents=True)
    for name in ("flair", "t1ce", "seg"):
        image = nibabel.Nifti1Image(np.ones((9, 9, 2), np.uint8), np.eye(4))
        nibabel.save(image, folder / f"BraTS_001_{name}.nii")
    found = data.read(tmp_path)
    assert len(found) == 4
    assert all(row.mask.endswith("BraTS_001_seg.nii") for row in found)
    assert {(row.label, row.patient) for row in found} == {("glioma", "BraTS_001")}


def test_frames_of_one_volume_are_one_group(tmp_path):
    nibabel = pytest.importorskip("nibabel")
    (tmp_path / "set/glioma").mkdir(parents=True)
    for name in ("a", "b"):
        image = nibabel.Nifti1Image(np.ones((9, 9, 3), np.uint8), np.eye(4))
        nibabel.save(image, tmp_path / f"set/glioma/{name}.nii.gz")
    found = data.read(tmp_path / "set")
    assert len(found) == 6
    assert len(set(found.groups)) == 2


def test_mat_folder(tmp_path):
    h5py = pytest.importorskip("h5py")
    for number, (label, patient) in enumerate([(1, "100360"), (2, "MR1A"), (3, "112649")], 1):
        with h5py.File(tmp_path / f"{number}.mat", "w") as file:
            group = file.create_group("cjdata")
            group["label"] = [[float(label)]]
            group["PID"] = np.array([[ord(letter)] for letter in patient], np.uint16)
            group["image"] = SCAN.astype(np.int16).T
            group["tumorMask"] = (mask_of(300 if number < 3 else 100) > 0).astype(np.uint8).T
    (tmp_path / "cvind.mat").write_bytes(b"MATLAB 5.0 MAT-file".ljust(600))
    found = data.read(tmp_path)
    assert [(row.label, row.patient, row.frame) for row in found] == [
        ("meningioma", "100360", None),
        ("glioma", "MR1A", None),
        ("pituitary", "112649", None),
    ]
    assert [item.path.rsplit("/", 1)[1] for item in found.skipped] == ["cvind.mat"]
    assert np.count_nonzero(io.read_mask(found.rows[0].mask, found.rows[0].frame)) == 300
    masked = data.read(f"mask:tumor={tmp_path}")
    assert masked.count() == {"tumor": 2}


def test_phantom(monkeypatch, tmp_path):
    monkeypatch.setenv("TUMORLENS_CACHE", str(tmp_path))
    found = data.read("phantom:12")
    assert len(found) == 12
    assert {row.source for row in found} == {"phantom"}
    assert found.provenance["phantom"]["count"] == 12
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.png")}
    assert data.read("phantom:12").rows == found.rows
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.png")} == before


@pytest.mark.shared
def test_brain_tumor_progression(shared_data):
    found = data.read(f"mask:glioma={shared_data / 'brain_tumor_progression'}")
    counts = Counter(item.code for item in found.skipped)
    assert len(found) + counts["blank"] + counts["small_mask"] == 12 * 24
    assert found.count() == {"glioma": 67, "no_tumor": 147}
    assert (counts["blank"], counts["small_mask"]) == (48, 26)
    assert {row.patient for row in found} == {"01", "02", "03", "04", "05", "06"}


@pytest.mark.shared
def test_dicom_tree(shared_data):
    found = data.read(shared_data / "dicom/t1w_head")
    assert len(found) == 24
    assert {row.patient for row in found} == {"02"}
    mixed = data.read(shared_data / "dicom")
    assert Counter(item.code for item in mixed.skipped) == {"unsupported": 1, "not_mr": 9, "not_head": 1}
    assert len([row for row in mixed if row.path.endswith("emri_small.dcm")]) == 10
