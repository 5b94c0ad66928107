"""NIfTI-1 and NIfTI-2 volumes, cut into slices as a radiologist looks at them.

The slices lie across the axis along which the volume was acquired: the one with the clearly largest spacing, else the
axial one. They are turned, by the volume's affine, to the radiological view: anterior up in axial slices, superior up
in coronal and sagittal ones, the patient's right on the left. Frames are numbered along that axis from inferior,
posterior or left. Of a 4-D file the first volume is taken.
"""

from __future__ import annotations

import contextlib
import gzip
import math
from collections.abc import Iterator
from typing import Any, BinaryIO, cast

import numpy as np

from tumorlens.errors import InputError
from tumorlens.io.content import Content
from tumorlens.io.guard import decoding, extra
from tumorlens.io.header import truncated
from tumorlens.io.inspecting import Header
from tumorlens.io.limits import Limits, too_large
from tumorlens.io.raster import luminance
from tumorlens.io.volumes import Frames, Geometry

# A spacing this much larger than the other two marks the acquisition axis; less is called isotropic.
_CLEARLY = 1.1
_PLANES = ("sagittal", "coronal", "axial")
_PIECE = 1 << 24  # bytes read at a time: gzip holds as many again


def inspect(content: Content, kind: str, limits: Limits) -> Header:
    """Number of slices, from the header.

    Raises:
        InputError: ``corrupt``, ``truncated``, ``too_large``, ``unsupported``.
        MissingExtraError: without nibabel.
    """
    with decoding(content.name, "NIfTI"), _opened(content, kind) as file:
        header = _header(content, file)
        order, _flips, axis = _view(header)
        return Header("nifti", _checked_shape(content, header, limits)[order[axis]])


def frames(content: Content, kind: str, limits: Limits) -> Frames:
    """Decode the (first) volume.

    Raises:
        InputError: as :func:`inspect`.
        MissingExtraError: without nibabel.
    """
    with decoding(content.name, "NIfTI"), _opened(content, kind) as file:
        header = _header(content, file)
        shape = _checked_shape(content, header, limits)
        stored = _first_volume(content, header, file, shape)
        order, flips, axis = _view(header)
        # From here on the axes are x → right, y → anterior, z → superior (RAS).
        volume = stored.transpose(*order, *range(3, stored.ndim))
        for index, flip in enumerate(flips):
            if flip:
                volume = np.flip(volume, index)
        zooms = [_zoom(header, at) for at in order]
        rows, columns = {0: (2, 1), 1: (2, 0), 2: (1, 0)}[axis]
        # Rows from superior or anterior downwards, columns from the patient's right or anterior on the left.
        seen = volume.transpose(axis, rows, columns, *range(3, volume.ndim))[:, ::-1, ::-1]
        pages = [luminance(page) for page in seen]
        spacing = (zooms[rows], zooms[columns])
        plane = _PLANES[axis] if _affine(header) is not None else None
        about = Geometry(spacing=spacing if min(spacing) > 0 else None, plane=plane)
        return Frames(tuple(pages), geometry=(about,), scale=(_scale(header),))


@contextlib.contextmanager
def _opened(content: Content, kind: str) -> Iterator[BinaryIO]:
    with content.open() as raw:
        if kind == "nifti.gz":
            with gzip.open(raw) as unpacked:
                yield cast(BinaryIO, unpacked)
        else:
            yield raw


def _header(content: Content, file: BinaryIO) -> Any:
    with extra("nibabel", "nifti"):
        import nibabel
    start = file.read(540)
    if len(start) < 348:
        raise truncated(content.name, "NIfTI file")
    version2 = start[4:8] in (b"n+2\x00", b"ni2\x00")
    pair = (start[4:8] if version2 else start[344:348])[:2] == b"ni"
    if pair:
        raise InputError(
            f"{content.name} is half of a .hdr/.img pair", hint="convert it to one .nii file", code="unsupported"
        )
    kind = nibabel.Nifti2Header if version2 else nibabel.Nifti1Header
    file.seek(0)
    if version2 and len(start) < 540:
        raise truncated(content.name, "NIfTI file")
    header = kind(start[: 540 if version2 else 348], check=False)
    dims = int(header["dim"][0])
    if not 2 <= dims <= 7:
        raise InputError(f"{content.name} has {dims} dimensions", hint="export it again", code="corrupt")
    return header


