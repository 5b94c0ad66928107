"""Conformal sets: the classes that cannot be ruled out at a stated rate of error."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Rounding of a share must not move a quantile.
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Conformal:
    """Quantiles of the conformal scores.

    Attributes:
        alpha: share of the slices of each class, all patients' pooled, whose set may lack the truth.
        quantiles: class → the highest score (one minus its probability) at which a class is still in the set; 1 where
            too few groups of the class are known to rule it out ever.
        groups: class → groups that its quantile stands on.
    """

    alpha: float
    quantiles: Mapping[str, float]
    groups: Mapping[str, int]

    def sets(self, probabilities: NDArray[np.float64], names: tuple[str, ...]) -> NDArray[np.bool_]:
        """Which classes are in each slice's set, bool (N, K), for calibrated probabilities (N, K).

        A set may be empty: then the slice is unlike those of every class that the quantiles were found on.
        """
        limits = np.array([self.quantiles[name] for name in names])
        return np.asarray(1.0 - probabilities <= limits)


def fit_conformal(
    probabilities: NDArray[np.float64],
    codes: NDArray[np.int64],
    groups: NDArray[np.int64],
    names: tuple[str, ...],
    alpha: float,
) -> Conformal:
    """Quantiles such that of the slices of new patients, pooled, a share of 1 - alpha has its class in the set.

    Split conformal prediction with the score of Sadinle, Lei and Wasserman (J Am Stat Assoc 2019;114:223-234), one
    minus the probability of the true class, for each class on its own (Mondrian; Vovk, "Conditional validity of
    inductive conformal predictors", Mach Learn 2013;92:349-376). Slices of a patient are not exchangeable with those of
    others, patients are: beside the G groups of a class stands one more, whose slices score beyond all, for the patient
    to come (Lee, Barber and Willett, "Distribution-free inference with hierarchical data", J R Stat Soc B 2025).

    Every slice weighs the same. With groups of equal size that is their method: the rate is at least 1 - alpha for a
    slice of one new patient, whatever the number of patients. With unequal sizes the rate is that over the slices of
    many patients, reached as G grows; the mean over patients of the share of their slices may be another, and is lower
    where patients of few slices are the harder ones. The probabilities are exchangeable between these groups and new
    ones only if their temperature was found elsewhere; found on the same slices, it makes all of this approximate, by
    as little as one number fitted to many slices can.

    Args:
        probabilities: float64 (N, K), calibrated, of slices that were not trained on.
        codes: int64 (N,), index of the true class.
        groups: int64 (N,), slices with the same number belong together.
        names: the K classes.
        alpha: 0 < alpha < 1.
    """
    quantiles, counts = {}, {}
    for code, name in enumerate(names):
        own = codes == code
        known = len(np.unique(groups[own]))
        scores = np.sort(1.0 - probabilities[own, code])
        mass = np.arange(1, len(scores) + 1) / max(len(scores), 1) * known / (known + 1)
        enough = np.flatnonzero(mass >= 1.0 - alpha - _ROUNDING)
        quantiles[name] = float(scores[enough[0]]) if len(enough) else 1.0
        counts[name] = known
    return Conformal(alpha, quantiles, counts)
