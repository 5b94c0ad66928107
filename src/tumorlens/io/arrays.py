"""Arrays of images in an ``.npz`` file, as MedMNIST has them: ``set.npz!train_images``."""

from __future__ import annotations

import hashlib
import math
import os
from typing import IO, Any

import numpy as np

from tumorlens.errors import InputError
from tumorlens.io import archive
from tumorlens.io.content import Content
from tumorlens.io.files import find
from tumorlens.io.guard import decoding
from tumorlens.io.inspecting import Header
from tumorlens.io.limits import DEFAULT, Limits, too_large
from tumorlens.io.raster import luminance
from tumorlens.io.slice import Slice
from tumorlens.io.volumes import Frames

_MAX_VALUES = 10_000_000


def inspect(content: Content, kind: str, limits: Limits) -> Header:
    """Number of images in the array, from its header; None for one (H, W) array.

    Raises:
        InputError: no such array, no images, too large, damaged.
    """
    with decoding(content.name, "npz"):
        shape, _dtype = _image_header(content, _one(content, limits), limits)
        return Header("npz", shape[0] if len(shape) > 2 else None)


def frames(content: Content, kind: str, limits: Limits) -> Frames:
    """Read the array.

    Raises:
        InputError: as :func:`inspect`.
    """
    with decoding(content.name, "npz"):
        name = _one(content, limits)
        shape, _dtype = _image_header(content, name, limits)
        images = _array(content, name, limits)
        if len(shape) == 2:
            return Frames((images,), single=True)
        return Frames(_Grey(images), unrelated=True)


def digest(content: Content, limits: Limits) -> str:
    """SHA-256 (hex) of the array named in ``content.inner``: its shape, order and type, then its bytes.

    The same bytes in another shape are other pictures. The rest of the header (version, padding) is the writer's own.

    Raises:
        InputError: no such array, damaged.
    """
    with decoding(content.name, "npz"), archive.open_member(content, f"{content.inner}.npy", limits) as file:
        shape, fortran, dtype = _npy_header(file)
        total = hashlib.sha256(repr((shape, fortran, dtype.str)).encode())
        while block := file.read(1 << 20):
            total.update(block)
        return total.hexdigest()


def image_arrays(content: Content, limits: Limits) -> list[str]:
    """Names of the arrays that hold images, in the order of the file.

    Raises:
        InputError: damaged, or no array of images in it.
    """
    with decoding(content.name, "npz"):
        names = [name for name in _names(content, limits) if _is_images(*_header(content, name, limits))]
    if not names:
        raise InputError(
            f"{content.name} holds no array of images",
            hint="expected arrays of (N, H, W) or (N, H, W, 3), for example train_images",
            code="not_an_image",
        )
    return names


def from_array(array: np.ndarray, name: str) -> Slice:
    """An array in memory as the slice that a file of the same pixels would be.

    Args:
        array: grey (H, W) or (H, W, 1), red-green-blue (H, W, 3) or with alpha (H, W, 4), of any numeric type.
        name: what to call it.

    Raises:
        InputError: ``not_an_image`` for any other array.
    """
    channels = array.shape[2] if array.ndim == 3 else 1
    if array.ndim not in (2, 3) or channels not in (1, 3, 4) or not array.size or array.dtype.kind not in "biuf":
        raise InputError(
            f"found an array of shape {array.shape} and type {array.dtype}, expected numbers (H, W) or (H, W, 3)",
            hint="pass one slice; for a volume pass a list of its slices",
            code="not_an_image",
        )
    return Frames((luminance(array),), single=True).slice(name, None)


def image_array_names(path: str, *, limits: Limits = DEFAULT) -> list[str]:
    """Names of the arrays of an ``.npz`` file that hold images.

    Raises:
        InputError: when it is no ``.npz`` file, damaged, or holds no images.
    """
    return image_arrays(_npz(path, limits), limits)


