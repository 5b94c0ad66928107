"""Several runs' answers to the same questions, added up so that whole patients can be drawn again and again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tumorlens.errors import DataError
from tumorlens.evaluation.bootstrap import interval, quiet_mean, ratios, resample_sums
from tumorlens.evaluation.grouping import independent_units, patient_cases
from tumorlens.evaluation.metrics import judge_cases
from tumorlens.evaluation.table import PredictionTable

_HINT = "give runs on the same slices: the same DATA, folds and seed of the split"
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Questions:
    """N questions, slices or patients.

    Attributes:
        units: int64 (N,), the unit of chance of each.
        codes: int64 (N,), the class of each, as a place in ``names``.
        names: of the classes.
    """

    units: Integers
    codes: Integers
    names: tuple[str, ...]

    @property
    def groups(self) -> int:
        """How many units are asked about."""
        return len(np.unique(self.units))

    def behind(self) -> list[int]:
        """How many units are behind accuracy, balanced accuracy and each class's sensitivity.

        With every class perfect, the rarest limits what is known about their mean.
        """
        each = (self.per_unit() > 0).sum(axis=0)
        return [self.groups, int(each[each > 0].min()), *each.tolist()]

    def per_unit(self, counts: Integers | None = None) -> Integers:
        """Sums of ``counts`` (N,), or how many questions there are, by unit and class: int64 (G, K).

        A unit that is not asked about (a slice of no known patient, among questions about patients) has zeros.
        """
        rows, width = int(self.units.max()) + 1, len(self.names)
        cells = np.bincount(self.units * width + self.codes, counts, rows * width)
        return cells.reshape(rows, width).astype(np.int64)


def shares(asked: Integers, right: Integers) -> NDArray[np.float64]:
    """Accuracy, balanced accuracy and sensitivities, float64 (R, 2 + K), from counts int64 (R, K)."""
    each = ratios(right, asked)
    return np.column_stack([ratios(right.sum(axis=1), asked.sum(axis=1)), quiet_mean(each, 1), each])


@dataclass(frozen=True)
class Repeated:
    """Tables of the same slices, row by row.

    Attributes:
        tables: one per run.
        slices: what each row asks.
        unit: what the units of chance are.
        patients: what each patient asks; None where no patient is known.
        cases: int64 (N,), the patient's question that each slice belongs to; -1 where it is not known.
    """

    tables: tuple[PredictionTable, ...]
    slices: Questions
    unit: str
    patients: Questions | None
    cases: Integers

    @classmethod
    def of(cls, tables: Sequence[PredictionTable]) -> Repeated:
        """The slices that all tables have, in the order of the first.

        Raises:
            DataError: when a table names a slice twice or leaves out a label, no slice is in all tables, or they
                disagree about a label.
        """
        aligned = _aligned(tables)
        # A table that knows the patients says more about chance than one that does not.
        known = next((table for table in aligned if all(table.patients)), aligned[0])
        units, unit = independent_units(known)
        names, codes = np.unique(known.labels, return_inverse=True)
        slices = Questions(units, codes.astype(np.int64), tuple(names.tolist()))
        cases, patients = patient_cases(known, slices.codes)
        asked = None
        if patients:
            case_codes, _, case_units = judge_cases(known.probabilities, slices.codes, cases, units)
            asked = Questions(case_units, case_codes, slices.names)
        return cls(tuple(aligned), slices, unit, asked, cases)

    def right(self, table: int) -> Integers:
        """1 for each slice that a table names rightly, else 0."""
        chosen = self.tables[table]
        hits = [said == true for said, true in zip(chosen.predicted, chosen.labels, strict=True)]
        return np.array(hits, np.int64)

    def right_patients(self, table: int) -> Integers:
        """1 for each patient whose mean probability names the class, else 0."""
        chosen = self.tables[table]
        place = {name: i for i, name in enumerate(chosen.names)}
        # A class that the network does not know is never right.
        codes = np.array([place.get(label, -1) for label in chosen.labels], np.int64)
        return judge_cases(chosen.probabilities, codes, self.cases, self.slices.units)[1].astype(np.int64)


def _aligned(tables: Sequence[PredictionTable]) -> list[PredictionTable]:
    places = []
    for table in tables:
        place = {name: i for i, name in enumerate(table.ids)}
        if len(place) != len(table):
            twice = next(name for i, name in enumerate(table.ids) if place[name] != i)
            raise DataError(f"the slice {twice!r} is predicted more than once", hint="give one prediction per slice")
        if not all(table.labels):
            raise DataError(f"{sum(not label for label in table.labels)} slices have no label", hint=_HINT)
        places.append(place)
    shared = [name for name in tables[0].ids if all(name in place for place in places)]
    if not shared:
        raise DataError("no slice is predicted by all of these runs", hint=_HINT, code="nothing_shared")
    rows = [table.take([place[name] for name in shared]) for table, place in zip(tables, places, strict=True)]
    for i, name in enumerate(shared):
        labels = {table.labels[i] for table in rows}
        if len(labels) > 1:
            raise DataError(f"the runs disagree about the label of {name!r}: {', '.join(sorted(labels))}", hint=_HINT)
    return rows


def repeated_scores(tables: Sequence[PredictionTable], *, bootstrap: int = 2000, seed: int = 0) -> dict[str, Any]:
    """How good a recipe is, from several runs of it on the same slices: what it gives on average, and how it varies.

    ``sd`` is the standard deviation between runs (None for one run): the chance of training. ``ci95`` is the bootstrap
    interval of the mean over independent units: the chance of which patients there are. Neither includes the other.

    Args:
        tables: one per run.
        bootstrap: resamples behind each interval.
        seed: of the resampling.

    Raises:
        DataError: as :meth:`Repeated.of`.
    """
    runs = Repeated.of(tables)
    numbers = range(len(tables))
    accuracy, balanced, *classes = _scored(runs.slices, [runs.right(i) for i in numbers], bootstrap, seed)
    patients = None
    if runs.patients is not None:
        patients = _scored(runs.patients, [runs.right_patients(i) for i in numbers], bootstrap, seed)[0]
    counts = np.bincount(runs.slices.codes, minlength=len(classes))
    return {
        "n": len(runs.tables[0]),
        "groups": runs.slices.groups,
        "unit": runs.unit,
        "patients": len({(s, p) for s, p in zip(runs.tables[0].sources, runs.tables[0].patients, strict=True) if p})
        or None,
        "runs": len(tables),
        "accuracy": accuracy,
        "balanced_accuracy": balanced,
        "patient_accuracy": patients,
        "per_class": {
            name: {"n": int(count), "sensitivity": entry}
            for name, count, entry in zip(runs.slices.names, counts, classes, strict=True)
        },
        "bootstrap": {"resamples": bootstrap, "seed": seed},
    }


def _scored(asked: Questions, right: Sequence[Integers], bootstrap: int, seed: int) -> list[dict[str, Any]]:
    """Accuracy, balanced accuracy and sensitivities: mean, SD, interval, and each run's."""
    by_unit = np.hstack([asked.per_unit(), asked.per_unit(np.sum(right, axis=0))])
    n, hits = np.split(resample_sums(by_unit, bootstrap, seed), 2, axis=1)
    drawn = shares(n * len(right), hits)
    counts = asked.per_unit().sum(axis=0, keepdims=True)
    each = np.vstack([shares(counts, asked.per_unit(run).sum(axis=0, keepdims=True)) for run in right])
    return [
        {
            "mean": float(each[:, place].mean()),
            "sd": float(each[:, place].std(ddof=1)) if len(right) > 1 else None,
            "ci95": interval(float(each[:, place].mean()), drawn[:, place], groups),
            "by_run": each[:, place].tolist(),
        }
        for place, groups in enumerate(asked.behind())
    ]
