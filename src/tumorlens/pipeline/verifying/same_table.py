"""Whether two tables hold the same answers: one that was kept and the same made again, or a run's and its bundle's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable

import numpy as np

from tumorlens.evaluation.table import COLUMNS, PredictionTable
from tumorlens.pipeline.verifying.checks import CLOSE, Check, of_wrong

_TRAVELLING = "predictions.csv of the bundle"
# Those that a bundle numbers anew.
_NUMBERED = ("patients", "groups", "sources", "folds")


def answers_again(name: str, kept: PredictionTable, made: PredictionTable) -> Check:
    """Whether a table is the same made again, row by row.

    Args:
        name: of the check.
        kept: the table.
        made: the same again.
    """
    if kept.names != made.names or kept.ids != made.ids:
        return Check(name, False, "it holds other classes or slices, or in another order")
    wrong = [column for column in COLUMNS if getattr(kept, column) != getattr(made, column)]
    if not (np.abs(kept.probabilities - made.probabilities) <= CLOSE).all():
        wrong.append("probabilities")
    if (kept.sets is None) != (made.sets is None) or (kept.sets is not None and (kept.sets != made.sets).any()):
        wrong.append("sets")
    return of_wrong(name, [f"the {column} are others" for column in wrong], f"{len(kept)} answers")


def travelling_again(own: PredictionTable, travelling: PredictionTable) -> Check:
    """Whether a bundle's table has the answers of its run, whose slices, patients and groups it names anew.

    Args:
        own: of the run, with the splits that the bundle marks.
        travelling: of the bundle.
    """
    ours, theirs = _by_content(own), _by_content(travelling)
    if own.names != travelling.names or Counter(ours) != Counter(theirs):
        few = sum(((Counter(ours) - Counter(theirs)) + (Counter(theirs) - Counter(ours))).values())
        return Check(_TRAVELLING, False, f"{few} answers are in one of the two tables only")
    counts = Counter(ours)
    row, other = ({content: i for i, content in enumerate(every)} for every in (ours, theirs))
    pairs = [(row[content], other[content]) for content, n in counts.items() if n == 1]
    wrong = []
    for column in _NUMBERED:
        one, two = getattr(own, column), getattr(travelling, column)
        joined = {(one[i], two[j]) for i, j in pairs}
        if not len({a for a, _ in joined}) == len({b for _, b in joined}) == len(joined):
            wrong.append(f"the {column} are divided otherwise")
    return of_wrong(_TRAVELLING, wrong, f"{len(travelling)} answers")


def _by_content(table: PredictionTable) -> list[Hashable]:
    """What tells a row from others without a name."""
    plain = zip(
        table.labels, table.splits, table.planes, table.accepted, table.refused, table.sides, table.tumours,
        table.burnt_in, strict=True,
    )  # fmt: skip
    sets = [()] * len(table) if table.sets is None else [tuple(row) for row in table.sets.tolist()]
    return [
        (*values, tuple(row), inside)
        for values, row, inside in zip(plain, table.probabilities.tolist(), sets, strict=True)
    ]
