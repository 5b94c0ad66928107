"""Zip members and npz arrays."""

from __future__ import annotations

import hashlib
import io as memory
import stat
import struct
import zipfile

import numpy as np
import pytest
from PIL import Image

from tumorlens import io
from tumorlens.errors import InputError

GREY = np.arange(64, dtype=np.uint8).reshape(8, 8)


def png(picture=GREY):
    out = memory.BytesIO()
    Image.fromarray(picture).save(out, "PNG")
    return out.getvalue()


def make_zip(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return str(path)


def code_of(path, call=io.read, **options):
    with pytest.raises(InputError) as error:
        call(str(path), **options)
    assert error.value.hint
    return error.value.code


def test_members_are_read_in_place(tmp_path):
    path = make_zip(tmp_path / "set.zip", [("dir/a.png", png()), ("odd ! name.png", png(GREY + 1)), ("e.png", b"")])
    before = sorted(tmp_path.iterdir())
    (found,) = io.read(f"{path}!dir/a.png")
    np.testing.assert_array_equal(found.pixels, GREY)
    assert found.id == f"{path}!dir/a.png"
    np.testing.assert_array_equal(io.read(f"{path}!odd ! name.png")[0].pixels, GREY + 1)
    assert io.frame_count(f"{path}!dir/a.png") is None
    assert io.digest(f"{path}!dir/a.png") == hashlib.sha256(png()).hexdigest()
    assert code_of(f"{path}!dir/b.png") == "not_found"
    assert code_of(f"{path}!dir/") == "not_found"
    assert code_of(f"{path}!e.png") == "empty"
    assert code_of(path) == "not_an_image"
    assert sorted(tmp_path.iterdir()) == before


def test_a_replaced_archive_is_read_anew(tmp_path):
    path = make_zip(tmp_path / "set.zip", [("a.png", png())])
    io.read(f"{path}!a.png")
    make_zip(tmp_path / "set.zip", [("a.png", png(GREY + 9)), ("b.png", png())])
    np.testing.assert_array_equal(io.read(f"{path}!a.png")[0].pixels, GREY + 9)


@pytest.mark.parametrize("name", ["/etc/a.png", "../a.png", "x/../../a.png", "C:/a.png", "C:a.png"])
def test_names_that_point_outside(tmp_path, name):
    path = make_zip(tmp_path / "set.zip", [(name, png()), ("good.png", png())])
    problems = {member.name: member.problem for member in io.members(path)}
    assert problems["good.png"] is None
    assert problems[name].code == "unsafe_name"
    assert code_of(f"{path}!{name}") == "unsafe_name"


def test_backslashes_links_and_repeats(tmp_path):
    path = tmp_path / "set.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("dirXa.png", png())
        link = zipfile.ZipInfo("link.png")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
        archive.writestr("twice.png", png())
        with pytest.warns(UserWarning):
            archive.writestr("twice.png", png(GREY + 1))
    path.write_bytes(path.read_bytes().replace(b"dirXa", b"dir\\a"))
    problems = [(member.name, member.problem and member.problem.code) for member in io.members(str(path))]
    assert problems == [
        ("dir\\a.png", "unsafe_name"), ("link.png", "unsafe_name"), ("twice.png", None), ("twice.png", "unsafe_name"),
    ]  # fmt: skip
    assert code_of(f"{path}!link.png") == "unsafe_name"


def test_encrypted(tmp_path):
    path = tmp_path / "set.zip"
    make_zip(path, [("a.png", png())])
    data = bytearray(path.read_bytes())
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    assert code_of(f"{path}!a.png") == "encrypted"
    assert io.members(str(path))[0].problem.code == "encrypted"


def test_bombs(tmp_path):
    path = make_zip(tmp_path / "set.zip", [("bomb.png", b"\0" * 30_000_000), ("a.png", png())])
    limits = io.Limits(ratio=100)
    assert code_of(f"{path}!bomb.png", limits=limits) == "too_large"
    assert code_of(f"{path}!bomb.png", limits=io.Limits(member_bytes=1000)) == "too_large"
    with pytest.raises(InputError) as error:
        io.members(path, limits=io.Limits(members=1))
    assert error.value.code == "too_large"
    assert io.read(f"{path}!a.png", limits=limits)


def test_a_member_that_lies_about_its_size(tmp_path):
    path = tmp_path / "set.zip"
    make_zip(path, [("bomb.png", b"\0" * 3_000_000)])
    data = bytearray(path.read_bytes())
    for at in (22, data.index(b"PK\x01\x02") + 24):
        data[at : at + 4] = struct.pack("<I", 500)
    path.write_bytes(data)
    assert code_of(f"{path}!bomb.png") in ("corrupt", "not_an_image")


def test_damaged_archives(tmp_path):
    path = tmp_path / "set.zip"
    make_zip(path, [("a.png", png())])
    whole = path.read_bytes()
    path.write_bytes(whole[:-30])
    assert code_of(f"{path}!a.png") == "truncated"
    broken = bytearray(whole)
    broken[60] ^= 0xFF
    path.write_bytes(broken)
    assert code_of(f"{path}!a.png") == "corrupt"


def test_archives_are_read_from_threads(tmp_path):
    from concurrent.futures import ThreadPoolExecutor

    path = make_zip(tmp_path / "set.zip", [(f"{i}.png", png(np.full((8, 8), i, np.uint8))) for i in range(50)])
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda i: io.read(f"{path}!{i}.png")[0].pixels[0, 0], range(50)))
    assert found == list(range(50))


