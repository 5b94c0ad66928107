"""Pixel values of every kind of picture, and what is refused."""

from __future__ import annotations

import io as memory
import struct
import subprocess
import sys
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from tumorlens import io
from tumorlens.errors import InputError

RAMP = np.arange(16 * 12, dtype=np.uint8).reshape(12, 16)
RGB = np.dstack([RAMP, RAMP[::-1], RAMP[:, ::-1]])


def luma(rgb):
    return rgb[..., :3].astype(np.float64) @ [0.299, 0.587, 0.114]


def saved(image, path, **options):
    image.save(path, **options)
    return str(path)


def only(path):
    (found,) = io.read(path)
    assert found.frame is None
    assert found.pixels.dtype == np.float32
    assert found.pixels.ndim == 2
    return found.pixels


@pytest.mark.parametrize("suffix", ["png", "PNG", "bmp", "tif", "tiff", "gif"])
def test_lossless_grey_keeps_its_values(tmp_path, suffix):
    path = saved(Image.fromarray(RAMP), tmp_path / f"a.{suffix}", format={"tif": "TIFF"}.get(suffix, suffix.upper()))
    np.testing.assert_array_equal(only(path), RAMP)


def test_webp_lossless_grey(tmp_path):
    path = saved(Image.fromarray(RAMP), tmp_path / "a.webp", lossless=True)
    np.testing.assert_allclose(only(path), RAMP, atol=1)


def test_grey_jpeg_equals_opencv(tmp_path):
    smooth = cv2.GaussianBlur(np.tile(RAMP, (4, 4)), (0, 0), 3)
    path = saved(Image.fromarray(smooth), tmp_path / "a.JPG", quality=90, format="JPEG")
    np.testing.assert_array_equal(only(path), cv2.imread(path, cv2.IMREAD_GRAYSCALE))


@pytest.mark.parametrize("progressive", [False, True])
def test_colour_jpeg_is_luminance(tmp_path, progressive):
    flat = np.full((24, 24, 3), (200, 100, 40), np.uint8)
    path = saved(Image.fromarray(flat), tmp_path / "a.jpeg", quality=95, progressive=progressive)
    np.testing.assert_allclose(only(path), luma(flat), atol=2)


def test_cmyk_jpeg(tmp_path):
    flat = Image.fromarray(np.full((24, 24, 3), (200, 100, 40), np.uint8)).convert("CMYK")
    path = saved(flat, tmp_path / "a.jpg", quality=95)
    np.testing.assert_allclose(only(path), luma(np.array([[[200, 100, 40]]]))[0, 0], atol=3)


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif"])
def test_rgb_is_luminance(tmp_path, suffix):
    path = saved(Image.fromarray(RGB), tmp_path / f"a.{suffix}")
    np.testing.assert_allclose(only(path), luma(RGB), atol=0.6)


def test_grey_stored_as_rgb_keeps_its_values_exactly(tmp_path):
    path = saved(Image.fromarray(np.dstack([RAMP] * 3)), tmp_path / "a.png")
    np.testing.assert_array_equal(only(path), RAMP)


@pytest.mark.parametrize("suffix", ["png", "tif", "webp"])
def test_transparency_lies_over_black(tmp_path, suffix):
    rgba = np.full((4, 6, 4), 200, np.uint8)
    rgba[:, :2, 3], rgba[:, 2:4, 3], rgba[:, 4:, 3] = 0, 128, 255
    path = saved(Image.fromarray(rgba), tmp_path / f"a.{suffix}", **({"lossless": True} if suffix == "webp" else {}))
    np.testing.assert_allclose(only(path)[0], [0, 0, 100.4, 100.4, 200, 200], atol=1)


def test_grey_with_alpha(tmp_path):
    la = np.dstack([np.full((3, 4), 100, np.uint8), np.array([[0, 255, 51, 255]] * 3, np.uint8)])
    path = saved(Image.fromarray(la, "LA"), tmp_path / "a.png")
    np.testing.assert_allclose(only(path)[1], [0, 100, 20, 100], atol=0.01)


def test_palette(tmp_path):
    image = Image.fromarray(np.array([[0, 1, 2]] * 3, np.uint8), "P")
    image.putpalette([10, 10, 10, 90, 90, 90, 255, 0, 0])
    for suffix in ("png", "gif", "bmp", "tif"):
        path = saved(image, tmp_path / f"a.{suffix}")
        np.testing.assert_allclose(only(path)[0], [10, 90, 76.2], atol=0.6)


