"""Width, height and soundness of JPEG and PNG, from their markers and chunks, without decoding."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tumorlens.errors import InputError

_MAX_CHUNKS = 1_000_000
_NEEDED = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"})


@dataclass(frozen=True, slots=True)
class Jpeg:
    """What a JPEG's markers say: size, components, bits per sample, and where the first scan's data starts."""

    height: int
    width: int
    components: int
    bits: int
    scan: int


@dataclass(frozen=True, slots=True)
class Png:
    """What a PNG's chunks say; ``data`` holds only the chunks that matter for the pixels."""

    height: int
    width: int
    alpha: bool
    exif: bytes
    data: bytes


def truncated(name: str, kind: str) -> InputError:
    """The error for a file that ends too early."""
    return InputError(
        f"{name} is a cut-off {kind}: it ends before its image does",
        hint="copy or download it again",
        code="truncated",
    )


def corrupt(name: str, kind: str, what: str) -> InputError:
    """The error for a file whose bytes contradict its format."""
    return InputError(f"{name} is a damaged {kind}: {what}", hint="copy or export it again", code="corrupt")


def segments(name: str, data: bytes) -> Iterator[tuple[int, int, int]]:
    """Walk the markers of a JPEG (ITU-T T.81 annex B) up to and with the first scan: marker, start and end of its data.

    Raises:
        InputError: ``truncated`` or ``corrupt``.
    """
    at, end = 2, len(data)
    while True:
        if at + 4 > end:
            raise truncated(name, "JPEG")
        if data[at] != 0xFF:
            raise corrupt(name, "JPEG", "no marker where one must be")
        marker = data[at + 1]
        if marker == 0xFF:  # a fill byte
            at += 1
            continue
        if marker == 0x01 or 0xD0 <= marker <= 0xD8:  # markers without a length
            at += 2
            continue
        length = (data[at + 2] << 8) | data[at + 3]
        if length < 2 or marker == 0xD9:
            raise corrupt(name, "JPEG", "it ends without an image")
        if at + 2 + length > end:
            raise truncated(name, "JPEG")
        yield marker, at + 4, at + 2 + length
        if marker == 0xDA:
            return
        at += 2 + length


def frame_header(marker: int) -> bool:
    """Whether a JPEG marker starts a frame, which is where the size is written."""
    return 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)


def jpeg(name: str, data: bytes) -> Jpeg:
    """What the markers up to the first scan say.

    Raises:
        InputError: ``truncated`` or ``corrupt``.
    """
    frame: tuple[int, int, int, int] | None = None
    scan = 0
    for marker, start, stop in segments(name, data):
        if frame_header(marker) and stop - start >= 6:
            bits, height, width, components = struct.unpack_from(">BHHB", data, start)
            frame = (height, width, components, bits)
        scan = stop
    if frame is None:
        raise corrupt(name, "JPEG", "image data before the image size")
    return Jpeg(*frame, scan)


def check_jpeg_scan(name: str, data: bytes, scan: int) -> None:
    """Refuse a JPEG whose first scan runs into the end of the file or into an impossible marker.

    OpenCV and libjpeg fill what is missing with grey and say nothing, so it has to be seen here. In entropy-coded
    data 0xFF is followed only by 0 or a restart marker (T.81 B.1.1.5), which makes this one pass over the 0xFF bytes.
    """
    codes = np.frombuffer(data, np.uint8)
    at = np.flatnonzero(codes[scan:-1] == 0xFF) + (scan + 1)
    after = codes[at]
    markers = after[(after != 0) & (after != 0xFF) & ((after & 0xF8) != 0xD0)]
    if not markers.size:
        raise truncated(name, "JPEG")
    first = int(markers[0])
    if first == 0xD9:
        return
    if first not in (0xC4, 0xDA, 0xDB, 0xDC, 0xDD, 0xFE) and not 0xE0 <= first <= 0xEF:
        raise corrupt(name, "JPEG", f"impossible marker FF{first:02X} inside the image data")
    if data.rfind(b"\xff\xd9", scan) < 0:
        raise truncated(name, "JPEG")


def png_size(name: str, head: bytes) -> tuple[int, int]:
    """(height, width) from the IHDR chunk, which must come first."""
    if len(head) < 33:
        raise truncated(name, "PNG")
    if head[12:16] != b"IHDR":
        raise corrupt(name, "PNG", "it does not start with its size")
    width, height = struct.unpack_from(">II", head, 16)
    return int(height), int(width)


def png(name: str, data: bytes) -> Png:
    """Walk the chunks (PNG specification, clause 5), check each CRC, and drop what the pixels do not need.

    Dropping colour profiles and texts also keeps libpng from printing warnings about them.

    Raises:
        InputError: ``truncated`` or ``corrupt``.
    """
    height, width = png_size(name, data)
    view = memoryview(data)
    kept: list[memoryview] = [view[:8]]
    exif, at, whole, transparent = b"", 8, True, False
    for _ in range(_MAX_CHUNKS):
        if at + 12 > len(data):
            raise truncated(name, "PNG")
        (length,) = struct.unpack_from(">I", data, at)
        kind = data[at + 4 : at + 8]
        stop = at + 12 + length
        if stop > len(data):
            raise truncated(name, "PNG")
        if zlib.crc32(view[at + 4 : stop - 4]) != struct.unpack_from(">I", data, stop - 4)[0]:
            raise corrupt(name, "PNG", f"wrong checksum in its {kind.decode('latin-1')!r} part")
        if kind in _NEEDED:
            kept.append(view[at:stop])
            transparent |= kind == b"tRNS"
        else:
            whole = False
            if kind == b"eXIf":
                exif = data[at + 8 : stop - 4]
        at = stop
        if kind == b"IEND":
            break
    else:
        raise corrupt(name, "PNG", f"more than {_MAX_CHUNKS} parts")
    alpha = data[25] in (4, 6) or transparent
    return Png(height, width, alpha, exif, data if whole else b"".join(kept))