def array_names(path: str, *, limits: Limits = DEFAULT) -> list[str]:
    """Names of all arrays in an ``.npz`` file.

    Raises:
        InputError: when it is no ``.npz`` file, or damaged.
    """
    content = _npz(path, limits)
    with decoding(content.name, "npz"):
        return _names(content, limits)


def read_values(path: str, name: str, *, limits: Limits = DEFAULT) -> np.ndarray:
    """A small array (labels) of an ``.npz`` file: numbers or text, never objects.

    Raises:
        InputError: ``not_found``, ``too_large``, ``corrupt``.
    """
    content = _npz(path, limits)
    with decoding(content.name, "npz"):
        shape, dtype = _header(content, name, limits)
        if math.prod(shape) > _MAX_VALUES or math.prod(shape) * dtype.itemsize > limits.member_bytes:
            raise too_large(content.name, f"{math.prod(shape)} values in {name}", str(_MAX_VALUES))
        return _array(content, name, limits)


class _Grey:
    """A stack (N, H, W[, C]) as a sequence of grey images, converted one at a time."""

    def __init__(self, images: np.ndarray) -> None:
        self._images = images

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: Any) -> Any:
        return luminance(self._images[index])


def _npz(path: str, limits: Limits) -> Content:
    content, kind = find(path, limits)
    if kind != "npz":
        raise InputError(f"{path} is no .npz file", hint="give a MedMNIST-style .npz", code="unsupported")
    return content


def _names(content: Content, limits: Limits) -> list[str]:
    return [os.path.splitext(item.name)[0] for item in archive.members(content, limits) if item.name.endswith(".npy")]


def _one(content: Content, limits: Limits) -> str:
    if content.inner:
        return content.inner
    names = image_arrays(content, limits)
    if len(names) > 1:
        raise InputError(
            f"{content.name} holds {len(names)} arrays of images",
            hint=f"name one: {content.name}!{names[0]}",
            code="not_found",
        )
    return names[0]


def _header(content: Content, name: str, limits: Limits) -> tuple[tuple[int, ...], np.dtype]:
    with archive.open_member(content, f"{name}.npy", limits) as file:
        shape, _fortran, dtype = _npy_header(file)
    if dtype.hasobject:
        raise InputError(
            f"{content.name} keeps Python objects in {name}, which are not loaded for safety",
            hint="save plain numbers",
            code="unsupported",
        )
    return tuple(int(size) for size in shape), dtype


def _npy_header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read(file)
    return shape, fortran, dtype


def _is_images(shape: tuple[int, ...], dtype: np.dtype) -> bool:
    """(H, W), (N, H, W) or (N, H, W, C); labels (N, 1) are no image."""
    if dtype.kind not in "biuf" or min(shape, default=0) < 1:
        return False
    return len(shape) == 3 or (len(shape) == 4 and shape[3] <= 4) or (len(shape) == 2 and min(shape) > 8)


def _image_header(content: Content, name: str, limits: Limits) -> tuple[tuple[int, ...], np.dtype]:
    shape, dtype = _header(content, name, limits)
    if not _is_images(shape, dtype):
        raise InputError(
            f"{content.name} is an array of shape {shape}, which is no set of images",
            hint="expected (N, H, W) or (N, H, W, 3)",
            code="not_an_image",
        )
    height, width = shape[:2] if len(shape) == 2 else shape[1:3]
    limits.check_image(content.name, height, width)
    if len(shape) > 2 and shape[0] > limits.array_items:
        raise too_large(content.name, f"{shape[0]} images", str(limits.array_items))
    if math.prod(shape) > limits.file_pixels:
        raise too_large(content.name, f"{math.prod(shape)} values", f"{limits.file_pixels / 1e6:g} million")
    return shape, dtype


def _array(content: Content, name: str, limits: Limits) -> np.ndarray:
    with archive.open_member(content, f"{name}.npy", limits) as file:
        return np.asarray(np.lib.format.read_array(file, allow_pickle=False))
