"""Heads in sequences and forms that the phantom's set has none of: what a gate for brain MRI must let pass.

The same drawn anatomy, with and without a tumour, at any level: T2-weighted, FLAIR, proton density, inversion recovery
and T1 without contrast agent, with the fat suppressed now and then, and without skull and scalp, as brain extraction
leaves a head.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import exp
from typing import Final

import numpy as np

from .ct import LEVELS, SLICES
from .patients import CLASSES, PLANES, Block, Patient, PhantomSlice
from .signal import Sequence, spin_echo
from .tissue import TISSUES, Tissue

__all__ = ["other_mr_slices"]

_OUTSIDE: Final = ("fat", "muscle", "skin", "bone", "marrow", "mucosa", "vitreous", "lens", "gland")
_STRIPPED, _NO_FAT = 0.3, 0.3


def _inversion(tissue: Tissue, tr: float, te: float, ti: float) -> float:
    """Magnitude after an inversion pulse, ``PD |1 - 2 exp(-TI/T1) + exp(-TR/T1)| exp(-TE/T2)``; without one at TI 0."""
    if ti == 0:
        return spin_echo(tissue, Sequence("other", tr, te, 0.0))
    return tissue.pd * abs(1 - 2 * exp(-ti / tissue.t1) + exp(-tr / tissue.t1)) * exp(-te / tissue.t2)


def _timing(rng: np.random.Generator) -> tuple[float, float, float]:
    """TR, TE and TI in ms of one of the usual sequences."""
    ranges = (
        ((3000, 6000), (80, 120), (0, 0)),  # T2-weighted
        ((8000, 10000), (90, 140), (2200, 2600)),  # FLAIR
        ((2000, 4000), (10, 30), (0, 0)),  # proton density
        ((1800, 2400), (3, 15), (700, 1000)),  # T1-weighted inversion recovery
        ((350, 700), (5, 20), (0, 0)),  # T1-weighted spin echo
    )[int(rng.integers(5))]
    tr, te, ti = (float(rng.uniform(low, high)) for low, high in ranges)
    return tr, te, ti


class _OtherPatient(Patient):
    """A patient of the phantom in another sequence, or after brain extraction."""

    def __init__(self, seed: int, k: int) -> None:
        rng = np.random.default_rng([seed, k, 6])
        label = str(rng.choice(CLASSES)) if rng.random() < 0.5 else "no_tumor"
        plane = str(rng.choice(PLANES))
        super().__init__(seed, k, Block(label=label, slices=SLICES, plane=plane, sequence="t1", free=False))
        if label == "no_tumor":
            self.offsets = self.offsets + rng.uniform(*LEVELS[plane])
        timing = _timing(rng)
        self.signal = {name: _inversion(tissue, *timing) for name, tissue in TISSUES.items()}
        brightest = max(value for name, value in self.signal.items() if name not in ("fat", "marrow"))
        self.signal = {name: value / brightest for name, value in self.signal.items()}
        if rng.random() < _NO_FAT:
            self.signal["fat"] *= 0.1
        if rng.random() < _STRIPPED:
            self.signal |= dict.fromkeys(_OUTSIDE, 0.0)


def other_mr_slices(count: int, seed: int) -> Iterator[PhantomSlice]:
    """Heads in other sequences, half of them without a tumour, a third of them brains alone; two slices a patient."""
    for number in range(count):
        k, index = divmod(number, SLICES)
        yield replace(_OtherPatient(seed, k).slice(index), patient=f"S{k:05d}")
