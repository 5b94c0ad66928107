"""How often the model was right when it named a class: from the predictions in its bundle, nothing else."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

import numpy as np

from tumorlens.bundle import Bundle
from tumorlens.evaluation.bootstrap import clustered_rate
from tumorlens.evaluation.grouping import independent_units
from tumorlens.evaluation.table import PredictionTable

_RESAMPLES, _SEED = 2000, 0


@dataclass(frozen=True)
class Rate:
    """A share of slices.

    Attributes:
        value: the share; None of no slices.
        ci95: its interval over patients or groups; None where there is none.
        n: slices that it is a share of.
    """

    value: float | None
    ci95: list[float] | None
    n: int


@dataclass(frozen=True)
class Measured:
    """Scores of one class on slices that were not trained on.

    Attributes:
        n: slices that were tested.
        out_of_fold: whether in a cross-validation of the recipe.
        ppv: of the slices given this class, the share that has it (positive predictive value).
        ppv_by_verdict: the same among answers of one verdict, ``accepted`` or ``uncertain``.
        sensitivity: of the slices that have this class, the share that was given it, with whatever verdict.
    """

    n: int
    out_of_fold: bool
    ppv: Rate
    sensitivity: Rate
    ppv_by_verdict: dict[str, Rate] = field(default_factory=dict)


def scored(bundle: Bundle) -> PredictionTable:
    """The predictions behind the headline scores of a bundle.

    Raises:
        ModelError: when the file was changed.
        DataError: when it is no table of predictions.
    """
    return PredictionTable.of_bundle(bundle).where("test")


def measure(bundle: Bundle) -> dict[str, Measured]:
    """The scores of each class.

    Raises:
        ModelError, DataError: as :func:`scored`.
    """
    table, metrics = scored(bundle), json.loads(bundle.read("metrics.json"))
    units = independent_units(table)[0]
    labels, predicted = np.array(table.labels), np.array(table.predicted)
    found = {}
    for name in table.names:
        right, said = labels == name, predicted == name
        sensitivity = _rate(said, right, units)
        # What the model card says of the same share.
        known = metrics["test"]["per_class"].get(name, {}).get("sensitivity_ci95")
        by_verdict = {}
        if all(value is not None for value in table.accepted):
            accepted = np.array(table.accepted, bool)
            refused = np.array([value is True for value in table.refused or [None] * len(table)])
            by_verdict = {
                "accepted": _rate(right, said & accepted, units),
                "uncertain": _rate(right, said & ~accepted & ~refused, units),
            }
        found[name] = Measured(
            len(table),
            bool(metrics.get("out_of_fold")),
            _rate(right, said, units),
            Rate(sensitivity.value, known or sensitivity.ci95, sensitivity.n),
            by_verdict,
        )
    return found


def _rate(right: np.ndarray, among: np.ndarray, units: np.ndarray) -> Rate:
    if not among.any():
        return Rate(None, None, 0)
    value, interval = clustered_rate(right[among], units[among], _RESAMPLES, _SEED)
    return Rate(value, interval, int(among.sum()))
