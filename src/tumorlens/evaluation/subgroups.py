"""Scores by source and by plane: where a model is worse than its headline."""

from __future__ import annotations

from typing import Any

from tumorlens.evaluation.metrics import evaluate_table
from tumorlens.evaluation.table import PredictionTable

_KEPT = ("n", "groups", "unit", "accuracy", "accuracy_ci95", "balanced_accuracy", "patient_accuracy")


def subgroups(table: PredictionTable, *, bootstrap: int, seed: int) -> dict[str, dict[str, Any]]:
    """The main scores of each part of a table.

    Args:
        table: tested slices.
        bootstrap: resamples behind each interval.
        seed: of them.

    Returns:
        ``source`` and ``plane``, each with one entry for every value there is: ``n``, ``groups``, ``unit``,
        ``accuracy``, ``accuracy_ci95``, ``balanced_accuracy``, ``patient_accuracy`` and ``classes`` (slices of each).
    """
    kinds = {"source": table.sources, "plane": table.planes}
    return {
        kind: {
            value: _part(table.where([one == value for one in values]), bootstrap, seed)
            for value in sorted(set(values) - {""})
        }
        for kind, values in kinds.items()
    }


def _part(table: PredictionTable, bootstrap: int, seed: int) -> dict[str, Any]:
    found = evaluate_table(table, bootstrap=bootstrap, seed=seed)
    classes = {name: part["n"] for name, part in found["per_class"].items() if part["n"]}
    return {**{key: found[key] for key in _KEPT}, "classes": classes}
