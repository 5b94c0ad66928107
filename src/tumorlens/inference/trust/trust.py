"""Temperature, conformal quantiles and threshold together: fitted, stored, applied."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from tumorlens.inference.trust.conformal import Conformal, fit_conformal
from tumorlens.inference.trust.selective import Selective, fit_selective
from tumorlens.inference.trust.temperature import Temperature, fit_temperature, softmax

# Fewer say next to nothing about new patients, and a number fitted on them would look like knowledge.
LEAST_SLICES, LEAST_GROUPS = 50, 10


@dataclass(frozen=True, eq=False)
class Judged:
    """What is made of logits.

    Attributes:
        probabilities: float64 (N, K), calibrated where there is a temperature.
        sets: bool (N, K), the conformal sets, or None.
        accepted: bool (N,), whether an answer is sure enough and some class fits, or None.
    """

    probabilities: NDArray[np.float64]
    sets: NDArray[np.bool_] | None
    accepted: NDArray[np.bool_] | None


@dataclass(frozen=True)
class Trust:
    """Whatever of the three a model has.

    Attributes:
        temperature: of the probabilities.
        conformal: of the sets.
        selective: of the verdict.
    """

    temperature: Temperature | None = None
    conformal: Conformal | None = None
    selective: Selective | None = None

    @property
    def always(self) -> tuple[str, ...]:
        """Classes that every set holds, as too few groups of them are known to rule them out."""
        limits = self.conformal.quantiles if self.conformal else {}
        return tuple(name for name, limit in limits.items() if limit >= 1)

    @classmethod
    def fit(
        cls,
        logits: NDArray[np.floating],
        codes: NDArray[np.int64],
        groups: NDArray[np.int64],
        names: tuple[str, ...],
        *,
        alpha: float,
        target: float,
        refused: NDArray[np.bool_] | None = None,
    ) -> Trust:
        """All three on slices that were not trained on; none of them on too few (50 slices, 10 groups).

        Args:
            logits: (N, K); a constant per slice does not matter.
            codes: int64 (N,), index of the true class.
            groups: int64 (N,), slices with the same number belong together.
            names: the K classes.
            alpha: error rate of the sets.
            target: accuracy that accepted answers are to reach.
            refused: bool (N,), slices whose answers are never accepted, however sure, since the gate takes them for no
                brain MRI or text is burnt into them.
        """
        if len(codes) < LEAST_SLICES or len(np.unique(groups)) < LEAST_GROUPS:
            return cls()
        temperature = fit_temperature(logits, codes, groups)
        probabilities = softmax(logits, temperature.value)
        conformal = fit_conformal(probabilities, codes, groups, names, alpha)
        eligible = np.asarray(conformal.sets(probabilities, names).any(axis=1))
        if refused is not None:
            eligible = eligible & ~refused
        confidence, correct = probabilities.max(axis=1), probabilities.argmax(axis=1) == codes
        return cls(temperature, conformal, fit_selective(confidence, correct, target, eligible))

    def judge(self, logits: NDArray[np.floating], names: tuple[str, ...]) -> Judged:
        """Probabilities, sets and verdicts of logits (N, K)."""
        probabilities = softmax(logits, self.temperature.value if self.temperature else 1.0)
        sets = self.conformal.sets(probabilities, names) if self.conformal else None
        accepted = None
        if self.selective:
            accepted = probabilities.max(axis=1, initial=0.0) >= self.selective.threshold
            accepted = accepted if sets is None else accepted & sets.any(axis=1)
        return Judged(probabilities, sets, accepted)

    def fields(self, fitted_on: str) -> dict[str, dict[str, Any] | None]:
        """``calibration``, ``conformal`` and ``selective`` of ``bundle.json``.

        Args:
            fitted_on: ``validation`` or ``out-of-fold``.
        """
        calibration = self.temperature and {
            "temperature": self.temperature.value,
            **{key: value for key, value in asdict(self.temperature).items() if key != "value"},
            "fitted_on": fitted_on,
        }
        return {
            "calibration": calibration or None,
            "conformal": asdict(self.conformal) if self.conformal else None,
            "selective": asdict(self.selective) if self.selective else None,
        }

    @classmethod
    def read(
        cls,
        calibration: Mapping[str, Any] | None,
        conformal: Mapping[str, Any] | None,
        selective: Mapping[str, Any] | None,
        names: tuple[str, ...],
    ) -> Trust:
        """From the fields of ``bundle.json``.

        Raises:
            ValueError: when they hold something else; the message says what.
        """
        temperature = None
        if calibration is not None:
            value = calibration.get("temperature")
            if not isinstance(value, (int, float)) or not math.isfinite(value) or value <= 0:
                raise ValueError(f"its calibration temperature is {value!r}, expected a number above 0")
            rest = {key: found for key, found in calibration.items() if key != "temperature"}
            temperature = _made(Temperature, {**rest, "value": value}, "calibration")
        sets = None if conformal is None else _made(Conformal, conformal, "conformal")
        if sets is not None and (missing := set(names) ^ set(sets.quantiles)):
            raise ValueError(f"its conformal quantiles and its classes differ by {sorted(missing)[0]!r}")
        return cls(temperature, sets, None if selective is None else _made(Selective, selective, "selective"))


_Part = TypeVar("_Part")


def _made(kind: type[_Part], found: Mapping[str, Any], field: str) -> _Part:
    try:
        return msgspec.convert(dict(found), kind)
    except msgspec.ValidationError as error:
        raise ValueError(f"its {field} cannot be read: {error}") from None
