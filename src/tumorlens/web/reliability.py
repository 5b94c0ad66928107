"""How often the model was right when it named a class: from the predictions in its bundle, nothing else."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np

from tumorlens.bundle import Bundle
from tumorlens.evaluation.bootstrap import clustered_rate
from tumorlens.evaluation.grouping import independent_units
from tumorlens.evaluation.table import PredictionTable

_RESAMPLES, _SEED = 2000, 0


@dataclass(frozen=True)
class Measured:
    """Scores of one class on slices that were not trained on.

    Attributes:
        n: slices that were tested.
        out_of_fold: whether in a cross-validation of the recipe.
        ppv: of the slices given this class, the share that has it (positive predictive value); None without any.
        ppv_ci95: its interval over patients or groups.
        sensitivity: of the slices that have this class, the share that was given it; None without any.
        sensitivity_ci95: likewise.
    """

    n: int
    out_of_fold: bool
    ppv: float | None
    ppv_ci95: list[float] | None
    sensitivity: float | None
    sensitivity_ci95: list[float] | None


def scored(bundle: Bundle) -> PredictionTable:
    """The predictions behind the headline scores of a bundle.

    Raises:
        ModelError: when the file was changed.
        DataError: when it is no table of predictions.
    """
    text = bundle.read("predictions.csv").decode()
    return PredictionTable.parse(text, f"{bundle.where}/predictions.csv").where("test")


def measure(bundle: Bundle) -> dict[str, Measured]:
    """The scores of each class.

    Raises:
        ModelError, DataError: as :func:`scored`.
    """
    table = scored(bundle)
    out_of_fold = bool(json.loads(bundle.read("metrics.json")).get("out_of_fold"))
    units = independent_units(table)[0]
    labels, predicted = np.array(table.labels), np.array(table.predicted)
    found = {}
    for name in table.names:
        ppv, ppv_ci95 = _rate(labels == name, predicted == name, units)
        sensitivity, sensitivity_ci95 = _rate(predicted == name, labels == name, units)
        found[name] = Measured(len(table), out_of_fold, ppv, ppv_ci95, sensitivity, sensitivity_ci95)
    return found


def _rate(right: np.ndarray, among: np.ndarray, units: np.ndarray) -> tuple[float | None, list[float] | None]:
    if not among.any():
        return None, None
    return clustered_rate(right[among], units[among], _RESAMPLES, _SEED)
