"""Folder layouts, in folders and in zip archives."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from tumorlens import data, io
from tumorlens.errors import DataError

# files → (label, split) per file in order
LAYOUTS = {
    "classes": (
        ["glioma/1.png", "no_tumor/1.png"],
        [("glioma", ""), ("no_tumor", "")],
    ),
    "aliases": (
        ["glioma_tumor/1.png", "Meningioma/1.png", "notumor/1.png", "pituitary_tumor/1.png"],
        [("glioma", ""), ("meningioma", ""), ("no_tumor", ""), ("pituitary", "")],
    ),
    "kaggle 4 classes": (
        ["Testing/glioma/1.jpg", "Testing/notumor/1.jpg", "Training/glioma/1.jpg", "Training/notumor/1.jpg"],
        [("glioma", "test"), ("no_tumor", "test"), ("glioma", "train"), ("no_tumor", "train")],
    ),
    "splits in any case": (
        ["TEST/a/1.png", "Train/a/1.png", "Train/b/1.png", "valid/b/1.png"],
        [("a", "test"), ("a", "train"), ("b", "train"), ("b", "val")],
    ),
    "validation": (
        ["train/a/1.png", "validation/b/1.png"],
        [("a", "train"), ("b", "val")],
    ),
    "yes and no": (
        ["no/1.jpg", "no/2.jpg", "yes/1.jpg"],
        [("no_tumor", ""), ("no_tumor", ""), ("tumor", "")],
    ),
    "one wrapper": (
        ["brain_tumor_dataset/no/1.jpg", "brain_tumor_dataset/yes/1.jpg"],
        [("no_tumor", ""), ("tumor", "")],
    ),
    "wrappers around splits": (
        ["archive/set v2/Testing/glioma/1.png", "archive/set v2/Training/no/1.png"],
        [("glioma", "test"), ("no_tumor", "train")],
    ),
    "folders inside a class": (
        ["glioma/p1/2.png", "glioma/p2/deep/1.png", "no/x/1.png"],
        [("glioma", ""), ("glioma", ""), ("no_tumor", "")],
    ),
    "splits inside classes": (
        ["a/test/1.png", "a/train/1.png", "b/train/1.png"],
        [("a", "test"), ("a", "train"), ("b", "train")],
    ),
    "own class names": (
        ["Big Cats/1.png", "dogs/1.png"],
        [("Big Cats", ""), ("dogs", "")],
    ),
    "images between": (
        ["train/images/a/1.png", "train/images/b/1.png"],
        [("a", "train"), ("b", "train")],
    ),
    "one class": (["glioma/1.png", "glioma/2.png"], [("glioma", ""), ("glioma", "")]),
    "no classes": (["1.png", "2.png"], [("", ""), ("", "")]),
    "no classes below images": (["images/1.png", "images/2.png"], [("", ""), ("", "")]),
    "extensions in any case": (["a/1.JPG", "a/2.JPEG", "a/3.Png", "b/4.png"], [("a", "")] * 3 + [("b", "")]),
    "natural order": (["a/10.png", "a/2.png", "b/1.png"], [("a", ""), ("a", ""), ("b", "")]),
}


@pytest.mark.parametrize("packed", [False, True], ids=["folder", "zip"])
@pytest.mark.parametrize("name", sorted(LAYOUTS))
def test_layout(tree, zipped, name, packed):
    files, expected = LAYOUTS[name]
    root = tree("set", *files)
    found = data.read(zipped(root) if packed else root)
    assert [(row.label, row.split) for row in found] == expected
    assert not found.skipped
    assert {row.source for row in found} == {"set"}
    for row in found:
        assert row.frame is None
        assert row.id == row.path
        assert io.read(row.path)[0].pixels.shape == (8, 8)


def test_natural_order_and_paths(tree):
    root = tree("set", "a/10.png", "a/2.png", "a/1.png")
    assert [row.path for row in data.read(root)] == [str(root / f"a/{n}.png") for n in (1, 2, 10)]
    assert data.read(str(root) + "/").rows[0].source == "set"


def test_renamed_classes_are_reported(tree):
    notes = data.read(tree("set", "notumor/1.png", "notumor/2.png", "glioma/1.png", "yes/1.png")).notes
    assert notes == ("notumor → no_tumor (2 images)", "yes → tumor (1 image)")


def test_a_wrapper_that_repeats_the_classes_is_left_out(tree):
    root = tree(
        "set", "yes/1.png", "no/1.png", "no/2.png", "brain_tumor_dataset/yes/1.png", "brain_tumor_dataset/no/1.png"
    )
    found = data.read(root)
    assert found.count() == {"no_tumor": 2, "tumor": 1}
    assert any("brain_tumor_dataset/ repeats" in note and "2 files" in note for note in found.notes)


def test_what_is_no_image_is_listed_and_junk_only_counted(tree):
    root = tree("set", "a/1.png", "b/1.png", "2.png")
    (root / "a/notes.txt").write_text("x")
    (root / "a/empty.png").write_bytes(b"")
    (root / "a/strange.xyz").write_bytes(b"not an image at all")
    (root / "inner.zip").write_bytes(b"PK\x05\x06" + b"\0" * 18)
    for junk in ("Thumbs.db", ".DS_Store", "b/desktop.ini"):
        (root / junk).write_text("x")
    (root / "__MACOSX").mkdir()
    (root / "__MACOSX/._1.png").write_text("x")
    found = data.read(root)
    assert found.count() == {"a": 1, "b": 1}
    assert {(item.path.rsplit("/", 1)[1], item.code) for item in found.skipped} == {
        ("notes.txt", "not_an_image"),
        ("empty.png", "empty"),
        ("strange.xyz", "not_an_image"),
        ("inner.zip", "not_an_image"),
        ("2.png", "unlabelled"),
    }
    assert any("4 hidden" in note for note in found.notes)


def test_pictures_are_not_opened(tree):
    root = tree("set", "a/1.png", "b/1.png")
    (root / "a/broken.jpg").write_bytes(b"this is found later")
    assert data.read(root).count() == {"a": 2, "b": 1}


def test_an_image_without_extension_is_recognised(tree):
    root = tree("set", "a/1.png", "b/1.png")
    (root / "a/1.png").rename(root / "a/IM1")
    assert data.read(root).count() == {"a": 1, "b": 1}


def test_link_cycles_end(tree):
    root = tree("set", "a/1.png", "b/1.png")
    (root / "a/loop").symlink_to(root, target_is_directory=True)
    (root / "b/dangling.png").symlink_to(root / "nothing.png")
    found = data.read(root)
    assert found.count() == {"a": 1, "b": 1}
    assert {item.code for item in found.skipped} == {"link", "not_found"}


def test_a_linked_data_set_elsewhere_is_followed(tree):
    root, other = tree("set", "a/1.png"), tree("other", "1.png")
    (root / "b").symlink_to(other, target_is_directory=True)
    assert data.read(root).count() == {"a": 1, "b": 1}


def test_unsafe_members_are_listed_not_extracted(tmp_path, tree):
    root = tree("set", "a/1.png", "b/1.png")
    picture = (root / "a/1.png").read_bytes()
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        for name in ("a/1.png", "b/1.png", "../../evil.png", "/etc/evil.png", "C:\\evil.png", "__MACOSX/a/._1.png"):
            archive.writestr(name, picture)
    before = sorted(tmp_path.rglob("*"))
    found = data.read(tmp_path / "x.zip")
    assert found.count() == {"a": 1, "b": 1}
    assert [item.code for item in found.skipped] == ["unsafe_name"] * 3
    assert sorted(tmp_path.rglob("*")) == before


def test_masks_beside_images_are_no_rows(tree):
    found = data.read(tree("set", "images/a/1.png", "images/b/2.png", "masks/1.png", "masks/2.png"))
    assert [(row.label, row.mask.rsplit("/", 2)[-2:]) for row in found] == [
        ("a", ["masks", "1.png"]),
        ("b", ["masks", "2.png"]),
    ]
    found = data.read(tree("lgg", "p1/p1_1.png", "p1/p1_1_mask.png", "p2/p2_1.png", "p2/p2_1_mask.png"))
    assert [row.path.rsplit("/", 1)[1] for row in found] == ["p1_1.png", "p2_1.png"]
    assert all(row.mask.endswith("_mask.png") for row in found)


def test_labelled_path(tree):
    root = tree("br35h", "1.png", "2.png", "deep/3.png")
    found = data.read(f"notumor={root}")
    assert found.count() == {"no_tumor": 3}
    assert data.read(f"glioma={root / '1.png'}").count() == {"glioma": 1}


def test_a_folder_with_an_equals_sign_is_a_folder(tree):
    root = tree("a=b", "x/1.png", "y/1.png")
    assert data.read(root).count() == {"x": 1, "y": 1}


def test_several_sets_keep_their_names(tree):
    one, two = tree("one/set", "a/1.png"), tree("two/set", "b/1.png")
    found = data.read([one, two, f"c={tree('third', '1.png')}"])
    assert [(row.source, row.label) for row in found] == [("set", "a"), ("set-2", "b"), ("third", "c")]
    with pytest.raises(DataError) as error:
        data.read([one, one])
    assert error.value.code == "duplicate_id"


def test_errors_say_what_to_do(tree, tmp_path):
    root = tree("brains", "a/1.png")
    with pytest.raises(DataError) as error:
        data.read(tmp_path / "brain")
    assert error.value.code == "not_found"
    assert str(root) in error.value.hint
    (tmp_path / "nothing").mkdir()
    (tmp_path / "text").mkdir()
    (tmp_path / "text/a.txt").write_text("x")
    for folder in ("nothing", "text"):
        with pytest.raises(DataError) as error:
            data.read(tmp_path / folder)
        assert error.value.code == "empty"
        assert error.value.hint
    (tmp_path / "broken.zip").write_bytes(b"PK\x03\x04 no archive")
    with pytest.raises(DataError) as error:
        data.read(tmp_path / "broken.zip")
    assert error.value.code == "truncated"
    with pytest.raises(DataError):
        data.read([])


def test_progress(tree):
    calls = []
    data.read(tree("set", "a/1.png", "a/2.png"), progress=lambda done, total: calls.append((done, total)))
    assert calls[0] == (0, 2)
    assert calls[-1] == (2, 2)


def test_npz(tmp_path):
    path = tmp_path / "pneumonia.npz"
    images = np.random.default_rng(0).integers(0, 255, (6, 9, 9), np.uint8)
    np.savez(
        path,
        train_images=images[:3], train_labels=np.array([[0], [1], [1]]),
        val_images=images[3:4], val_labels=np.array([[0]]),
        test_images=images[4:], test_labels=np.array([[1], [0]]),
    )  # fmt: skip
    found = data.read(path)
    assert [(row.id, row.frame, row.label, row.split) for row in found] == [
        (f"{path}!train_images#0", 0, "0", "train"),
        (f"{path}!train_images#1", 1, "1", "train"),
        (f"{path}!train_images#2", 2, "1", "train"),
        (f"{path}!val_images#0", 0, "0", "val"),
        (f"{path}!test_images#0", 0, "1", "test"),
        (f"{path}!test_images#1", 1, "0", "test"),
    ]
    np.testing.assert_array_equal(io.read_slice(found.rows[5].path, 1).pixels, images[5])
    np.savez(path, images=images, labels=np.array([0, 1, 0, 1, 0, 1]), class_names=np.array(["no", "yes"]))
    assert data.read(path).count() == {"no_tumor": 3, "tumor": 3}
    np.savez(path, images=images, labels=np.array([0, 1]))
    with pytest.raises(DataError):
        data.read(path)
    np.savez(path, stuff=np.zeros(3))
    with pytest.raises(DataError) as error:
        data.read(path)
    assert "stuff" in error.value.message


@pytest.mark.shared
def test_real_sets(shared_data):
    assert data.read(shared_data / "mixed_web").count() == {
        "glioma": 32, "meningioma": 61, "no_tumor": 171, "pituitary": 15,
    }  # fmt: skip
    assert data.read(f"no_tumor={shared_data / 'br35h_no'}").count() == {"no_tumor": 1500}
    assert data.read(shared_data / "figshare/images").count() == {"glioma": 1426, "meningioma": 708, "pituitary": 930}


def test_sub_folders_of_a_class_are_kept_together(tree):
    files = ["glioma/p1/1.png", "glioma/p1/deep/2.png", "glioma/p2/1.png", "glioma/3.png", "no/only/1.png", "no/2.png"]
    found = data.read(tree("set", *files))
    groups = {"/".join(row.path.rsplit("/set/")[1:]): row.group for row in found}
    assert groups["glioma/p1/1.png"] == groups["glioma/p1/deep/2.png"] != ""
    assert groups["glioma/p2/1.png"] not in ("", groups["glioma/p1/1.png"])
    assert groups["glioma/3.png"] == groups["no/only/1.png"] == groups["no/2.png"] == ""
    assert not any(row.patient for row in found)
    assert any("2 sub-folders" in note for note in found.notes)


def test_sub_folders_of_one_labelled_folder_and_of_splits(tree):
    found = data.read(f"glioma={tree('one', 'p1/1.png', 'p1/2.png', 'p2/1.png')}")
    assert [row.group for row in found] == ["one/p1", "one/p1", "one/p2"]
    found = data.read(tree("two", "train/a/p1/1.png", "train/a/p2/1.png", "test/a/images/1.png", "test/a/2.png"))
    assert sorted(row.group for row in found) == ["", "", "two/train/a/p1", "two/train/a/p2"]


def test_sub_folders_that_name_a_plane_or_a_split_are_no_groups(tree):
    found = data.read(tree("set", "a/axial/1.png", "a/coronal/1.png", "b/train/1.png", "b/test/1.png"))
    assert not any(row.group for row in found)


def test_a_link_to_itself_and_a_very_deep_folder(tree):
    root = tree("set", "a/1.png", "b/1.png")
    (root / "a/loop").symlink_to("loop")
    before = os.getcwd()
    try:
        os.chdir(root / "b")
        for _ in range(1100):
            os.mkdir("d")
            os.chdir("d")
        Path("deep.png").write_bytes((root / "b/1.png").read_bytes())
        os.chdir(before)
        found = data.read(root)
        assert found.count() == {"a": 1, "b": 2}
        assert [item.path.rsplit("/", 1)[1] for item in found.skipped] == ["loop"]
    finally:
        os.chdir(before)
        subprocess.run(["rm", "-rf", str(root)], check=True)  # shutil.rmtree recurses


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not allow such names")
def test_names_that_are_no_utf8_are_listed_escaped(tree):
    root = tree("set", "a/1.png", "b/1.png")
    os.rename(root / "a/1.png", os.fsencode(root) + b"/a/caf\xe9.png")
    (root / "a/2.png").write_bytes((root / "b/1.png").read_bytes())
    found = data.read(root)
    assert found.count() == {"a": 1, "b": 1}
    (skipped,) = found.skipped
    assert skipped.code == "bad_name"
    assert "caf\\xe9.png" in skipped.reason
    (skipped.path + skipped.reason).encode()
    with pytest.raises(DataError) as error:
        os.rename(root, os.fsencode(root) + b"\xe9")
        data.read(os.fsdecode(os.fsencode(root) + b"\xe9"))
    assert error.value.code == "bad_name"


def test_files_of_one_dicom_series_know_it_and_pictures_of_one_array_are_no_series(tmp_path):
    pydicom = pytest.importorskip("pydicom")
    for number, series in enumerate(("1.2.3", "1.2.3", "1.2.4")):
        image = pydicom.Dataset()
        image.SOPClassUID, image.SOPInstanceUID = pydicom.uid.MRImageStorage, pydicom.uid.generate_uid()
        image.Modality, image.PatientID, image.SeriesInstanceUID = "MR", "p", series
        image.Rows = image.Columns = 8
        image.SamplesPerPixel, image.PhotometricInterpretation, image.PixelRepresentation = 1, "MONOCHROME2", 0
        image.BitsAllocated = image.BitsStored = 16
        image.HighBit = 15
        image.PixelData = np.full((8, 8), number, np.uint16).tobytes()
        image.file_meta = pydicom.dataset.FileMetaDataset()
        image.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
        (tmp_path / "set" / "glioma").mkdir(parents=True, exist_ok=True)
        image.save_as(tmp_path / "set" / "glioma" / f"{number}.dcm", enforce_file_format=True)
    first, second, third = (row.series for row in data.read(tmp_path / "set"))
    assert first == second != third
    assert "1.2.3" not in first  # a UID can lead back to a patient
    np.savez(tmp_path / "x.npz", train_images=np.zeros((2, 8, 8), np.uint8), train_labels=np.zeros(2, int))
    assert {row.series for row in data.read(tmp_path / "x.npz")} == {""}
