"""PNG, JPEG, BMP, TIFF, WebP and GIF, each to grey float32.

Colour becomes luminance (ITU-R BT.601, as OpenCV and libjpeg have it); transparency is laid over black; 1-bit images
have the values 0 and 255; palettes are looked up. The EXIF (or TIFF) orientation is honoured, so that a picture is
seen as every viewer shows it. Pages of a TIFF and frames of an animated GIF or WebP are frames.
"""

from __future__ import annotations

import io
import struct
from typing import Any

import cv2
import numpy as np

from tumorlens.errors import InputError
from tumorlens.io import header, tiff
from tumorlens.io.content import Content
from tumorlens.io.guard import decoding, silent_stderr
from tumorlens.io.inspecting import Header
from tumorlens.io.limits import Limits, too_large
from tumorlens.io.volumes import Frames

_PHOTOMETRIC = 262  # the TIFF tag PhotometricInterpretation
# The transformation that undoes each EXIF orientation (tag 0x0112), as (transpose, flip rows, flip columns).
_TURNS = {
    2: (False, False, True),
    3: (False, True, True),
    4: (False, True, False),
    5: (True, False, False),
    6: (True, False, True),
    7: (True, True, True),
    8: (True, True, False),
}


def inspect(content: Content, kind: str, limits: Limits) -> Header:
    """What the header says: the number of frames, None for a single image.

    Raises:
        InputError: ``too_large``, ``truncated``, ``corrupt``.
    """
    return Header(kind, _count(content, kind, limits))


def _count(content: Content, kind: str, limits: Limits) -> int | None:
    if kind == "png":
        limits.check_image(content.name, *header.png_size(content.name, content.head(64)))
        return None
    if kind == "jpeg":
        head = content.head(1 << 18)
        try:
            found = header.jpeg(content.name, head)
        except InputError:
            if len(head) == content.size:
                raise
            found = header.jpeg(content.name, content.bytes(limits))  # a header longer than 256 KiB
        limits.check_image(content.name, found.height, found.width)
        return None
    with decoding(content.name, kind.upper()):
        return _pillow_count(content, opened(content, kind, limits), limits)


def image(content: Content, kind: str, limits: Limits) -> Frames:
    """Decode a JPEG or PNG (of an animated PNG, the default image).

    Raises:
        InputError: ``truncated``, ``corrupt``, ``unsupported``, ``too_large``.
    """
    return Frames((_jpeg(content, limits) if kind == "jpeg" else _png(content, limits),), single=True)


def frames(content: Content, kind: str, limits: Limits) -> Frames:
    """Decode every page or frame of a TIFF, GIF, WebP or BMP.

    Raises:
        InputError: ``truncated``, ``corrupt``, ``unsupported``, ``too_large``.
    """
    with decoding(content.name, kind.upper()):
        image = opened(content, kind, limits)
        count = _pillow_count(content, image, limits)
        pages: list[np.ndarray] = []
        for index in range(count or 1):
            image.seek(index)
            limits.check_image(content.name, image.height, image.width)
            pages.append(_page(content, kind, image, index))
            if sum(page.size for page in pages) > limits.file_pixels:
                raise InputError(f"{content.name} has too many pixels", hint="split the file", code="too_large")
        return Frames(tuple(pages), single=count is None)


def _jpeg(content: Content, limits: Limits) -> np.ndarray:
    data = content.bytes(limits)
    found = header.jpeg(content.name, data)
    limits.check_image(content.name, found.height, found.width)
    if found.bits != 8:
        raise InputError(
            f"{content.name} is a {found.bits}-bit JPEG; 8 bits are expected",
            hint="export it as PNG or 16-bit TIFF",
            code="unsupported",
        )
    header.check_jpeg_scan(content.name, data, found.scan)
    if found.components not in (1, 3):  # CMYK, with Adobe's inversion: OpenCV gets it wrong
        with decoding(content.name, "JPEG"):
            return _grey(opened(content, "jpeg", limits))
    with decoding(content.name, "JPEG"), silent_stderr():
        return _decoded(content.name, "JPEG", cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE))


def _png(content: Content, limits: Limits) -> np.ndarray:
    # The size first: a refusal must not cost a walk over the whole file.
    limits.check_image(content.name, *header.png_size(content.name, content.head(64)))
    found = header.png(content.name, content.bytes(limits))
    with decoding(content.name, "PNG"):
        with silent_stderr():
            raw = cv2.imdecode(np.frombuffer(found.data, np.uint8), cv2.IMREAD_UNCHANGED)
        pixels = luminance(_decoded(content.name, "PNG", raw), bgr=True)
        return _turned(pixels, found.exif) if found.exif else pixels


def _decoded(name: str, kind: str, pixels: np.ndarray | None) -> np.ndarray:
    if pixels is None:
        raise header.corrupt(name, kind, "its image data cannot be decoded")
    return pixels


