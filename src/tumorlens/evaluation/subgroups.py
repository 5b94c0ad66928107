"""Scores of parts of a table: where a model is worse than its headline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tumorlens.evaluation.metrics import evaluate_table
from tumorlens.evaluation.table import PredictionTable

_KEPT = ("n", "groups", "unit", "accuracy", "accuracy_ci95", "balanced_accuracy", "patient_accuracy", "refused")
#: Longer side of a picture in pixels, from which on it belongs to a part.
SIDES = {"small": 1, "medium": 257, "large": 513}
SIZES = tuple(SIDES)
# Slices of a patient that say something about that patient.
_LEAST = 3


def subgroups(table: PredictionTable, *, bootstrap: int, seed: int) -> dict[str, dict[str, Any]]:
    """The main scores of each part of a table.

    Args:
        table: tested slices.
        bootstrap: resamples behind each interval.
        seed: of them.

    Returns:
        ``source``, ``plane``, ``tumour_size`` (thirds of the slices with a mask) and ``picture_size`` (longer side up
        to 256, up to 512, above), each with one entry for every value there is: ``n``, ``groups``, ``unit``,
        ``accuracy``, ``accuracy_ci95``, ``balanced_accuracy``, ``patient_accuracy``, ``refused`` and ``classes``
        (slices of each); of ``tumour_size``, also ``upto``: the tumour's largest share of the picture in that part.
    """
    sizes, limits = _tumour_sizes(table.tumours)
    kinds: dict[str, Sequence[str]] = {
        "source": table.sources,
        "plane": table.planes,
        "tumour_size": sizes,
        "picture_size": [_picture_size(side) for side in table.sides],
    }
    found = {
        kind: {
            value: _part(table.where([one == value for one in values]), bootstrap, seed)
            for value in sorted(set(values) - {""})
        }
        for kind, values in kinds.items()
    }
    for name, limit in limits.items():
        if name in found["tumour_size"]:
            found["tumour_size"][name]["upto"] = limit
    return found


def patients(table: PredictionTable) -> dict[str, int] | None:
    """How the right answers are spread over patients with three slices or more; None without any.

    Returns:
        ``n``; ``all_right``; ``half_right``: at least half; ``less_right``: fewer, but some; ``none_right``.
    """
    rights: dict[tuple[str, str], list[bool]] = {}
    for source, patient, right in zip(table.sources, table.patients, table.correct.tolist(), strict=True):
        if patient:
            rights.setdefault((source, patient), []).append(right)
    shares = [float(np.mean(found)) for found in rights.values() if len(found) >= _LEAST]
    if not shares:
        return None
    return {
        "n": len(shares),
        "all_right": sum(share == 1 for share in shares),
        "half_right": sum(0.5 <= share < 1 for share in shares),
        "less_right": sum(0 < share < 0.5 for share in shares),
        "none_right": sum(share == 0 for share in shares),
    }


def _tumour_sizes(tumours: Sequence[float | None]) -> tuple[list[str], dict[str, float]]:
    """The third that each slice's tumour belongs to, empty without a mask, and the largest share of each third."""
    known = np.array([share for share in tumours if share])
    if len(known) < len(SIZES):
        return [""] * len(tumours), {}
    first, second = (float(np.quantile(known, part, method="lower")) for part in (1 / 3, 2 / 3))
    limits = {"small": first, "medium": second, "large": float(known.max())}
    named = ["" if not one else next(name for name in SIZES if one <= limits[name]) for one in tumours]
    return named, limits


def _picture_size(side: int) -> str:
    return next((name for name, least in reversed(SIDES.items()) if side >= least), "")


def _part(table: PredictionTable, bootstrap: int, seed: int) -> dict[str, Any]:
    found = evaluate_table(table, bootstrap=bootstrap, seed=seed)
    classes = {name: part["n"] for name, part in found["per_class"].items() if part["n"]}
    return {**{key: found[key] for key in _KEPT}, "classes": classes}