def test_palette_with_transparency(tmp_path):
    image = Image.fromarray(np.array([[0, 1]] * 3, np.uint8), "P")
    image.putpalette([10, 10, 10, 90, 90, 90])
    path = saved(image, tmp_path / "a.png", transparency=1)
    np.testing.assert_array_equal(only(path)[0], [10, 0])


def test_one_bit_is_0_and_255(tmp_path):
    bits = np.array([[0, 255, 0, 255, 255]] * 3, np.uint8)
    for suffix in ("png", "tif", "bmp", "gif"):
        path = saved(Image.fromarray(bits).convert("1"), tmp_path / f"a.{suffix}")
        np.testing.assert_array_equal(only(path), bits)


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bit_grey_keeps_its_values(tmp_path, suffix):
    deep = RAMP.astype(np.uint16) * 300
    path = str(tmp_path / f"a.{suffix}")
    cv2.imwrite(path, deep)
    np.testing.assert_array_equal(only(path), deep)


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw"])
@pytest.mark.parametrize("bits", [8, 16])
def test_white_is_zero_is_no_negative(tmp_path, bits, compression):
    top = 2**bits - 1
    stored = (RAMP.astype(np.uint16) * (top // 255)).astype(f"<u{bits // 8}")
    path = tmp_path / "a.tif"
    Image.fromarray(stored).save(path, compression=compression)
    data = path.read_bytes()
    black_is_zero = struct.pack("<HHLHH", 262, 3, 1, 1, 0)
    assert data.count(black_is_zero) == 1
    path.write_bytes(data.replace(black_is_zero, struct.pack("<HHLHH", 262, 3, 1, 0, 0)))
    np.testing.assert_array_equal(only(str(path)), top - stored)


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bit_colour_is_not_cut_to_8(tmp_path, suffix):
    path = str(tmp_path / f"a.{suffix}")
    cv2.imwrite(path, RGB[..., ::-1].astype(np.uint16) * 250)
    np.testing.assert_allclose(only(path), luma(RGB.astype(np.float64) * 250), atol=1)


def test_float_tiff(tmp_path):
    values = RAMP.astype(np.float32) / 7
    path = saved(Image.fromarray(values), tmp_path / "a.tif")
    np.testing.assert_array_equal(only(path), values)


@pytest.mark.parametrize("suffix", ["gif", "tif", "webp"])
def test_pages_are_frames(tmp_path, suffix):
    pages = [Image.fromarray(np.full((8, 8), value, np.uint8)) for value in (10, 120, 250)]
    options = {"lossless": True} if suffix == "webp" else {}
    path = saved(pages[0], tmp_path / f"a.{suffix}", save_all=True, append_images=pages[1:], **options)
    assert io.frame_count(path) == 3
    found = io.read(path)
    assert [item.frame for item in found] == [0, 1, 2]
    assert [item.id for item in found] == [f"{path}#{i}" for i in range(3)]
    np.testing.assert_allclose([item.pixels.mean() for item in found], [10, 120, 250], atol=1)
    np.testing.assert_array_equal(io.read_slice(path, 1).pixels, found[1].pixels)
    for wrong in (None, 3, -1):
        with pytest.raises(InputError) as error:
            io.read_slice(path, wrong)
        assert error.value.code == "not_found"


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_honoured_the_same_in_every_format(tmp_path, suffix, orientation):
    quarters = np.kron(np.array([[10, 80], [150, 240], [40, 200]], np.uint8), np.ones((16, 16), np.uint8))
    image = Image.fromarray(quarters).convert("RGB" if suffix == "webp" else "L")
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if suffix == "webp" else {"quality": 95} if suffix == "jpg" else {}
    path = saved(image, tmp_path / f"a.{suffix}", exif=exif, **options)
    expected = {
        1: quarters,
        2: quarters[:, ::-1],
        3: quarters[::-1, ::-1],
        4: quarters[::-1],
        5: quarters.T,
        6: np.rot90(quarters, -1),
        7: quarters[::-1, ::-1].T,
        8: np.rot90(quarters),
    }[orientation]
    np.testing.assert_allclose(only(path), expected, atol=2)


def png_of_size(width, height):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 99)) + chunk(b"IEND", b"")
    )


def encoded(suffix, picture=RAMP):
    out = memory.BytesIO()
    Image.fromarray(picture).save(out, suffix)
    return out.getvalue()


