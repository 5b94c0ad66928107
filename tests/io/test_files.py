"""Paths, sniffing, digests and what is said about files that are no images."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import warnings

import numpy as np
import pytest
from PIL import Image

from tumorlens import io
from tumorlens.errors import InputError

GREY = np.arange(64, dtype=np.uint8).reshape(8, 8)


@pytest.fixture
def png(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(GREY).save(path)
    return path


def refused(path, call=io.read):
    with pytest.raises(InputError) as error:
        call(str(path))
    assert error.value.message
    assert error.value.hint
    return error.value


@pytest.mark.parametrize("call", [io.read, io.read_slice, io.frame_count, io.digest])
def test_missing_file_suggests_the_nearest_name(png, call):
    error = refused(png.with_name("b.png"), call)
    assert error.code == "not_found"
    assert "a.png" in error.hint


def test_a_folder_is_not_an_image(tmp_path):
    assert refused(tmp_path).code == "not_found"


def test_empty_file(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"")
    assert refused(tmp_path / "a.jpg").code == "empty"


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"hello, this is no picture", "text"),
        (b"<!DOCTYPE html><html>", "web page"),
        (b"%PDF-1.7 ....", "PDF"),
        (b"\x00" * 600, "zero"),
        (b"\x93NUMPY\x01\x00", ".npy"),
        (b"\xa7\x05\xbc" + b"\x01" * 900, "format"),
    ],
)
def test_a_file_named_jpg_that_is_none(tmp_path, content, word):
    (tmp_path / "a.jpg").write_bytes(content)
    for call in (io.read, io.frame_count):
        error = refused(tmp_path / "a.jpg", call)
        assert error.code == "not_an_image"
        assert word in error.message


def test_the_bytes_decide_not_the_name(png):
    wrong = png.rename(png.with_name("a.jpg"))
    np.testing.assert_array_equal(io.read(str(wrong))[0].pixels, GREY)
    np.testing.assert_array_equal(io.read_bytes(wrong.read_bytes(), "x.dcm")[0].pixels, GREY)


def test_strange_names(png):
    for name in ("naïve ünï 脑.png", "a!b.png", "a#1.png", " .png", "x" * 200 + ".png"):
        path = png.with_name(name)
        path.write_bytes(png.read_bytes())
        found = io.read(str(path))[0]
        assert found.path == str(path)
    assert refused("nul\0byte.png").code == "not_found"
    assert refused("x" * 5000).code == "not_found"
    assert refused(str(png) + "!inner").code == "not_found"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "a.png")
    assert refused(tmp_path / "a.png").code == "not_an_image"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_no_permission(png):
    png.chmod(0)
    assert refused(png).code == "no_permission"


def test_digest_is_of_the_encoded_bytes(png, tmp_path):
    assert io.digest(str(png)) == hashlib.sha256(png.read_bytes()).hexdigest()
    (tmp_path / "notes.txt").write_bytes(b"x" * 3_000_000)
    assert io.digest(str(tmp_path / "notes.txt")) == hashlib.sha256(b"x" * 3_000_000).hexdigest()


def test_a_single_image_may_be_asked_for_as_frame_0(png):
    assert io.frame_count(str(png)) is None
    assert io.read_slice(str(png), 0).id == f"{png}#0"
    assert refused(png, lambda path: io.read_slice(path, 1)).code == "not_found"


def test_masks(tmp_path):
    def mask(values):
        Image.fromarray(np.array(values, np.uint8)).save(tmp_path / "m.png")
        return io.read_mask(str(tmp_path / "m.png"))[0].tolist()

    assert mask([[0, 1]]) == [False, True]
    assert mask([[0, 100, 200, 255]]) == [False, False, True, True]
    assert mask([[0, 1, 4]]) == [False, True, True]
    assert mask([[0, 0]]) == [False, False]
    assert io.read_mask(str(tmp_path / "m.png"), 7).shape == (1, 2)
    assert io.read_mask(str(tmp_path / "m.png")).dtype == bool
    assert "mask" in refused(tmp_path / "none.png", io.read_mask).message


def test_light_import():
    """Reading pictures must not import what only other formats need."""
    code = (
        "import sys; from tumorlens import io, data; "
        "print([m for m in ('pydicom', 'nibabel', 'h5py', 'kagglehub', 'PIL') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_warning_filters_are_left_as_they_were(png):
    before = list(warnings.filters)
    io.read(str(png))
    assert warnings.filters == before


def test_threads_read_the_same_thing(png, tmp_path):
    from concurrent.futures import ThreadPoolExecutor

    pages = [Image.fromarray(np.full((8, 8), value, np.uint8)) for value in range(40)]
    path = str(tmp_path / "a.tif")
    pages[0].save(path, save_all=True, append_images=pages[1:])
    before = list(warnings.filters)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda i: io.read_slice(path, i % 40).pixels[0, 0], range(400)))
    assert found == [i % 40 for i in range(400)]
    assert warnings.filters == before
