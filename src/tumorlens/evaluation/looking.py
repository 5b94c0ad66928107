"""Whether an answer hangs on the tumour: what a network says once the tumour is gone.

After Lapuschkin S et al. Unmasking Clever Hans predictors. Nat Commun 2019;10:1096: the horse that seemed to count, and
read its questioner's face.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from tumorlens.errors import DataError
from tumorlens.evaluation.bootstrap import clustered_rate
from tumorlens.evaluation.grouping import independent_units
from tumorlens.evaluation.table import PredictionTable
from tumorlens.io.atomic import write_text
from tumorlens.labels import NO_TUMOR


@dataclass(frozen=True)
class Look:
    """What was answered for a slice with a tumour mask.

    Attributes:
        id: of the slice.
        plane: that it was cut in, guessed.
        before: the answer for the slice as it is, shrunk as the edited ones are.
        removed: the answer with the tumour painted over.
        background: the most probable class other than "no tumour" then.
        control: the answer with as large a region painted over elsewhere; empty where it fitted nowhere.
    """

    id: str
    plane: str
    before: str
    removed: str
    background: str
    control: str


def clever_hans(looks: Sequence[Look], table: PredictionTable, *, bootstrap: int, seed: int) -> dict[str, Any]:
    """Rates over the slices, with intervals over patients.

    Args:
        looks: of slices with a tumour; of several networks one behind the other.
        table: holds their labels, patients and groups.
        bootstrap: resamples.
        seed: of them.

    Returns:
        ``n`` looks, ``groups``, ``unit``, ``planes``; ``removed``: share that is called "no tumour" once the tumour is
        gone (None for a network without that class); ``turned``: the same of those called a tumour before;
        ``control``: share that keeps its answer when as much was painted over elsewhere; ``background``: share whose
        class is still named right without the tumour, among tumours; ``plane_only``: the same from nothing but the
        plane, at best. Each but the last with ``rate``, ``ci95``, ``n``.

    Raises:
        DataError: when the table lacks a slice.
    """
    rows = table.rows_of([look.id for look in looks], "edits.csv")
    chosen = np.zeros(len(table), bool)
    chosen[rows] = True
    units, unit = independent_units(table.where(list(chosen)))
    number = dict(zip(np.flatnonzero(chosen), units, strict=True))
    own = np.array([number[row] for row in rows])
    labels = [table.labels[row] for row in rows]

    def rate(right: list[bool], counted: list[bool] | None = None) -> dict[str, Any] | None:
        every = [True] * len(right)
        return _rate(np.array(right), np.array(counted or every), own, bootstrap, seed)

    knows_health = NO_TUMOR in table.names
    fitted = [bool(look.control) for look in looks]
    gone = [look.removed == NO_TUMOR for look in looks]
    return {
        "n": len(looks),
        "groups": int(own.max()) + 1,
        "unit": unit,
        "removed": rate(gone) if knows_health else None,
        "turned": rate(gone, [look.before != NO_TUMOR for look in looks]) if knows_health else None,
        "control": rate([look.control == look.before for look in looks], fitted),
        "background": rate([look.background == label for look, label in zip(looks, labels, strict=True)]),
        "plane_only": {"rate": _plane_only([look.plane for look in looks], labels)},
        "planes": dict(sorted(Counter(look.plane for look in looks).items())),
    }


def _rate(
    right: np.ndarray, counted: np.ndarray, units: np.ndarray, bootstrap: int, seed: int
) -> dict[str, Any] | None:
    if not counted.any():
        return None
    point, ci95 = clustered_rate(right[counted], units[counted], bootstrap, seed)
    return {"rate": point, "ci95": ci95, "n": int(counted.sum())}


def _plane_only(planes: Sequence[str], labels: Sequence[str]) -> float:
    """How often the commonest class of a slice's plane is right: what a network could do that sees only the plane."""
    pairs = Counter(zip(planes, labels, strict=True))
    best: Counter[str] = Counter()
    for (plane, _), count in pairs.items():
        best[plane] = max(best[plane], count)
    return sum(best.values()) / len(labels)


def write_looks(path: Path, looks: Sequence[Look]) -> None:
    """``edits.csv``."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([field.name for field in fields(Look)])
    writer.writerows(astuple(look) for look in looks)
    write_text(path, text.getvalue())


def read_looks(path: Path) -> list[Look]:
    """What :func:`write_looks` wrote.

    Raises:
        DataError: for another file.
    """
    names = [field.name for field in fields(Look)]
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    if not rows or rows[0] != names or any(len(row) != len(names) for row in rows):
        raise DataError(f"{path} is not a table of {', '.join(names)}", hint="evaluate again")
    return [Look(*row) for row in rows[1:]]
