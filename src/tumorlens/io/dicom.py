"""DICOM files: pixels after the modality transformation, and what the header says about them.

No window is applied: the values are those of PS3.3 C.11.1 (rescale slope and intercept, or modality LUT).
MONOCHROME1 is inverted so that large values are bright; colour becomes luminance.
"""

from __future__ import annotations

import struct
import zlib
from typing import Any

import numpy as np

from tumorlens.errors import InputError
from tumorlens.io import dicom_geometry as geometry
from tumorlens.io.content import Content
from tumorlens.io.dicom_codecs import check_code_streams, check_decoder, cut_off, plugin
from tumorlens.io.dicom_kind import derived, modality, objection
from tumorlens.io.dicom_values import without_padding
from tumorlens.io.guard import decoding, extra
from tumorlens.io.header import corrupt
from tumorlens.io.inspecting import Header
from tumorlens.io.limits import Limits
from tumorlens.io.raster import luminance
from tumorlens.io.volumes import Frames

_DEFLATED = "1.2.840.10008.1.2.1.99"
# The file meta group is a few hundred bytes; its private information may be longer, but hardly this long.
_META_BYTES = 1 << 18
# Value representations whose length has 32 bits (PS3.5 7.1.2).
_LONG = frozenset({b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"})
#: Where pixels may be (PS3.3 C.7.6.3, C.7.6.24, C.7.6.25).
PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")


def inspect(content: Content, kind: str, limits: Limits) -> Header:
    """Frames and patient, from the header.

    Raises:
        InputError: no image in it, too large, a compression that cannot be decoded here, damaged.
        MissingExtraError: without pydicom.
    """
    with decoding(content.name, "DICOM"):
        dataset = open_dataset(content, limits, pixels=False)
        frames = _check_size(content, dataset, limits)
        check_decoder(content, _syntax(dataset))
        return Header(
            "dicom",
            frames,
            _text(dataset, "PatientID"),
            series=_text(dataset, "SeriesInstanceUID"),
            instance=_text(dataset, "SOPInstanceUID"),
            study=_text(dataset, "StudyInstanceUID"),
            burnt_in=_burnt_in(dataset),
            objection=objection(dataset, content.name),
        )


def frames(content: Content, kind: str, limits: Limits) -> Frames:
    """Decode all frames.

    Raises:
        InputError: as :func:`inspect`, and ``truncated``.
        MissingExtraError: without pydicom.
    """
    with decoding(content.name, "DICOM"):
        dataset = open_dataset(content, limits, pixels=True)
        count = _check_size(content, dataset, limits)
        if not any(name in dataset for name in PIXELS):
            raise _no_image(content, dataset)
        check_decoder(content, _syntax(dataset))
        check_code_streams(content, dataset, _syntax(dataset))
        inverted = _text(dataset, "PhotometricInterpretation") == "MONOCHROME1"
        stored = without_padding(_stored(content, dataset), dataset, bright=inverted)
        number = count or 1
        stack = stored.reshape((number, *stored.shape[stored.ndim - (3 if _is_colour(dataset) else 2) :]))
        pages = [luminance(page) for page in stack]
        scale = [geometry.scale(dataset, index) for index in range(number)]
        if "ModalityLUTSequence" in dataset:
            from pydicom.pixels import apply_modality_lut

            pages = [np.asarray(apply_modality_lut(page, dataset)) for page in pages]
            scale = [(1.0, 0.0)]
        plain = scale
        if inverted:
            scale = _inverted(dataset, pages, scale)
        # What a value and its inverted one add up to: -s·x + j and s·x + i.
        mirrors = [one[1] + other[1] if inverted else None for one, other in zip(plain, scale, strict=True)]
        return Frames(
            tuple(pages),
            single=count is None,
            geometry=[geometry.about(dataset, i, mirrors[i if len(mirrors) > 1 else 0]) for i in range(number)],
            scale=scale,
            objection=objection(dataset, content.name),
            derived=derived(dataset),
            burnt_in=_burnt_in(dataset),
        )


def open_dataset(content: Content, limits: Limits, *, pixels: bool) -> Any:
    """The data set of a file, its transfer syntax known and its size bounded; to be used inside ``decoding``.

    Args:
        content: the file.
        limits: of its bytes, unpacked where it is deflated.
        pixels: read them too.

    Returns:
        ``pydicom.Dataset``, of which most elements are not parsed yet; without elements where the file is cut off.

    Raises:
        InputError: ``too_large``, ``not_an_image`` (no DICOM), ``corrupt``.
        MissingExtraError: without pydicom.
    """
    with extra("pydicom", "dicom"):
        import pydicom
    limits.check_bytes(content.name, content.size)
    head = content.head(132)
    bare = head[128:132] != b"DICM"
    _check_deflate(content, limits)
    with content.open() as file:
        dataset = pydicom.dcmread(file, force=bare, stop_before_pixels=not pixels, defer_size=None)
    if bare and "SOPClassUID" not in dataset and "Rows" not in dataset:
        raise InputError(
            f"{content.name} has a DICOM name but no DICOM content", hint="export it again", code="not_an_image"
        )
    if not _syntax(dataset):
        # What pydicom found out by trying; compressed data cannot be recognised without the file meta group.
        implicit, little = dataset.original_encoding
        uid = pydicom.uid.ExplicitVRLittleEndian if little else pydicom.uid.ExplicitVRBigEndian
        dataset.file_meta = getattr(dataset, "file_meta", None) or pydicom.dataset.FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = pydicom.uid.ImplicitVRLittleEndian if implicit else uid
    return dataset


def _check_size(content: Content, dataset: Any, limits: Limits) -> int | None:
    """Number of frames, None for one; the size in the header is checked against the limits."""
    if dataset.get("Rows") is None or dataset.get("Columns") is None:
        raise _no_image(content, dataset)
    rows, columns = int(dataset.Rows), int(dataset.Columns)
    count = int(dataset.get("NumberOfFrames") or 1)
    limits.check_frames(content.name, count, rows, columns)
    if int(dataset.get("SamplesPerPixel") or 1) not in (1, 3):
        raise InputError(
            f"{content.name} has {dataset.SamplesPerPixel} values per pixel; 1 or 3 are expected",
            hint="export it as grey",
            code="unsupported",
        )
    return count if count > 1 else None


def _no_image(content: Content, dataset: Any) -> InputError:
    kind = modality(dataset) or "DICOM"
    if not len(dataset):
        return InputError(
            f"{content.name} is a cut-off DICOM file: it ends before its image",
            hint="copy or export it again",
            code="truncated",
        )
    return InputError(
        f"{content.name} is a {kind} file without an image in it",
        hint="give the image files of the series; reports, directories and presentation states have no pixels",
        code="not_an_image",
    )


def _stored(content: Content, dataset: Any) -> np.ndarray:
    from pydicom.pixels import apply_color_lut, pixel_array

    try:
        stored = np.asarray(pixel_array(dataset, decoding_plugin=plugin(_syntax(dataset))))
    except ValueError as error:
        text = str(error)
        if "less than expected" in text or ("expected" in text and "actual" in text) or "fewer" in text:
            raise cut_off(content) from error
        raise
    except (EOFError, IndexError, struct.error) as error:
        raise cut_off(content) from error
    if _text(dataset, "PhotometricInterpretation") == "PALETTE COLOR":
        return np.asarray(apply_color_lut(stored, dataset))
    return stored


def _is_colour(dataset: Any) -> bool:
    return int(dataset.get("SamplesPerPixel") or 1) == 3 or (
        _text(dataset, "PhotometricInterpretation") == "PALETTE COLOR"
    )


def _inverted(dataset: Any, pages: list[np.ndarray], scale: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Scales that turn dark into bright, about the middle of what the stored bits can hold (alike for all frames)."""
    bits = int(dataset.get("BitsStored") or dataset.get("BitsAllocated") or 16)
    if all(page.dtype.kind in "iu" for page in pages) and "ModalityLUTSequence" not in dataset and bits <= 32:
        ends: float = -1 if int(dataset.get("PixelRepresentation") or 0) else (1 << bits) - 1
    else:
        ends = float(max(page.max() for page in pages)) + float(min(page.min() for page in pages))
    return [(-slope, intercept + slope * ends) for slope, intercept in scale]


def _syntax(dataset: Any) -> str:
    return str(getattr(dataset.file_meta, "TransferSyntaxUID", "") or "") if hasattr(dataset, "file_meta") else ""


def _text(dataset: Any, keyword: str) -> str:
    value = dataset.get(keyword)
    return "" if value is None else str(value).strip("\x00 ")


def _burnt_in(dataset: Any) -> bool:
    return _text(dataset, "BurnedInAnnotation").upper() == "YES"


def _check_deflate(content: Content, limits: Limits) -> None:
    """Bound what a deflated data set unpacks to; pydicom would unpack all of it."""
    start = _deflated_from(content)
    if start is None:
        return
    unpack = zlib.decompressobj(-zlib.MAX_WBITS)
    total, rest = 0, content.bytes(limits)[start:]
    while rest and not unpack.eof:
        total += len(unpack.decompress(rest, 1 << 22))
        rest = unpack.unconsumed_tail
        limits.check_bytes(content.name, total)


def _deflated_from(content: Content) -> int | None:
    """Where a deflated data set begins; None for others.

    The file meta group (PS3.10 7.1) is walked as pydicom walks it, whatever its length is said to be.
    """
    head, at, syntax = content.head(_META_BYTES), 132, b""
    if head[128:132] != b"DICM":
        return None
    while head[at : at + 2] == b"\x02\x00" and at + 12 <= len(head):
        kind = head[at + 4 : at + 6]
        if not kind.isalpha():  # without value representations, against the standard
            size, start = struct.unpack_from("<I", head, at + 4)[0], at + 8
        elif kind in _LONG:
            size, start = struct.unpack_from("<I", head, at + 8)[0], at + 12
        else:
            size, start = struct.unpack_from("<H", head, at + 6)[0], at + 8
        if head[at + 2 : at + 4] == b"\x10\x00":
            syntax = head[start : start + size]
        at = start + size
    if at + 12 > len(head) and content.size > len(head):
        raise corrupt(content.name, "DICOM file", "its header is longer than that of any image")
    return at if syntax.strip(b"\0 ") == _DEFLATED.encode() else None
