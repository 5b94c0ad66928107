"""One answer for the slices of a series: which of them it stands on, and how far it can be trusted.

A tumour shows on some slices of a head and not on the others, so the mean over all of them drowns it; the single most
suspicious slice is noisy. In between lies the mean over the most suspicious share, of which the best is chosen on
series that were not trained on.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tumorlens.inference.trust.trust import Trust
from tumorlens.labels import NO_TUMOR

#: Shares of the slices that are tried: all of them (the mean), fewer, one (the maximum).
SHARES = (1.0, 0.5, 0.25, 0.0)
_MOST_REFUSED = 0.5


@dataclass(frozen=True)
class SeriesTrust:
    """How the answer for a series is made.

    Attributes:
        share: of its slices, the most suspicious, whose probabilities are averaged; at least one slice.
        trust: calibration, sets and threshold of what comes out.
    """

    share: float = 1.0
    trust: Trust = field(default_factory=Trust)

    def fields(self, fitted_on: str) -> dict[str, Any]:
        """``series`` of ``bundle.json``."""
        return {"share": self.share, **self.trust.fields(fitted_on)}

    @classmethod
    def read(cls, stored: Mapping[str, Any] | None, names: tuple[str, ...]) -> SeriesTrust:
        """From ``series`` of ``bundle.json``; the mean where there is none.

        Raises:
            ValueError: when it holds something else; the message says what.
        """
        if stored is None:
            return cls()
        share = stored.get("share")
        if not isinstance(share, (int, float)) or not 0 <= share <= 1:
            raise ValueError(f"its series share is {share!r}, expected a number from 0 to 1")
        calibration, conformal, selective = (stored.get(key) for key in ("calibration", "conformal", "selective"))
        return cls(float(share), Trust.read(calibration, conformal, selective, names))


def combined(
    probabilities: NDArray[np.float64], names: tuple[str, ...], share: float
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The mean over the most suspicious slices.

    Suspicious is what is least likely free of a tumour; without such a class, what the network is surest of.

    Args:
        probabilities: float64 (N, K), N at least 1.
        names: the K classes.
        share: of the slices; rounded up, at least one.

    Returns:
        float64 (K,); int64 (M,), the slices it stands on, in order.
    """
    free = names.index(NO_TUMOR) if NO_TUMOR in names else None
    suspicion = probabilities.max(axis=1) if free is None else -probabilities[:, free]
    count = max(1, math.ceil(share * len(probabilities) - 1e-9))
    chosen = np.sort(np.argsort(-suspicion, kind="stable")[:count])
    return np.asarray(probabilities[chosen].mean(axis=0)), np.asarray(chosen, np.int64)


def mostly_refused(refused: int, count: int) -> bool:
    """Whether a series gets no answer, as its slices (``count``, without blank ones) are no brain MRI.

    The lowest slices of a head show little brain, and its highest none.
    """
    return refused == count or refused > _MOST_REFUSED * count