def test_npz_arrays(tmp_path):
    images = np.random.default_rng(0).integers(0, 255, (5, 28, 28), np.uint8)
    colour = np.dstack([images[0]] * 3)[None]
    path = str(tmp_path / "set.npz")
    np.savez_compressed(path, train_images=images, test_images=colour, train_labels=np.zeros((5, 1), int))
    assert io.frame_count(f"{path}!train_images") == 5
    found = io.read(f"{path}!train_images")
    np.testing.assert_array_equal([item.pixels for item in found], images)
    assert found[2].id == f"{path}!train_images#2"
    np.testing.assert_array_equal(io.read_slice(f"{path}!test_images", 0).pixels, images[0])
    assert [item.id for item in io.read(path)][-1] == f"{path}!test_images#0"
    np.savez_compressed(tmp_path / "packed.npz", train_images=images)
    assert io.digest(f"{path}!train_images") == io.digest(f"{tmp_path}/packed.npz!train_images")
    assert code_of(f"{path}!train_labels") == "not_an_image"
    assert code_of(f"{path}!nothing") == "not_found"
    assert code_of(path, io.frame_count) == "not_found"
    assert code_of(f"{path}!train_images", limits=io.Limits(file_pixels=1000)) == "too_large"


def test_npz_with_pickled_objects_is_refused(tmp_path):
    path = str(tmp_path / "set.npz")
    np.savez(path, train_images=np.array([{"a": 1}], dtype=object))
    assert code_of(f"{path}!train_images") in ("unsupported", "not_an_image")
    assert code_of(path) == "unsupported"


def test_mat_in_a_zip(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "1.mat", "w") as file:
        file["cjdata/image"] = GREY.T
        file["cjdata/tumorMask"] = (GREY > 9).astype(np.uint8).T
    path = make_zip(tmp_path / "set.zip", [("x/1.mat", (tmp_path / "1.mat").read_bytes())])
    np.testing.assert_array_equal(io.read(f"{path}!x/1.mat")[0].pixels, GREY)
    np.testing.assert_array_equal(io.read_mask(f"{path}!x/1.mat!tumorMask"), GREY > 9)


def test_the_same_bytes_in_another_shape_order_or_type_are_another_array(tmp_path):
    images = np.arange(4 * 12 * 12, dtype=np.uint8).reshape(4, 12, 12)
    same_bytes = {
        "a": images,
        "shape": images.reshape(2, 24, 12),
        "order": np.asfortranarray(images.ravel().reshape((4, 12, 12), order="F")),
        "type": images.view(np.int8),
    }
    for name, array in same_bytes.items():
        np.savez(tmp_path / f"{name}.npz", images=array)
        assert array.tobytes(order="A") == images.tobytes()
    assert len({io.digest(f"{tmp_path}/{name}.npz!images") for name in same_bytes}) == 4


def with_zip64(path, *, entries, size, extensible=b"", comment=b""):
    """Put a zip64 end record that says something else, and its locator, in front of the end record."""
    data = path.read_bytes()
    at = data.rindex(b"PK\x05\x06")
    (offset,) = struct.unpack_from("<I", data, at + 16)
    numbers = (44 + len(extensible), 45, 45, 0, 0, entries, entries, size, offset)
    record = struct.pack("<4sQHHIIQQQQ", b"PK\x06\x06", *numbers)
    locator = struct.pack("<4sIQI", b"PK\x06\x07", 0, at, 1)
    end = data[at : at + 20] + struct.pack("<H", len(comment)) + comment
    path.write_bytes(data[:at] + record + extensible + locator + end)


@pytest.mark.parametrize("extensible", [b"", b"\0" * 40], ids=["plain", "extensible"])
@pytest.mark.parametrize("comment", [b"", b"x" * 65_535], ids=["bare", "comment"])
def test_a_zip64_record_counts_whatever_the_end_record_says(tmp_path, extensible, comment, monkeypatch):
    path = tmp_path / "set.zip"
    make_zip(path, [("a.png", png())])
    with_zip64(path, entries=10_000_000, size=46 * 10_000_000, extensible=extensible, comment=comment)
    monkeypatch.setattr(zipfile, "ZipFile", None)  # nobody may read the directory
    for call in (io.read, io.members):
        assert code_of(path if call is io.members else f"{path}!a.png", call) == "too_large"


def test_a_zip64_record_that_tells_the_truth_is_believed(tmp_path):
    path = tmp_path / "set.zip"
    make_zip(path, [("a.png", png())])
    data = path.read_bytes()
    with_zip64(path, entries=1, size=struct.unpack_from("<I", data, data.rindex(b"PK\x05\x06") + 12)[0])
    assert [member.name for member in io.members(str(path))] == ["a.png"]
    np.testing.assert_array_equal(io.read(f"{path}!a.png")[0].pixels, GREY)
