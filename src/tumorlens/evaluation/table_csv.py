"""The text of a table of predictions: a line for each slice."""

from __future__ import annotations

import csv
import io
from itertools import compress
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tumorlens.errors import DataError
from tumorlens.labels import set_names, set_text

if TYPE_CHECKING:
    from tumorlens.evaluation.table import PredictionTable

HINT = "use the predictions.csv of a run folder, unchanged; tumorlens evaluate writes a fresh one"
_PREFIX = "p_"
_TEXT = ("id", "label", "patient", "source", "group", "split")
_BOOLS: dict[str, bool | None] = {"": None, "true": True, "false": False}
# float32 softmax sums to 1 within ~1e-6; text that was rounded by hand to three decimals is still let through.
_SUM_TOLERANCE = 5e-3


def to_text(table: PredictionTable) -> str:
    """The text of a table; its columns are named in :meth:`PredictionTable.to_csv`."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    columns_p = [_PREFIX + name for name in table.names]
    more: dict[str, list[str]] = {}
    if table.sets is not None:
        more["set"] = [set_text(compress(table.names, row)) for row in table.sets]
    if any(value is not None for value in table.refused):
        more["refused"] = list(map(_bool_text, table.refused))
    if any(table.sides):
        more["side"] = [str(side or "") for side in table.sides]
    if any(value is not None for value in table.tumours):
        more["tumour"] = ["" if value is None else repr(value) for value in table.tumours]
    if any(table.burnt_in):
        more["burnt_in"] = list(map(_bool_text, table.burnt_in))
    writer.writerow([*_TEXT, *columns_p, "predicted", "accepted", "fold", "plane", *more])
    columns = zip(
        table.ids, table.labels, table.patients, table.sources, table.groups, table.splits,
        table.probabilities.tolist(), table.predicted, table.accepted, table.folds, table.planes,
        strict=True,
    )  # fmt: skip
    for i, (*known, probabilities, predicted, accepted, fold, plane) in enumerate(columns):
        tail = [values[i] for values in more.values()]
        writer.writerow([*known, *map(repr, probabilities), predicted, _bool_text(accepted), fold, plane, *tail])
    return text.getvalue()


def parse(text: str, where: str) -> dict[str, Any]:
    """What :func:`to_text` was given, by the names of a table's attributes.

    Args:
        text: of the table.
        where: it came from, for messages.

    Raises:
        DataError: when it is no such table; the message says which line and column.
    """
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = next(reader, [])
        return _columns(where, header, [(reader.line_num, row) for row in reader if row])
    except csv.Error as error:
        raise DataError(f"{where}, line {reader.line_num}: {error}", hint=HINT) from None


def _columns(path: str, header: list[str], lines: list[tuple[int, list[str]]]) -> dict[str, Any]:
    names = tuple(column.removeprefix(_PREFIX) for column in header if column.startswith(_PREFIX))
    missing = [column for column in ("id", "label") if column not in header]
    if missing or len(names) < 2:
        what = f"no column {missing[0]!r}" if missing else f"{len(names)} columns p_<class>, expected two or more"
        raise DataError(f"{path}, line 1: found {what}", hint=HINT)
    if len(set(header)) != len(header):
        twice = next(column for column in header if header.count(column) > 1)
        raise DataError(f"{path}, line 1: column {twice!r} appears more than once", hint=HINT)

    position = {column: i for i, column in enumerate(header)}
    first = position[_PREFIX + names[0]]
    if [position[_PREFIX + name] for name in names] != list(range(first, first + len(names))):
        raise DataError(f"{path}, line 1: the p_<class> columns must stand side by side", hint=HINT)
    text: dict[str, list[str]] = {column: [] for column in (*_TEXT, "fold", "plane")}
    probabilities = np.empty((len(lines), len(names)), dtype=np.float64)
    truths: dict[str, list[bool | None]] = {column: [] for column in ("accepted", "refused", "burnt_in")}
    sides: list[int] = []
    tumours: list[float | None] = []
    sets = np.zeros(probabilities.shape, bool) if "set" in position else None
    for row, (line, fields) in enumerate(lines):
        if len(fields) != len(header):
            raise DataError(f"{path}, line {line}: found {len(fields)} fields, expected {len(header)}", hint=HINT)
        for column, values in text.items():
            values.append(fields[position[column]] if column in position else "")
        for k, name in enumerate(names):
            probabilities[row, k] = _number(fields[first + k], f"{path}, line {line}, column {_PREFIX}{name}")
        for column, known in truths.items():
            found_text = fields[position[column]].strip().lower() if column in position else ""
            if found_text not in _BOOLS:
                where = f"{path}, line {line}, column {column}"
                raise DataError(f"{where}: found {found_text!r}, not true or false", hint=HINT)
            known.append(_BOOLS[found_text])
        side, tumour = (fields[position[column]] if column in position else "" for column in ("side", "tumour"))
        sides.append(_pixels(side, f"{path}, line {line}, column side"))
        tumours.append(_number(tumour, f"{path}, line {line}, column tumour") if tumour else None)
        if sets is not None:
            inside = set_names(fields[position["set"]])
            if strange := sorted(inside - set(names)):
                raise DataError(f"{path}, line {line}, column set: found {strange[0]!r}, no such class", hint=HINT)
            sets[row] = [name in inside for name in names]

    wrong = first_bad_row(probabilities)
    if wrong is not None:
        where = f"{path}, line {lines[wrong][0]}, columns {_PREFIX}*"
        found = probabilities[wrong].tolist()
        raise DataError(f"{where}: found {found}, expected numbers from 0 to 1 that sum to 1", hint=HINT)
    if "predicted" in position:
        for (line, fields), code in zip(lines, probabilities.argmax(axis=1), strict=True):
            if fields[position["predicted"]] != names[code]:
                raise DataError(
                    f"{path}, line {line}, column predicted: found {fields[position['predicted']]!r}, "
                    f"but the highest probability is that of {names[code]!r}",
                    hint=HINT,
                )
    return {
        "names": names,
        "ids": tuple(text["id"]),
        "labels": tuple(text["label"]),
        "patients": tuple(text["patient"]),
        "groups": tuple(text["group"]),
        "sources": tuple(text["source"]),
        "splits": tuple(text["split"]),
        "probabilities": probabilities,
        "accepted": tuple(truths["accepted"]),
        "folds": tuple(text["fold"]),
        "planes": tuple(text["plane"]),
        "sets": sets,
        "refused": tuple(truths["refused"]),
        "sides": tuple(sides),
        "tumours": tuple(tumours),
        "burnt_in": tuple(map(bool, truths["burnt_in"])),
    }


def _bool_text(value: bool | None) -> str:
    return "" if value is None else str(value).lower()


def _pixels(text: str, where: str) -> int:
    if text and not text.isdecimal():
        raise DataError(f"{where}: found {text!r}, expected a number of pixels", hint=HINT)
    return int(text or 0)


def _number(text: str, where: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise DataError(f"{where}: found {text!r}, expected a number from 0 to 1", hint=HINT) from None


def first_bad_row(probabilities: NDArray[np.float64]) -> int | None:
    """The first row that holds something other than probabilities, if any."""
    with np.errstate(invalid="ignore"):
        fine = np.isfinite(probabilities).all(axis=1) & (probabilities >= 0).all(axis=1)
        fine &= np.abs(probabilities.sum(axis=1) - 1) <= _SUM_TOLERANCE
    bad = np.flatnonzero(~fine)
    return int(bad[0]) if bad.size else None
