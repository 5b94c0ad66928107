"""MATLAB v7.3 (HDF5) files of the Figshare brain-tumour data set (Cheng 2015): the struct ``cjdata``.

``label`` 1 meningioma, 2 glioma, 3 pituitary; ``PID``; ``image`` (int16); ``tumorBorder``; ``tumorMask``. MATLAB
stores columns first, so arrays are transposed.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from tumorlens.errors import InputError
from tumorlens.io.content import Content
from tumorlens.io.guard import decoding, extra
from tumorlens.io.inspecting import Header
from tumorlens.io.limits import Limits, too_large
from tumorlens.io.volumes import Frames, Geometry

_LABELS = {1: "meningioma", 2: "glioma", 3: "pituitary"}
_FIELDS = ("image", "tumorMask")


def inspect(content: Content, kind: str, limits: Limits) -> Header:
    """Class, patient and whether there is a mask.

    Raises:
        InputError: ``unsupported`` when it holds no ``cjdata`` struct, ``corrupt``, ``too_large``.
        MissingExtraError: without h5py.
    """
    with decoding(content.name, "MATLAB v7.3"), _struct(content) as struct:
        _field(content, struct, content.inner or "image", limits)
        if content.inner:
            return Header("hdf5", None, _patient(content, struct, limits))
        mask = f"{content.name}!tumorMask" if "tumorMask" in struct else ""
        return Header("hdf5", None, _patient(content, struct, limits), _label(content, struct, limits), mask)


def frames(content: Content, kind: str, limits: Limits) -> Frames:
    """The image, or the field named behind the ``!``.

    Raises:
        InputError: as :func:`inspect`.
        MissingExtraError: without h5py.
    """
    with decoding(content.name, "MATLAB v7.3"), _struct(content) as struct:
        pixels = np.asarray(_field(content, struct, content.inner or "image", limits)[()]).T
        patient = _patient(content, struct, limits) or None
        return Frames((pixels,), single=True, geometry=(Geometry(modality="MR", patient=patient),))


@contextlib.contextmanager
def _struct(content: Content) -> Iterator[Any]:
    with extra("h5py", "mat"):
        import h5py
    # From memory: HDF5 must not be able to follow a name in the file to another file on this machine.
    with content.open() as raw, h5py.File(raw, "r") as file:
        struct = _own(file, "cjdata")
        if not isinstance(struct, h5py.Group):
            raise InputError(
                f"{content.name} has no 'cjdata' struct; it holds {', '.join(sorted(file)[:8]) or 'nothing'}",
                hint="only the .mat files of the Figshare brain-tumour data set are read; export yours as PNG or NIfTI",
                code="unsupported",
            )
        yield struct


def _own(group: Any, name: str) -> Any:
    """A member that lies in this very file (a link to another file is treated as missing)."""
    import h5py

    return group[name] if isinstance(group.get(name, getlink=True), h5py.HardLink) else None


def _field(content: Content, struct: Any, name: str, limits: Limits, *, image: bool = True) -> Any:
    import h5py

    found = _own(struct, name) if not image or name in _FIELDS else None
    if not isinstance(found, h5py.Dataset):
        raise InputError(
            f"{content.name} has no field {name!r}", hint=f"its fields are {', '.join(_FIELDS)}", code="not_found"
        )
    if found.external or found.is_virtual or found.dtype.kind not in "iufb":
        raise InputError(f"{content.name} keeps {name!r} elsewhere or as no numbers", hint="", code="unsupported")
    if image and found.ndim != 2:
        raise InputError(f"{content.name} has {found.ndim} dimensions in {name!r}; 2 are expected", code="corrupt")
    if image:
        limits.check_image(content.name, int(found.shape[0]), int(found.shape[1]))
    elif math.prod(found.shape) > 4096:
        raise too_large(content.name, f"{math.prod(found.shape)} values in {name!r}", "4096")
    return found


def _label(content: Content, struct: Any, limits: Limits) -> str:
    values = np.ravel(_field(content, struct, "label", limits, image=False)[()])
    return _LABELS.get(int(values[0]), "") if values.size and np.isfinite(values[0]) else ""


def _patient(content: Content, struct: Any, limits: Limits) -> str:
    """The PID: a row of UTF-16 code units, as MATLAB stores text."""
    if _own(struct, "PID") is None:
        return ""
    codes = np.ravel(_field(content, struct, "PID", limits, image=False)[()])
    return codes.astype("<u2").tobytes().decode("utf-16-le", errors="replace").strip("\x00 ")