def _checked_shape(content: Content, header: Any, limits: Limits) -> tuple[int, int, int]:
    shape = [int(size) for size in header.get_data_shape()]
    if any(size < 1 for size in shape):
        raise InputError(f"{content.name} has an axis without samples", hint="export it again", code="corrupt")
    first = (*shape, 1, 1)[:3]
    largest = sorted(first)
    limits.check_frames(content.name, 1, largest[1], largest[2])
    if max(first) > limits.frames or math.prod(first) > limits.file_pixels:
        raise too_large(
            content.name, f"{first[0]} × {first[1]} × {first[2]} voxels", f"{limits.file_pixels / 1e6:g} million"
        )
    dtype = header.get_data_dtype()
    limits.check_bytes(content.name, math.prod(first) * dtype.itemsize)
    if dtype.kind not in "iuf" and dtype.names is None:
        raise InputError(
            f"{content.name} holds values of type {dtype}; whole or real numbers are expected",
            hint="export the magnitude image",
            code="unsupported",
        )
    return first[0], first[1], first[2]


def _first_volume(content: Content, header: Any, file: BinaryIO, shape: tuple[int, int, int]) -> np.ndarray:
    """Exactly the bytes of the first volume: what a gzip bomb holds behind them is never unpacked."""
    dtype = header.get_data_dtype()
    wanted = math.prod(shape) * dtype.itemsize
    offset = int(header["vox_offset"]) or (544 if header["sizeof_hdr"] == 540 else 352)
    if not 348 <= offset <= 1 << 24:
        raise InputError(f"{content.name} starts its data at byte {offset}", hint="export it again", code="corrupt")
    if content.data is None and not isinstance(file, gzip.GzipFile) and content.size < offset + wanted:
        raise truncated(content.name, "NIfTI file")
    file.seek(0)
    if len(file.read(offset)) < offset:
        raise truncated(content.name, "NIfTI file")
    volume: np.ndarray = _filled(content, file, wanted).view(dtype).reshape(shape, order="F")
    if dtype.names is not None:  # RGB24 or RGBA32
        return np.stack([volume[name] for name in dtype.names], axis=-1)
    # The dtype of the machine, and single precision at most: half the memory.
    return volume.astype(np.float32) if dtype.kind == "f" else volume.astype(dtype.newbyteorder("="), copy=False)


def _filled(content: Content, file: BinaryIO, count: int) -> np.ndarray:
    """The next ``count`` bytes: uint8 (count,), read a piece at a time into their place."""
    # Not zeroed: of a file that is cut off, only as much memory is used as was read.
    held = np.empty(count, np.uint8)
    at = 0
    while at < count:
        try:
            read = file.readinto(held[at : at + _PIECE])  # type: ignore[attr-defined]
        except EOFError as error:
            raise truncated(content.name, "NIfTI file") from error
        if not read:
            raise truncated(content.name, "NIfTI file")
        at += read
    return held


def _affine(header: Any) -> np.ndarray | None:
    affine = np.asarray(header.get_best_affine(), dtype=np.float64)
    directions = affine[:3, :3]
    if not np.isfinite(affine).all() or abs(np.linalg.det(directions)) < 1e-12:
        return None
    return affine


def _view(header: Any) -> tuple[list[int], list[bool], int]:
    """Which stored axis is x, y, z (RAS), which of them run backwards, and the axis (0-2, RAS) to cut across."""
    from nibabel.orientations import io_orientation

    affine = _affine(header)
    order, flips = [0, 1, 2], [False, False, False]
    if affine is not None:
        found = io_orientation(affine)
        order = [int(at) for at in np.argsort(found[:, 0])]
        flips = [found[at, 1] < 0 for at in order]
    zooms = [_zoom(header, at) for at in order]
    thick = max(range(3), key=lambda at: zooms[at])
    others = max(zoom for at, zoom in enumerate(zooms) if at != thick)
    return order, flips, thick if zooms[thick] > _CLEARLY * others else 2


def _zoom(header: Any, axis: int) -> float:
    zooms = header.get_zooms()
    zoom = float(zooms[axis]) if axis < len(zooms) else 1.0
    return abs(zoom) if math.isfinite(zoom) else 0.0


def _scale(header: Any) -> tuple[float, float]:
    slope, intercept = header.get_slope_inter()
    return (1.0, 0.0) if slope is None else (float(slope), float(intercept or 0.0))
