from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from tumorlens import io
from tumorlens.errors import InputError
from tumorlens.io.limits import Limits

GREY = np.random.default_rng(0).integers(0, 255, (40, 64), np.uint8)
GREY = cv2.GaussianBlur(GREY, (0, 0), 3)
RED = np.dstack([np.full_like(GREY, 200), GREY // 4, GREY // 4])


def saved(path: Path, pixels: np.ndarray, **options: object) -> str:
    Image.fromarray(pixels).save(path, **options)
    return str(path)


def test_a_grey_jpeg(tmp_path: Path):
    found = io.file_facts(saved(tmp_path / "a.jpg", GREY, quality=75, dpi=(96, 72)))
    assert (found.kind, found.height, found.width, found.channels, found.bits) == ("jpeg", 40, 64, 1, 8)
    assert found.size == (tmp_path / "a.jpg").stat().st_size
    assert found.density == (1, 96, 72)
    assert (found.saturation, found.coloured, found.exif, found.progressive) == (0, 0, False, False)
    assert len(found.tables) == 1


def test_jpeg_quality_shows_in_the_tables(tmp_path: Path):
    sums = [io.file_facts(saved(tmp_path / f"{q}.jpg", RED, quality=q)).tables for q in (50, 75, 95)]
    assert all(len(pair) == 2 for pair in sums)
    assert sums[0] > sums[1] > sums[2]


def test_exif_and_progressive_are_seen(tmp_path: Path):
    tags = Image.Exif()
    tags[0x010F] = "maker"
    found = io.file_facts(saved(tmp_path / "a.jpg", GREY, exif=tags, progressive=True))
    assert found.exif
    assert found.progressive


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.bmp", "a.webp", "a.tif"])
def test_colour_is_told_from_grey_stored_as_colour(tmp_path: Path, name: str):
    red = io.file_facts(saved(tmp_path / name, RED))
    grey = io.file_facts(saved(tmp_path / f"g{name}", np.dstack([GREY] * 3)))
    assert red.channels == grey.channels == 3
    assert red.saturation > 0.4
    assert red.coloured > 0.9
    assert grey.saturation < 0.01
    assert grey.coloured == 0


def test_a_deep_png(tmp_path: Path):
    found = io.file_facts(saved(tmp_path / "a.png", GREY.astype(np.uint16) * 256))
    assert (found.bits, found.channels, found.height, found.width) == (16, 1, 40, 64)


def test_a_cmyk_jpeg(tmp_path: Path):
    Image.fromarray(RED).convert("CMYK").save(tmp_path / "a.jpg")
    found = io.file_facts(str(tmp_path / "a.jpg"))
    assert found.channels == 4
    assert found.saturation > 0.2


def test_an_array_says_nothing_of_one_slice(tmp_path: Path):
    np.savez(tmp_path / "a.npz", train_images=np.stack([GREY] * 2))
    found = io.file_facts(f"{tmp_path / 'a.npz'}!train_images")
    assert found.kind == "npz"
    assert (found.height, found.channels, found.saturation, found.tables) == (None, None, None, ())


def test_limits_hold(tmp_path: Path):
    for name in ("a.jpg", "a.png", "a.bmp"):
        with pytest.raises(InputError) as caught:
            io.file_facts(saved(tmp_path / name, RED), limits=Limits(image_pixels=100))
        assert caught.value.code == "too_large"


def test_a_cut_table_is_left_out(tmp_path: Path):
    data = bytearray(Path(saved(tmp_path / "a.jpg", GREY)).read_bytes())
    at = data.index(b"\xff\xdb")
    data[at + 2 : at + 4] = (3 + 10).to_bytes(2, "big")  # the segment now ends inside its table
    del data[at + 4 + 11 : at + 4 + 65]
    (tmp_path / "b.jpg").write_bytes(data)
    assert io.file_facts(str(tmp_path / "b.jpg")).tables == ()
