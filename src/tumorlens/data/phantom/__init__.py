"""The phantom: synthetic head slices with known tumours, so that everything runs offline and the truth is
known.

Tissue geometry, the spin-echo equation and a scanner model; no real image is involved.
"""

from __future__ import annotations

from typing import Final

from .generate import make_slices
from .patients import PhantomSlice
from .writer import write_phantom

__all__ = ["VERSION", "PhantomSlice", "make_slices", "write_phantom"]

VERSION: Final = "5"  # bump whenever a pixel changes: caches carry it in their names