def luminance(pixels: np.ndarray, *, bgr: bool = False) -> np.ndarray:
    """Grey (H, W) from grey, grey+alpha, colour or colour+alpha (H, W, 1-4), any numeric dtype; alpha over black."""
    if pixels.ndim == 2:
        return pixels
    channels = pixels.shape[2]
    colour = pixels[..., : 3 if channels >= 3 else 1]
    if channels < 3:
        grey = colour[..., 0]
    elif pixels.dtype in (np.uint8, np.uint16, np.float32):
        # OpenCV rounds so that R = G = B gives exactly that value.
        code = cv2.COLOR_BGR2GRAY if bgr else cv2.COLOR_RGB2GRAY
        grey = np.asarray(cv2.cvtColor(np.ascontiguousarray(colour), code))
    else:
        weights = np.array([0.114, 0.587, 0.299] if bgr else [0.299, 0.587, 0.114])
        grey = (colour.astype(np.float64) @ weights).astype(np.float32)
    if channels in (1, 3):
        return grey
    alpha = pixels[..., -1]
    opaque = np.iinfo(alpha.dtype).max if alpha.dtype.kind in "iu" else 1.0
    if (alpha == opaque).all():
        return grey
    return np.asarray(grey.astype(np.float32) * (alpha.astype(np.float32) / np.float32(opaque)))


def _turned(pixels: np.ndarray, exif: bytes) -> np.ndarray:
    from PIL import Image

    tags = Image.Exif()
    tags.load(exif)
    transpose, rows, columns = _TURNS.get(tags.get(0x0112, 1), (False, False, False))
    if transpose:
        pixels = pixels.T
    return pixels[:: -1 if rows else 1, :: -1 if columns else 1]


def opened(content: Content, kind: str, limits: Limits) -> Any:
    """A lazily opened Pillow image whose size has been checked."""
    from PIL import Image

    data = content.bytes(limits)
    if kind == "webp" and len(data) < struct.unpack_from("<I", data, 4)[0] + 8:
        raise header.truncated(content.name, "WebP")
    try:
        image = Image.open(io.BytesIO(data), formats=[kind.upper()])
    except Image.DecompressionBombError as error:
        limit = f"{limits.image_pixels / 1e6:g} million"
        raise too_large(content.name, "more than a hundred million pixels", limit) from error
    except Image.UnidentifiedImageError as error:
        raise header.corrupt(content.name, kind.upper(), "its header makes no sense") from error
    limits.check_image(content.name, image.height, image.width)
    return image


def _pillow_count(content: Content, image: Any, limits: Limits) -> int | None:
    # The image was opened from bytes, which its file object still holds.
    if image.format == "TIFF":
        frames = tiff.pages(content.name, image.fp.getvalue(), limits)
    else:
        frames = int(getattr(image, "n_frames", 1))
    if frames <= 1:
        return None
    limits.check_frames(content.name, frames, image.height, image.width)
    return frames


def _page(content: Content, kind: str, image: Any, index: int) -> np.ndarray:
    deep = kind == "tiff" and image.mode in ("RGB", "RGBA", "RGBX") and max(image.tag_v2.get(258, (8,))) > 8
    if not deep:
        try:
            return _grey(image)
        except OSError as error:
            if "truncated" in str(error) or "not enough" in str(error) or "image file is truncated" in str(error):
                raise header.truncated(content.name, kind.upper()) from error
            raise
    # Pillow would cut 16-bit colour down to 8 bits.
    with silent_stderr():
        read, pages = cv2.imdecodemulti(
            np.frombuffer(image.fp.getbuffer(), np.uint8), cv2.IMREAD_UNCHANGED, range=(index, index + 1)
        )
    return luminance(_decoded(content.name, "TIFF", pages[0] if read and len(pages) else None), bgr=True)


def _grey(image: Any) -> np.ndarray:
    """The current frame of a Pillow image as grey (H, W)."""
    from PIL import ImageOps

    negative = image.mode.startswith("I;16") and _white_is_zero(image)
    image.load()
    turned = ImageOps.exif_transpose(image)
    mode = turned.mode
    if mode == "1":
        turned = turned.convert("L")
    elif mode in ("P", "PA"):
        turned = turned.convert("RGBA" if mode == "PA" or "transparency" in turned.info else "RGB")
    elif mode in ("CMYK", "YCbCr", "HSV", "RGBX", "RGBa"):
        turned = turned.convert("RGBA" if mode == "RGBa" else "RGB")
    elif mode == "La":
        turned = turned.convert("LA")
    elif mode not in ("L", "LA", "RGB", "RGBA", "F", "I") and not mode.startswith("I;16"):
        raise InputError(
            f"the image has the colour mode {mode}", hint="export it as 8-bit or 16-bit grey", code="unsupported"
        )
    pixels = luminance(np.asarray(turned))
    return np.iinfo(pixels.dtype).max - pixels if negative else pixels


def _white_is_zero(image: Any) -> bool:
    """Whether a TIFF says that 0 is white: Pillow turns such pictures of 1 to 8 bits round, but not those of 16."""
    return getattr(image, "tag_v2", {}).get(_PHOTOMETRIC) == 0
