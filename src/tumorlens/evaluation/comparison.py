"""Whether one set of predictions is better than another: paired by slice, with the patient as the unit of chance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tumorlens.evaluation.bootstrap import LEVEL, resample_sums
from tumorlens.evaluation.repeated import Integers, Questions, Repeated, shares
from tumorlens.evaluation.table import PredictionTable


def compare_tables(
    first: Sequence[PredictionTable], second: Sequence[PredictionTable], *, bootstrap: int = 2000, seed: int = 0
) -> dict[str, Any]:
    """How A (``first``) and B (``second``) differ on the slices that all of their tables answer.

    Differences are B minus A, as shares. Intervals are 95 % percentile intervals of a bootstrap over independent units
    (patients where they are known; Field & Welsh, J R Stat Soc B 2007;69:369-390), drawn for A and B together. ``p`` is
    of the exact two-sided permutation test over units: were A and B alike, the answers for a unit could as well have
    been swapped (Good P. Permutation, parametric and bootstrap tests of hypotheses, 2005). ``mcnemar`` is the exact
    test over slices (McNemar Q. Psychometrika 1947;12:153-157): it takes slices of one patient as independent and so
    claims too much, and is there because others report it.

    An interval is None where fewer than two units are behind it: for balanced accuracy, of the rarest class.

    ``better`` is ``a`` or ``b`` only where the accuracy's interval leaves out 0 and ``p`` is below 0.05, else None.

    Args:
        first: predictions of A, one table for each of its runs.
        second: predictions of B.
        bootstrap: resamples behind each interval.
        seed: of the resampling.

    Raises:
        DataError: when a table names a slice twice or leaves out a label, no slice is in all tables, or they disagree
            about a label.
    """
    both = Repeated.of([*first, *second])
    runs = len(first), len(second)
    sides = range(runs[0]), range(runs[0], sum(runs))
    right = [np.sum([both.right(i) for i in side], axis=0) for side in sides]
    accuracy, balanced, per_class = _differences(both.slices, right, runs, bootstrap, seed)
    by_patient = None
    if both.patients is not None:
        of_patients = [np.sum([both.right_patients(i) for i in side], axis=0) for side in sides]
        by_patient = _differences(both.patients, of_patients, runs, bootstrap, seed)[0]
    low, high = accuracy["ci95"] or (-1.0, 1.0)
    told = accuracy["p"] < 1 - LEVEL and not low <= 0 <= high
    shared = set(both.tables[0].ids)
    return {
        "n": len(shared),
        "groups": both.slices.groups,
        "unit": both.unit,
        "runs": {"a": runs[0], "b": runs[1]},
        "left_out": {
            name: len({i for table in side for i in table.ids} - shared) for name, side in (("a", first), ("b", second))
        },
        "accuracy": accuracy,
        "balanced_accuracy": balanced,
        "patient_accuracy": by_patient,
        "per_class": dict(zip(both.slices.names, per_class, strict=True)),
        "mcnemar": _mcnemar(*right) if runs == (1, 1) else None,
        "better": ("b" if accuracy["difference"] > 0 else "a") if told else None,
        "bootstrap": {"resamples": bootstrap, "seed": seed},
    }


def _differences(
    asked: Questions, right: Sequence[Integers], runs: tuple[int, int], bootstrap: int, seed: int
) -> tuple[dict[str, Any], dict[str, Any], list[dict[str, Any]]]:
    """Accuracy, balanced accuracy and each class's sensitivity: of A, of B, the difference and its interval.

    Args:
        asked: N questions.
        right: how many runs of A, and of B, answer each rightly, int64 (N,).
        runs: how many there are.
        bootstrap: resamples.
        seed: of the resampling.
    """
    totals = np.hstack([asked.per_unit(), *(asked.per_unit(hits) for hits in right)])
    values = []
    for counts in (totals.sum(axis=0, keepdims=True), resample_sums(totals, bootstrap, seed)):
        n, *hits = np.split(counts, 3, axis=1)
        values.append([shares(n * times, of) for of, times in zip(hits, runs, strict=True)])
    (a, b), (drawn_a, drawn_b) = values

    units = asked.behind()

    def entry(place: int) -> dict[str, Any]:
        difference = float(b[0, place] - a[0, place])
        interval = _interval(difference, drawn_b[:, place] - drawn_a[:, place], units[place])
        return {"a": float(a[0, place]), "b": float(b[0, place]), "difference": difference, "ci95": interval}

    # How far each unit speaks for B, in whole numbers.
    swing = np.bincount(asked.units, runs[0] * right[1] - runs[1] * right[0]).astype(np.int64)
    counts = np.bincount(asked.codes, minlength=len(asked.names))
    per_class = [entry(2 + code) | {"n": int(number)} for code, number in enumerate(counts)]
    return entry(0) | {"p": _permutation(swing)}, entry(1), per_class


def _interval(point: float, values: NDArray[np.float64], groups: int) -> list[float] | None:
    values = values[np.isfinite(values)]
    if groups < 2 or not values.size:
        return None
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return [min(float(low), point), max(float(high), point)]


def _permutation(swing: Integers) -> float:
    """Share of all ways to swap A and B within units that move the sum at least as far from 0; exact."""
    steps = np.abs(swing[swing != 0])
    if not steps.size:
        return 1.0
    divisor = int(np.gcd.reduce(steps))
    steps, far = steps // divisor, abs(int(swing.sum())) // divisor
    reach = int(steps.sum())
    chances = np.zeros(2 * reach + 1)
    chances[reach] = 1.0
    for step in steps.tolist():
        chances = 0.5 * (np.roll(chances, step) + np.roll(chances, -step))  # the ends are still 0, so nothing wraps
    sums = np.abs(np.arange(-reach, reach + 1))
    return float(min(1.0, chances[sums >= far].sum()))


def _mcnemar(a: Integers, b: Integers) -> dict[str, Any]:
    """Slices that only one of the two names rightly, and the exact test of their numbers."""
    return {"only_a": int((a > b).sum()), "only_b": int((b > a).sum()), "p": _permutation(b - a)}
