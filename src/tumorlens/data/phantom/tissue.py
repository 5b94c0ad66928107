"""Tissue table: proton density, T1 and T2 at 1.5 T and how much contrast agent a tissue takes up.

Brain tissue, fat and muscle follow the BrainWeb phantom's 1.5 T table (Kwan, Evans and Pike, "MRI
simulation-based evaluation of image-processing and classification methods", IEEE Trans. Med. Imaging 18(11),
1999). Fluid uses the longer T1 that later relaxometry found for cerebrospinal fluid. Lesions, marrow and
mucosa have no single published value: theirs are typical of their class, and every patient scatters them
(`patients.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

__all__ = ["TISSUES", "Tissue"]


@dataclass(frozen=True, slots=True)
class Tissue:
    """Relative proton density `pd`, `t1` and `t2` in ms, `uptake` in mmol/l after a standard dose."""

    pd: float
    t1: float
    t2: float
    uptake: float = 0.0


TISSUES: Final[Mapping[str, Tissue]] = MappingProxyType(
    {
        "air": Tissue(0.0, 1000.0, 100.0),
        "csf": Tissue(1.00, 4000.0, 900.0),
        "grey": Tissue(0.86, 833.0, 83.0, 0.03),
        "deep_grey": Tissue(0.83, 720.0, 76.0, 0.02),
        "white": Tissue(0.77, 500.0, 70.0, 0.01),
        "fat": Tissue(1.00, 300.0, 80.0, 0.02),
        "muscle": Tissue(0.80, 950.0, 42.0, 0.06),
        "skin": Tissue(0.85, 800.0, 50.0, 0.25),
        "bone": Tissue(0.10, 1000.0, 12.0),
        "marrow": Tissue(0.55, 420.0, 55.0, 0.10),
        "mucosa": Tissue(0.85, 1100.0, 90.0, 0.50),
        "vitreous": Tissue(1.00, 3600.0, 700.0),
        "lens": Tissue(0.70, 1000.0, 40.0),
        "gland": Tissue(0.85, 850.0, 80.0, 0.50),
        "choroid": Tissue(0.90, 1300.0, 130.0, 0.65),
        "blood": Tissue(0.85, 1300.0, 60.0, 1.00),
        "flow_void": Tissue(0.05, 1300.0, 30.0),
        "dura": Tissue(0.70, 900.0, 50.0, 0.40),
        "gliosis": Tissue(0.90, 1100.0, 150.0),
        "calcium": Tissue(0.20, 900.0, 25.0),
        # lesions
        "glioma_rim": Tissue(0.92, 1150.0, 115.0, 1.20),
        "glioma_low": Tissue(0.92, 1300.0, 150.0, 0.03),
        "necrosis": Tissue(0.98, 2200.0, 230.0, 0.02),
        "oedema": Tissue(0.90, 1250.0, 150.0, 0.01),
        "meningioma": Tissue(0.90, 900.0, 92.0, 1.35),
        "adenoma": Tissue(0.89, 880.0, 95.0, 1.00),
    }
)
