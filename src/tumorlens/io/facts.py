"""What a file says about itself and how colourful it is: everything that can be known without looking at a tumour."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from tumorlens.io import header, raster
from tumorlens.io.content import Content
from tumorlens.io.files import find
from tumorlens.io.guard import decoding, silent_stderr
from tumorlens.io.limits import DEFAULT, Limits
from tumorlens.io.sniff import RASTER

_PNG_CHANNELS = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}  # by colour type; a palette holds colours
_DEEP_MODES = {"I": 32, "F": 32, "1": 1}
_SIDE = 64  # of the picture that colour is measured on
_COLOURED = 40  # levels between the channels of a pixel that anyone would call coloured


@dataclass(frozen=True, slots=True)
class FileFacts:
    """Facts of one file, for the shortcut probes.

    Only raster images have more than a format and a size: for volumes and arrays the rest is None or empty, because
    one file holds many slices and its header says nothing about one of them.

    Attributes:
        kind: the format, as :func:`tumorlens.io.sniff.sniff` names it.
        size: encoded bytes.
        height, width: pixels as stored, before any EXIF orientation.
        channels: 1 grey, 2 grey and alpha, 3 colour, 4 colour and alpha (or CMYK).
        bits: per channel.
        tables: JPEG quantisation: the sum of each table, in the order of their numbers.
        progressive: whether it is a progressive JPEG.
        density: JFIF unit, horizontal and vertical density.
        exif: whether a JPEG or PNG carries EXIF.
        saturation: mean over a reduced picture of largest minus smallest channel, 0 to 1; 0 for a grey file.
        coloured: share of that picture's pixels that are clearly coloured.
    """

    kind: str
    size: int
    height: int | None = None
    width: int | None = None
    channels: int | None = None
    bits: int | None = None
    tables: tuple[int, ...] = ()
    progressive: bool = False
    density: tuple[int, int, int] | None = None
    exif: bool = False
    saturation: float | None = None
    coloured: float | None = None


def file_facts(path: str, *, limits: Limits = DEFAULT) -> FileFacts:
    """The facts of a file or archive member. A grey JPEG is not decoded, a colour one at an eighth of its size.

    Raises:
        InputError: whatever is wrong with the file, as :func:`tumorlens.io.read`.
    """
    content, kind = find(path, limits)
    if kind == "jpeg":
        return _jpeg(content, limits)
    if kind == "png":
        return _png(content, limits)
    if kind in RASTER:
        return _other(content, kind, limits)
    return FileFacts(kind, content.size)


def _jpeg(content: Content, limits: Limits) -> FileFacts:
    data = content.bytes(limits)
    found = header.jpeg(content.name, data)
    limits.check_image(content.name, found.height, found.width)
    tables: dict[int, int] = {}
    density: tuple[int, int, int] | None = None
    progressive = exif = False
    for marker, start, stop in header.segments(content.name, data):
        segment = data[start:stop]
        if marker == 0xDB:
            tables |= _quantisation(segment)
        elif marker == 0xE0 and segment.startswith(b"JFIF\0") and len(segment) >= 12:
            density = struct.unpack_from(">BHH", segment, 7)
        elif marker == 0xE1 and segment.startswith(b"Exif\0"):
            exif = True
        elif header.frame_header(marker):
            progressive = marker in (0xC2, 0xC6, 0xCA, 0xCE)
    colour = 0.0, 0.0
    if found.components == 3 and found.bits == 8:
        with decoding(content.name, "JPEG"), silent_stderr():
            picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_REDUCED_COLOR_8)
        if picture is None:
            raise header.corrupt(content.name, "JPEG", "its image data cannot be decoded")
        colour = _colour(picture)
    elif found.components != 1:
        with decoding(content.name, "JPEG"):
            colour = _colour(np.asarray(raster.opened(content, "jpeg", limits).convert("RGB")))
    sums = tuple(tables[number] for number in sorted(tables))
    return FileFacts(
        "jpeg",
        content.size,
        found.height,
        found.width,
        found.components,
        found.bits,
        sums,
        progressive,
        density,
        exif,
        *colour,
    )


def _quantisation(segment: bytes) -> dict[int, int]:
    """Number and sum of each table of a DQT segment (T.81 B.2.4.1); a cut one is left out."""
    found: dict[int, int] = {}
    at = 0
    while at < len(segment):
        deep, number = bool(segment[at] >> 4), segment[at] & 15
        stop = at + 1 + (128 if deep else 64)
        if stop > len(segment):
            break
        found[number] = int(np.frombuffer(segment[at + 1 : stop], ">u2" if deep else "u1").sum())
        at = stop
    return found


def _png(content: Content, limits: Limits) -> FileFacts:
    height, width = header.png_size(content.name, content.head(64))
    limits.check_image(content.name, height, width)
    found = header.png(content.name, content.bytes(limits))
    bits, channels = found.data[24], _PNG_CHANNELS.get(found.data[25], 1)
    colour = 0.0, 0.0
    if channels >= 3:
        with decoding(content.name, "PNG"), silent_stderr():
            picture = cv2.imdecode(np.frombuffer(found.data, np.uint8), cv2.IMREAD_COLOR)
        if picture is None:
            raise header.corrupt(content.name, "PNG", "its image data cannot be decoded")
        colour = _colour(picture)
    return FileFacts(
        "png",
        content.size,
        height,
        width,
        channels,
        bits,
        exif=bool(found.exif),
        saturation=colour[0],
        coloured=colour[1],
    )


def _other(content: Content, kind: str, limits: Limits) -> FileFacts:
    with decoding(content.name, kind.upper()):
        image: Any = raster.opened(content, kind, limits)
        mode = image.mode
        bits = 16 if mode.startswith("I;16") else _DEEP_MODES.get(mode, 8)
        channels = 3 if mode == "P" else len(image.getbands())
        colour = _colour(np.asarray(image.convert("RGB"))) if channels >= 3 else (0.0, 0.0)
        height, width = image.height, image.width
    return FileFacts(kind, content.size, height, width, channels, bits, saturation=colour[0], coloured=colour[1])


def _colour(picture: np.ndarray) -> tuple[float, float]:
    """Saturation and coloured share of uint8 (H, W, 3), any order of channels.

    The picture is made small first, so that JPEG's colour noise averages out.
    """
    small = cv2.resize(picture, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA).astype(np.int16)
    span = small.max(axis=2) - small.min(axis=2)
    return float(span.mean() / 255), float((span > _COLOURED).mean())
