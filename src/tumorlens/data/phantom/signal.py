"""Spin-echo signal equation with contrast agent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import exp

from .tissue import TISSUES, Tissue

__all__ = ["Sequence", "signal_table", "spin_echo"]

# Relaxivities of a gadolinium chelate in plasma at 1.5 T, 37 degC, in l/(mmol s): Rohrer et al., "Comparison
# of magnetic properties of MRI contrast media solutions at different magnetic field strengths", Invest.
# Radiol. 2005.
R1 = 4.1
R2 = 4.6


@dataclass(frozen=True, slots=True)
class Sequence:
    """Repetition time `tr`, echo time `te` (ms) and `dose` of contrast agent (0 before, about 1 after)."""

    name: str
    tr: float
    te: float
    dose: float


def spin_echo(tissue: Tissue, sequence: Sequence, uptake: float | None = None) -> float:
    """Relative signal ``PD (1 - exp(-TR/T1)) exp(-TE/T2)`` with relaxation rates raised by the agent.

    `uptake` (mmol/l at dose 1) overrides the tissue's own. The result is in [0, 1].
    """
    agent = sequence.dose * (tissue.uptake if uptake is None else uptake)
    t1 = 1.0 / (1.0 / tissue.t1 + R1 * agent / 1000.0)
    t2 = 1.0 / (1.0 / tissue.t2 + R2 * agent / 1000.0)
    return tissue.pd * (1.0 - exp(-sequence.tr / t1)) * exp(-sequence.te / t2)


def signal_table(sequence: Sequence, factors: Mapping[str, float]) -> dict[str, float]:
    """Signal of every tissue; `factors` scales a tissue's uptake (missing: 1)."""
    return {
        name: spin_echo(tissue, sequence, tissue.uptake * factors.get(name, 1.0)) for name, tissue in TISSUES.items()
    }