def jpeg_of_size(width, height):
    data = bytearray(encoded("JPEG"))
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def bmp_of_size(width, height):
    data = bytearray(encoded("BMP"))
    data[18:26] = struct.pack("<ii", width, height)
    return bytes(data)


def gif_of_size(width, height):
    data = bytearray(encoded("GIF"))
    data[6:10] = struct.pack("<HH", width, height)
    return bytes(data)


@pytest.mark.parametrize("make", [png_of_size, jpeg_of_size, bmp_of_size, gif_of_size])
def test_a_huge_picture_is_refused_before_it_is_decoded(tmp_path, make):
    import tracemalloc

    path = tmp_path / "a.png"
    path.write_bytes(make(30_000, 30_000))
    tracemalloc.start()
    for call in (io.read, io.frame_count):
        with pytest.raises(InputError) as error:
            call(str(path))
        assert error.value.code == "too_large"
        assert "pixels" in error.value.message
    assert tracemalloc.get_traced_memory()[1] < 5_000_000
    tracemalloc.stop()


def test_limits_can_be_set(tmp_path):
    path = saved(Image.fromarray(RAMP), tmp_path / "a.png")
    with pytest.raises(InputError) as error:
        io.read(path, limits=io.Limits(image_pixels=100))
    assert error.value.code == "too_large"
    with pytest.raises(InputError) as error:
        io.read_bytes(encoded("PNG"), limits=io.Limits(file_bytes=10))
    assert error.value.code == "too_large"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "TIFF", "WEBP", "BMP"])
@pytest.mark.parametrize("part", [0.4, 0.7, 0.95])
def test_a_cut_off_file_is_never_half_an_image(tmp_path, kind, part):
    noise = np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8)
    data = encoded(kind, noise)
    path = tmp_path / f"a.{kind.lower()}"
    path.write_bytes(data[: int(len(data) * part)])
    with pytest.raises(InputError) as error:
        io.read(str(path))
    if kind in ("JPEG", "PNG", "WEBP"):
        assert error.value.code == "truncated"
    assert error.value.code in ("truncated", "corrupt")
    assert error.value.hint


def test_a_jpeg_cut_behind_its_thumbnail_is_still_cut_off(tmp_path):
    exif = Image.Exif()
    exif[0x010E] = "x" * 20
    out = memory.BytesIO()
    noise = np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8)
    Image.fromarray(noise).save(out, "JPEG", exif=exif.tobytes() + encoded("JPEG"))
    data = out.getvalue()
    with pytest.raises(InputError) as error:
        io.read_bytes(data[:-300])
    assert error.value.code == "truncated"


def test_bytes_behind_the_end_do_no_harm():
    for kind in ("JPEG", "PNG"):
        (found,) = io.read_bytes(encoded(kind) + b"\0" * 100)
        assert found.pixels.shape == RAMP.shape


def test_damaged_png_names_the_damage():
    data = bytearray(encoded("PNG"))
    data[50] ^= 0xFF
    with pytest.raises(InputError) as error:
        io.read_bytes(bytes(data))
    assert error.value.code == "corrupt"


def test_garbage_inside_a_jpeg_is_seen():
    noise = np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8)
    data = bytearray(encoded("JPEG", noise))
    data[-1000:-996] = b"\xff\x05\xff\x33"
    with pytest.raises(InputError) as error:
        io.read_bytes(bytes(data))
    assert error.value.code == "corrupt"


def test_no_decoder_noise_reaches_a_program_of_one_thread(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8)
    jpeg = encoded("JPEG", noise)
    Image.fromarray(RAMP).save(tmp_path / "profile.png", icc_profile=b"nonsense" * 9)
    for name, data in (("a", jpeg[:-900] + b"\0" * 100 + b"\xff\xd9"), ("b", jpeg[:-2] + b"\0\1\2" * 40 + b"\xff\xd9")):
        (tmp_path / f"{name}.jpg").write_bytes(data)
    # In a process of its own: other tests leave threads behind, and only without any is descriptor 2 redirected.
    script = (
        "import contextlib, pathlib, sys\n"
        "from tumorlens import io\n"
        "for path in sorted(pathlib.Path(sys.argv[1]).iterdir()):\n"
        "    with contextlib.suppress(Exception):\n"
        "        print(path.name, io.read(str(path))[0].pixels.shape)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert "profile.png (12, 16)" in done.stdout
