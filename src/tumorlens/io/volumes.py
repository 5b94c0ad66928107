"""Decoded frames of a file, and the few most recent ones kept so that reading frame by frame is not quadratic."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from tumorlens.errors import InputError
from tumorlens.io.slice import Slice


@dataclass(frozen=True, slots=True)
class Geometry:
    """What a file says about its frames; see :class:`~tumorlens.io.slice.Slice` for the fields."""

    spacing: tuple[float, float] | None = None
    modality: str | None = None
    plane: str | None = None
    patient: str | None = None
    series: str | None = None
    position: float | None = None
    window: tuple[float, float] | None = None
    weighting: str | None = None
    contrast: bool | None = None


class Pages(Protocol):
    """What is needed of the pixels of a file: how many images, and each of them as an array (H, W)."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> np.ndarray: ...


@dataclass(frozen=True, slots=True)
class Frames:
    """The frames of one file.

    Attributes:
        pixels: each (H, W), in the dtype of the file; float32 is made only of the frame that is asked for.
        single: the file is one image, not a series (its frame number is None).
        geometry: one for all frames, or one per frame.
        scale: (slope, intercept) to apply to the stored values: one for all frames, or one per frame; None for none.
        unrelated: the frames are pictures of their own, not slices of one volume.
        objection: see :class:`~tumorlens.io.slice.Slice`.
        derived: likewise.
        burnt_in: likewise.
    """

    pixels: Pages
    single: bool = False
    geometry: Sequence[Geometry] = (Geometry(),)
    scale: Sequence[tuple[float, float]] | None = None
    unrelated: bool = False
    objection: InputError | None = None
    derived: bool = False
    burnt_in: bool = False

    @property
    def nbytes(self) -> int:
        """About how much memory the pixels take."""
        return len(self.pixels) * int(self.pixels[0].nbytes)

    def slice(self, name: str, frame: int | None) -> Slice:
        """One frame as a :class:`Slice` (a single image may be asked for as None or 0).

        Raises:
            InputError: ``not_found`` for a frame that does not exist, or none named where there are several.
        """
        index = self.index(name, frame)
        stored = self.pixels[index]
        if stored.ndim != 2:
            raise InputError(f"{name} is not a grey image", hint="export it again", code="unsupported")
        pixels = np.ascontiguousarray(stored, dtype=np.float32)
        if self.scale is not None:
            slope, intercept = self.scale[index if len(self.scale) > 1 else 0]
            if (slope, intercept) != (1.0, 0.0):
                # In double precision: a large intercept would eat small differences in single precision.
                pixels = (stored.astype(np.float64) * slope + intercept).astype(np.float32)
        if (stored.dtype.kind == "f" or self.scale is not None) and not np.isfinite(pixels).all():
            pixels = np.nan_to_num(pixels, nan=0.0, posinf=0.0, neginf=0.0)
        about = self.geometry[index if len(self.geometry) > 1 else 0]
        return Slice(
            pixels,
            name,
            frame,
            about.spacing,
            about.modality,
            about.plane,
            about.patient,
            series=about.series if self.single else None if self.unrelated else name,
            position=about.position,
            objection=self.objection,
            derived=self.derived,
            burnt_in=self.burnt_in,
            window=about.window,
            weighting=about.weighting,
            contrast=about.contrast,
        )

    def index(self, name: str, frame: int | None) -> int:
        """Position of a frame in :attr:`pixels`."""
        return frame_index(name, frame, None if self.single else len(self.pixels))


def frame_index(name: str, frame: int | None, count: int | None) -> int:
    """Check a frame number against the number of frames (None: a single image)."""
    if frame is None:
        if count is not None:
            raise InputError(
                f"{name} has {count} frames and none was named",
                hint=f"name a frame from 0 to {count - 1}",
                code="not_found",
            )
        return 0
    if not 0 <= frame < (count or 1):
        raise InputError(
            f"{name} has no frame {frame}",
            hint=f"its frames are 0 to {count - 1}" if count else "it is a single image",
            code="not_found",
        )
    return frame


_ENTRIES = 4
_BYTES = 1 << 30
_lock = threading.Lock()
_recent: OrderedDict[tuple[object, ...], Frames] = OrderedDict()
_loading: dict[tuple[object, ...], threading.Lock] = {}


def recent(key: tuple[object, ...], load: Callable[[], Frames]) -> Frames:
    """The decoded frames of ``key`` from the cache, else from ``load()``, which then stays for a while.

    Thread-safe; two threads that want the same file decode it once.
    """
    with _lock:
        if key in _recent:
            _recent.move_to_end(key)
            return _recent[key]
        mine = _loading.setdefault(key, threading.Lock())
    with mine:
        with _lock:
            if key in _recent:
                return _recent[key]
        try:
            frames = load()
        finally:
            with _lock:
                _loading.pop(key, None)
        with _lock:
            if not frames.single and key[0] != "upload":  # an upload is read once, and patient data does not linger
                _recent[key] = frames
            while len(_recent) > _ENTRIES or (
                len(_recent) > 1 and sum(item.nbytes for item in _recent.values()) > _BYTES
            ):
                _recent.popitem(last=False)
    return frames


def forget() -> None:
    """Drop every cached volume."""
    with _lock:
        _recent.clear()
