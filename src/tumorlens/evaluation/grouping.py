"""Which slices belong together when chance is measured."""

from __future__ import annotations

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from tumorlens.evaluation.table import PredictionTable


def independent_units(table: PredictionTable) -> tuple[NDArray[np.int64], str]:
    """The unit of chance of every slice, and what to call it.

    Slices share a unit when they share a group or a patient (of the same source), directly or through others: a
    patient whose slices lie in two groups joins them, otherwise the interval would come out too narrow.

    Returns:
        int64 (N,), a number per slice from 0 to G - 1 in order of appearance; and what they are: where every patient is
        known, ``patient``, or ``group`` when groups join several patients; else ``slice`` when every slice stands
        alone, else ``duplicate cluster``.
    """
    parent = list(range(len(table)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    first: dict[tuple[str, ...], int] = {}
    for i, (group, source, patient) in enumerate(zip(table.groups, table.sources, table.patients, strict=True)):
        keys: list[tuple[str, ...]] = [("group", group)] if group else []
        if patient:
            keys.append(("patient", source, patient))
        for key in keys:
            a, b = root(first.setdefault(key, i)), root(i)
            parent[max(a, b)] = min(a, b)

    number: dict[int, int] = {}
    units = np.array([number.setdefault(root(i), len(number)) for i in range(len(table))], dtype=np.int64)
    if all(table.patients):
        patients = len(set(zip(table.sources, table.patients, strict=True)))
        return units, "patient" if len(number) == patients else "group"
    alone = max(Counter(units.tolist()).values(), default=1) == 1
    return units, "slice" if alone else "duplicate cluster"


def patient_cases(table: PredictionTable, codes: NDArray[np.int64]) -> tuple[NDArray[np.int64], int]:
    """The case of every slice: one patient with one label; -1 where the patient is not known.

    A patient with mixed labels counts once per label.

    Args:
        table: the predictions.
        codes: int64 (N,), index of the true class.

    Returns:
        int64 (N,), a number per slice from 0 in order of appearance; and the number of different patients.
    """
    number: dict[tuple[str, str, int], int] = {}
    cases = np.array(
        [
            number.setdefault((source, patient, int(code)), len(number)) if patient else -1
            for source, patient, code in zip(table.sources, table.patients, codes, strict=True)
        ],
        dtype=np.int64,
    )
    return cases, len({(source, patient) for source, patient, _ in number})
