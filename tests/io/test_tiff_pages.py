"""Pages of a TIFF are counted along its chain of directories, before anything else is asked of them."""

from __future__ import annotations

import itertools
import struct
import time

import numpy as np
import pytest
from PIL import Image

from tumorlens import io
from tumorlens.errors import InputError
from tumorlens.io import tiff

KINDS = [(order, big) for order in "<>" for big in (False, True)]


def chain(count, order="<", big=False, *, last=0, entries=((256, 3, 1, 8), (257, 3, 1, 8), (273, 4, 1, 8))):
    """A TIFF of nothing but directories, one behind the other; ``last`` is where the last one points."""
    mark = b"II" if order == "<" else b"MM"
    start, number, entry, pointer = (16, "Q", "HHQQ", "Q") if big else (8, "H", "HHLL", "L")
    head = struct.pack(f"{order}HHHQ", 43, 8, 0, start) if big else struct.pack(f"{order}HL", 42, start)
    size = struct.calcsize(f"={number}{pointer}") + len(entries) * struct.calcsize(f"={entry}")
    body = struct.pack(order + number, len(entries))
    for tag, kind, many, value in entries:
        # A short stands at the left of its field, whatever the byte order.
        wide = 8 * struct.calcsize(f"={pointer}") - 16
        placed = value << wide if order == ">" and kind == 3 else value
        body += struct.pack(order + entry, tag, kind, many, placed)
    following = [*(start + (i + 1) * size for i in range(count - 1)), last]
    return mark + head + b"".join(body + struct.pack(order + pointer, at) for at in following)


def code_of(path, call=io.frame_count):
    with pytest.raises(InputError) as error:
        call(path)
    return error.value.code


@pytest.mark.parametrize(("order", "big"), KINDS)
def test_pages_are_counted_up_to_the_limit(order, big):
    assert tiff.pages("a.tif", chain(7, order, big), io.Limits(frames=7)) == 7
    with pytest.raises(InputError) as error:
        tiff.pages("a.tif", chain(8, order, big), io.Limits(frames=7))
    assert error.value.code == "too_large"


@pytest.mark.parametrize(("order", "big"), KINDS)
def test_a_chain_that_runs_in_a_circle_is_damaged(order, big):
    for back in (16 if big else 8, len(chain(2, order, big))):  # to the first, to itself
        with pytest.raises(InputError) as error:
            tiff.pages("a.tif", chain(3, order, big, last=back), io.Limits())
        assert error.value.code == "corrupt"
        assert "circle" in error.value.message


@pytest.mark.parametrize(("order", "big"), KINDS)
def test_a_chain_that_leaves_the_file_is_cut_off(order, big):
    for away in (10**6, 2**63 + 8 if big else 2**32 - 1):
        with pytest.raises(InputError) as error:
            tiff.pages("a.tif", chain(3, order, big, last=away), io.Limits())
        assert error.value.code == "truncated"


def test_directories_that_overlap_are_damaged():
    # Fifty directories of 2000 entries each, two bytes apart: every page costs as much as the whole file.
    data = bytearray(8 + 2 * 50 + 12 * 2000 + 6)
    data[:8] = struct.pack("<2sHL", b"II", 42, 8)
    for i in range(50):
        data[8 + 2 * i : 10 + 2 * i] = struct.pack("<H", 2000)
    for i in range(0, 50, 2):  # every other one: a pointer is four bytes
        at = 8 + 2 * i + 2 + 12 * 2000
        data[at : at + 4] = struct.pack("<L", 8 + 2 * i + 4 if i < 48 else 0)
    with pytest.raises(InputError) as error:
        tiff.pages("a.tif", bytes(data), io.Limits())
    assert error.value.code == "corrupt"


def test_a_last_directory_without_its_pointer_is_the_last():
    assert tiff.pages("a.tif", chain(1)[:-4], io.Limits()) == 1
    assert tiff.pages("a.tif", chain(4)[:-2], io.Limits()) == 4


@pytest.mark.parametrize("call", [io.frame_count, io.read, io.inspect])
def test_too_many_pages_are_refused_at_once(tmp_path, call):
    path = tmp_path / "a.tif"
    path.write_bytes(chain(40_000))
    before = time.process_time()
    assert code_of(str(path), call) == "too_large"
    assert time.process_time() - before < 2  # counting them all takes minutes


def test_pages_that_differ_in_kind_are_all_read(tmp_path):
    path = str(tmp_path / "a.tif")
    grey = np.arange(48, dtype=np.uint8).reshape(6, 8)
    pages = [Image.fromarray(grey), Image.fromarray(grey.astype(np.uint16) * 300), Image.fromarray(grey[:, ::-1])]
    for big in (False, True):
        pages[0].save(path, save_all=True, append_images=pages[1:], big_tiff=big)
        assert io.frame_count(path) == 3
        for found, page in itertools.zip_longest(io.read(path), pages):
            np.testing.assert_array_equal(found.pixels, np.asarray(page))


def test_a_circle_is_found_in_a_file(tmp_path):
    path = tmp_path / "a.tif"
    path.write_bytes(chain(3, last=8))
    assert code_of(str(path)) == code_of(str(path), io.read) == "corrupt"
