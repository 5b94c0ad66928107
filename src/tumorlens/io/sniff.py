"""What a file is, from its first bytes. Its name is only asked where the bytes cannot tell."""

from __future__ import annotations

import gzip
import struct
import zlib

from tumorlens.errors import InputError

#: How many bytes :func:`sniff` wants to see.
HEAD = 1024

RASTER = frozenset({"jpeg", "png", "gif", "bmp", "tiff", "webp"})
IMAGE_EXTENSIONS = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".bmp", ".dib", ".tif", ".tiff", ".webp")
VOLUME_EXTENSIONS = (".dcm", ".dicom", ".ima", ".nii", ".nii.gz", ".mat")
_BARE_DICOM = (".dcm", ".dicom", ".ima")

_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"\xff\xd8\xff", "jpeg"),
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"GIF87a", "gif"),
    (b"GIF89a", "gif"),
    (b"II*\x00", "tiff"),
    (b"MM\x00*", "tiff"),
    (b"II+\x00", "tiff"),
    (b"MM\x00+", "tiff"),
    (b"PK\x03\x04", "zip"),
    (b"PK\x05\x06", "zip"),
    (b"\x89HDF\r\n\x1a\n", "hdf5"),
)
_OTHERS: tuple[tuple[bytes, str], ...] = (
    (b"%PDF", "a PDF document"),
    (b"Rar!", "a RAR archive"),
    (b"7z\xbc\xaf'\x1c", "a 7-Zip archive"),
    (b"\x7fELF", "a program"),
    (b"MZ", "a Windows program"),
    (b"MATLAB 5.0", "an old (v5) MATLAB file"),
    (b"\x93NUMPY", "a NumPy .npy array"),
    (b"\x00\x00\x00\x0cjP", "a JPEG 2000 image"),
    (b"\xff\x4f\xff\x51", "a JPEG 2000 code stream"),
    (b"8BPS", "a Photoshop file"),
)


def sniff(head: bytes, name: str) -> str:
    """The format: a member of :data:`RASTER`, ``dicom``, ``nifti``, ``nifti.gz``, ``hdf5``, ``zip`` or ``npz``.

    Args:
        head: the first :data:`HEAD` bytes, or all when there are fewer.
        name: the file name, used only for DICOM without its preamble and to tell ``.npz`` from ``.zip``.

    Raises:
        InputError: ``not_an_image`` or ``unsupported``, saying what the bytes look like.
    """
    lower = name.lower()
    if head[128:132] == b"DICM":
        return "dicom"
    for magic, kind in _MAGIC:
        if head.startswith(magic):
            # HDF5 allows a user block in front: MATLAB v7.3 writes 512 bytes of text there, handled below.
            return "npz" if kind == "zip" and lower.endswith(".npz") else kind
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "webp"
    if (
        head.startswith(b"BM")
        and len(head) >= 18
        and struct.unpack_from("<I", head, 14)[0] in (12, 40, 52, 56, 108, 124)
    ):
        return "bmp"
    if head.startswith(b"MATLAB 7.3") or head[512:520] == b"\x89HDF\r\n\x1a\n":
        return "hdf5"
    if _is_nifti(head):
        return "nifti"
    if head.startswith(b"\x1f\x8b"):
        if _is_nifti(_peek_gzip(head)) or lower.endswith(".nii.gz"):
            return "nifti.gz"
        raise _refused(name, "a gzip archive", "unpack it first", "unsupported")
    if lower.endswith(_BARE_DICOM) and _looks_like_bare_dicom(head):
        return "dicom"
    if not head.strip(b"\x00"):
        raise _refused(name, "nothing but zero bytes", "copy it again", "not_an_image")
    for magic, words in _OTHERS:
        if head.startswith(magic):
            raise _refused(name, words, "give a PNG, JPEG, DICOM, NIfTI or v7.3 .mat file", "not_an_image")
    words = "text" if _is_text(head) else "no image format known here"
    if head.lstrip()[:1] == b"<":
        words = "a web page or XML (a download that failed?)"
    raise _refused(name, words, "give a PNG, JPEG, BMP, TIFF, WebP, GIF, DICOM, NIfTI or .mat file", "not_an_image")


def _refused(name: str, words: str, hint: str, code: str) -> InputError:
    return InputError(f"{name} holds {words}; expected an image", hint=hint, code=code)


def _is_nifti(head: bytes) -> bool:
    return head[344:348] in (b"n+1\x00", b"ni1\x00") or head[4:8] in (b"n+2\x00", b"ni2\x00")


def _peek_gzip(head: bytes) -> bytes:
    try:
        return zlib.decompressobj(16 + zlib.MAX_WBITS).decompress(head, 540)
    except (zlib.error, gzip.BadGzipFile):
        return b""


def _looks_like_bare_dicom(head: bytes) -> bool:
    """Whether the first data element is one of group 0002 or 0008 in either byte order (PS3.5 section 7.1)."""
    return len(head) >= 8 and head[:4] in {
        struct.pack(order + "HH", group, element)
        for order in "<>"
        for group in (0x0002, 0x0008)
        for element in (0x0000, 0x0001, 0x0005, 0x0008, 0x0010, 0x0012, 0x0016)
    }


def _is_text(head: bytes) -> bool:
    sample = head[:512]
    return bool(sample) and all(byte in b"\t\n\r\f" or byte >= 32 for byte in sample)
