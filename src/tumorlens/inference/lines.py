"""An answer as a line: of JSON, or of a table that spreadsheets read."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence

from tumorlens.inference.result import Answer, Failure, Prediction
from tumorlens.labels import set_text

#: Forms of which every line is an answer.
FORMS = ("jsonl", "csv")


def head(form: str, labels: Sequence[str]) -> str:
    """What comes before the first answer.

    Args:
        form: one of :data:`FORMS`.
        labels: class names, in the order of the logits.
    """
    if form == "jsonl":
        return ""
    columns = ["id", "path", "frame", "series", "predicted", *(f"p_{name}" for name in labels)]
    return _row([*columns, "set", "verdict", "error"])


def line(answer: Answer, form: str, labels: Sequence[str]) -> str:
    """An answer with the end of its line.

    Args:
        answer: the contract's JSON is made of it.
        form: one of :data:`FORMS`.
        labels: class names, in the order of the logits.
    """
    if form == "jsonl":
        return json.dumps(answer.as_dict(), ensure_ascii=False, allow_nan=False) + "\n"
    if isinstance(answer, Failure):
        return _row(["", answer.path, "", "", "", *("" for _ in labels), "", "", answer.error.code])
    entry = answer.as_dict()
    refused = answer.predicted is None  # its probabilities mean nothing, and here somebody may take the largest
    chances = ["" if refused else repr(answer.probabilities[name]) for name in labels]
    series = "" if isinstance(answer, Prediction) else "true"
    frame = "" if entry["frame"] is None else entry["frame"]
    own = set_text(entry["set"] or ())
    start = [entry["id"], entry["path"], frame, series, answer.predicted]
    return _row([*start, *chances, own, entry["verdict"] or "", ""])


def _row(values: Iterable[object]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerow(values)
    return out.getvalue()
