"""Which library decodes which compression of DICOM pixels, and whether a code stream is what the header says.

Several libraries could decode most of them. One is named for each, so that an answer does not depend on what else is
installed, and so that hostile bytes meet as little code as possible: Pillow for JPEG with 8 bits; OpenJPEG
(``pylibjpeg-openjpeg``, MIT and BSD) for JPEG 2000 and its high-throughput form; CharLS (``pyjpegls``, MIT and BSD) for
JPEG-LS; GDCM (``python-gdcm``, Apache and BSD) for JPEG Lossless alone. The other choice for that,
``pylibjpeg-libjpeg``, is under the GPL. GDCM had memory faults in its decoders (for example CVE-2024-22391 and
CVE-2025-11266), so releases before the one asked for in ``pyproject.toml`` are not accepted.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

from tumorlens.errors import InputError
from tumorlens.io.content import Content

_RAW = frozenset(
    {"1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"}
)  # DICOM PS3.5 A.1 to A.3, A.5
_JPEG = "1.2.840.10008.1.2.4."
_EXTENDED = f"{_JPEG}51"
#: Transfer syntax → pydicom's name of the plugin.
PLUGINS = {
    "1.2.840.10008.1.2.5": "pydicom",  # RLE Lossless, PS3.5 annex G
    f"{_JPEG}50": "pillow",  # JPEG baseline, 8 bits
    _EXTENDED: "pillow",  # JPEG extended, of which 8 bits alone can be decoded
    f"{_JPEG}57": "gdcm",  # JPEG Lossless, process 14
    f"{_JPEG}70": "gdcm",  # JPEG Lossless, process 14, selection value 1
    f"{_JPEG}80": "pyjpegls",
    f"{_JPEG}81": "pyjpegls",  # JPEG-LS near-lossless
    f"{_JPEG}90": "pylibjpeg",  # JPEG 2000
    f"{_JPEG}91": "pylibjpeg",
    f"{_JPEG}201": "pylibjpeg",  # HTJ2K
    f"{_JPEG}202": "pylibjpeg",
    f"{_JPEG}203": "pylibjpeg",
}
_JPEG2000 = frozenset(uid for uid, plugin in PLUGINS.items() if plugin == "pylibjpeg")
_FRAMES = frozenset({*range(0xC0, 0xD0), 0xF7}) - {0xC4, 0xC8, 0xCC}  # SOF0 to SOF15 (T.81), SOF55 (T.87)
_ALONE = frozenset({0x01, 0xD8, *range(0xD0, 0xD8)})  # markers without a length


def plugin(syntax: str) -> str:
    """The plugin for a transfer syntax; empty where pydicom itself reads it."""
    return "" if syntax in _RAW else PLUGINS.get(syntax, "")


def check_decoder(content: Content, syntax: str) -> None:
    """Refuse, by name, a compression that no installed decoder reads.

    Raises:
        InputError: ``unsupported``.
    """
    from pydicom.pixels.decoders.base import get_decoder
    from pydicom.uid import UID

    uid = UID(syntax)
    if uid in _RAW or not uid:
        return
    try:
        available = PLUGINS.get(uid, "") in get_decoder(uid).available_plugins
    except NotImplementedError:
        available = False
    if not available:
        raise _unsupported(content, uid.name if uid.name != uid else f"transfer syntax {uid}")


def _unsupported(content: Content, name: str) -> InputError:
    return InputError(
        f"{content.name} is compressed as {name}, which cannot be decoded here",
        hint="export it uncompressed, as RLE or as JPEG 2000 (for example: gdcmconv --raw in.dcm out.dcm)",
        code="unsupported",
    )


def check_code_streams(content: Content, dataset: Any, syntax: str) -> None:
    """Refuse JPEG of any kind whose own size is not the header's: the decoder believes the code stream.

    Raises:
        InputError: ``corrupt``; ``unsupported`` for JPEG extended with 12 bits;
            ``truncated`` where a code stream does not come as far as its size, or one is missing.
    """
    if not syntax.startswith(_JPEG) or "PixelData" not in dataset:
        return
    from pydicom.encaps import generate_frames

    number = int(dataset.get("NumberOfFrames") or 1)
    size = _jpeg2000_size if syntax in _JPEG2000 else _jpeg_size
    found = 0
    for stream in generate_frames(dataset.PixelData, number_of_frames=number):
        found += 1
        own = size(stream)
        if own is None:
            raise cut_off(content)
        if syntax == _EXTENDED and int(dataset.get("BitsAllocated") or 8) > 8:
            raise _unsupported(content, "JPEG Extended with more than 8 bits")
        if own != (int(dataset.Rows), int(dataset.Columns)):
            raise InputError(
                f"{content.name} is a damaged DICOM file: its header says {dataset.Columns} × {dataset.Rows} pixels, "
                f"its compressed data {own[1]} × {own[0]}",
                hint="export it again",
                code="corrupt",
            )
    if found < number:
        raise cut_off(content)


def cut_off(content: Content) -> InputError:
    """The error for pixels that end too early."""
    return InputError(
        f"{content.name} is a cut-off DICOM file: its pixel data is shorter than its header says",
        hint="copy or export it again",
        code="truncated",
    )


def _jpeg2000_size(stream: bytes) -> tuple[int, int] | None:
    """Rows and columns by the SIZ marker (T.800 A.5.1)."""
    at = stream.find(b"\xff\x4f\xff\x51")
    if at < 0 or len(stream) < at + 24:
        return None
    right, bottom, left, top = struct.unpack_from(">IIII", stream, at + 8)
    return bottom - top, right - left


def _jpeg_size(stream: bytes) -> tuple[int, int] | None:
    """Rows and columns by the frame header (T.81 B.2.2, T.87 C.2.2)."""
    for marker, at in _segments(stream):
        if marker in _FRAMES:
            if len(stream) < at + 7:
                return None
            rows, columns = struct.unpack_from(">HH", stream, at + 3)
            return rows, columns
    return None


def _segments(stream: bytes) -> Iterator[tuple[int, int]]:
    """The markers of a JPEG stream before its first scan, each with where its length stands."""
    at = 0
    while at + 4 <= len(stream):
        if stream[at] != 0xFF:
            return
        marker = stream[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
        elif marker in _ALONE:
            at += 2
        elif marker == 0xDA:  # start of scan
            return
        else:
            yield marker, at + 2
            at += 2 + max(2, int.from_bytes(stream[at + 2 : at + 4], "big"))
