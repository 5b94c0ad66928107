"""Heads as a CT scanner shows them: what a gate for brain MRI must refuse, and most resembles one.

The same drawn anatomy with attenuation in the place of signal, in Hounsfield units typical of each tissue, seen through
one of the usual windows (brain, stroke, subdural, soft tissue, bone).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from types import MappingProxyType
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from .acquisition import OVERSAMPLING
from .fields import Array
from .patients import PLANES, Block, Patient, PhantomSlice

__all__ = ["LEVELS", "SLICES", "ct_slices"]

_UNITS: Final = MappingProxyType(
    {
        "air": -100, "csf": 8, "grey": 38, "deep_grey": 39, "white": 29, "fat": -85, "muscle": 55, "skin": 50,
        "bone": 1100, "marrow": 450, "mucosa": 40, "vitreous": 8, "lens": 90, "gland": 40, "choroid": 90, "blood": 48,
        "flow_void": 48, "dura": 60, "gliosis": 22, "calcium": 400, "glioma_rim": 45, "glioma_low": 22, "necrosis": 15,
        "oedema": 18, "meningioma": 52, "adenoma": 42,
    }
)  # fmt: skip
# Level and width in Hounsfield units.
_WINDOWS: Final = ((40, 80), (40, 40), (60, 200), (50, 350), (400, 1800))
_CHANCES: Final = (0.5, 0.15, 0.15, 0.1, 0.1)
# From the skull base to the vertex, from the face to the back of the head, from ear to ear: mm from the sella.
LEVELS: Final = {"axial": (-12, 88), "coronal": (-60, 30), "sagittal": (-45, 45)}
SLICES: Final = 2
# Painting varies brightness by shares; soft tissue must lie well above zero, and close together.
_ZERO, _SCALE = -100.0, 200.0


class _CtPatient(Patient):
    """A patient of the phantom in a CT scanner."""

    def __init__(self, seed: int, k: int) -> None:
        rng = np.random.default_rng([seed, k, 5])
        plane = str(rng.choice(PLANES, p=(0.7, 0.15, 0.15)))
        super().__init__(seed, k, Block(label="no_tumor", slices=SLICES, plane=plane, sequence="t1", free=False))
        self.offsets = self.offsets + rng.uniform(*LEVELS[plane])
        self.signal = {name: (units - _ZERO) / _SCALE for name, units in _UNITS.items()}
        level, width = _WINDOWS[int(rng.choice(len(_WINDOWS), p=_CHANCES))]
        self.level, self.width = level + rng.normal(0, 0.06 * width), width * np.exp(rng.normal(0, 0.15))
        self.noise = float(np.exp(rng.uniform(np.log(1.0), np.log(6.0))))
        self.table = bool(rng.random() < 0.4) and self.block.plane == "axial"
        self.dim = 1.0  # nothing fades below the skull

    def expose(self, drawn: Array, rng: np.random.Generator) -> NDArray[np.uint8]:
        """Noise, the window, now and then the head rest."""
        rows, cols = self.camera.shape
        small = cv2.GaussianBlur(drawn, (0, 0), self.camera.smooth * OVERSAMPLING)
        small = cv2.resize(small, (cols, rows), interpolation=cv2.INTER_AREA)
        if self.table:
            centre, axes = (cols // 2, round(rows * 0.55)), (round(cols * 0.46), round(rows * 0.46))
            cv2.ellipse(small, centre, axes, 0, 35, 145, 0.75, max(1, rows // 90), cv2.LINE_AA)
        units = small * _SCALE + _ZERO
        grain = rng.standard_normal(units.shape, dtype=np.float32) * np.float32(self.noise)
        units += cv2.GaussianBlur(grain, (0, 0), 0.7) * np.float32(2.0)
        shown = (units - np.float32(self.level - self.width / 2)) / np.float32(self.width)
        return np.asarray(np.clip(np.rint(shown * 255), 0, 255), np.uint8)


def ct_slices(count: int, seed: int) -> Iterator[PhantomSlice]:
    """Heads without a tumour in a CT scanner, two slices a patient, mostly axial, at any level."""
    for number in range(count):
        k, index = divmod(number, SLICES)
        yield replace(_CtPatient(seed, k).slice(index), patient=f"C{k:05d}")
