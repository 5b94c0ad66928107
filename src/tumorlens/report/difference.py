"""A comparison of two runs as plain text, with a sentence that says what it proves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import fill
from typing import Any

from tumorlens.labels import title
from tumorlens.report.summary import columns, plain
from tumorlens.report.words import NONE, count, plural, sample

_WIDTH = 100
_ON = {
    "cross-validation": "cross-validation, every slice answered by a network that had not seen its group",
    "test": "the test slices of both, less what leaked",
    "table": "the tables as they are",
    "both": "what both have answered",
}


def difference_text(document: Mapping[str, Any], names: Sequence[str]) -> str:
    """The document of ``tumorlens compare --json`` as text; ends without a newline.

    Args:
        document: of :func:`tumorlens.pipeline.comparing.compare`.
        names: what A and B are called.
    """
    rows = [("", "A", "B", "B − A", "95 % interval", "p")]
    entries = [("Accuracy", document["accuracy"]), ("Patient-level", document["patient_accuracy"])]
    entries += [("Balanced accuracy", document["balanced_accuracy"])]
    entries += [(f"Sensitivity, {title(label)}", part) for label, part in document["per_class"].items()]
    for name, entry in entries:
        if entry is not None:
            shown = (_points(entry["a"]), _points(entry["b"]), _points(entry["difference"], signed=True))
            rows.append((name, *shown, _range(entry["ci95"]), chance(entry.get("p"))))
    lines = columns(rows, "<>>><>")
    runs = "".join(
        f" ({plural(number, 'run')})" if (number := document["runs"][side]) > 1 else "" for side in ("a", "b")
    )
    head = [f"A  {names[0]}", f"B  {names[1]}", f"{sample(document)}{runs}: {_ON[document['on']]}", ""]
    text = "\n".join([*head, *lines, "", fill(verdict(document), _WIDTH), *_notes(document)])
    return plain(text)


def verdict(document: Mapping[str, Any]) -> str:
    """What the numbers prove, for somebody who has never heard of p."""
    entry = document["accuracy"]
    size, interval = abs(entry["difference"]), entry["ci95"]
    if document["better"] is None:
        if interval is None:
            return "No evidence of a difference: there are too few independent units to say anything."
        if entry["difference"] == 0 and interval[0] == interval[1]:
            return "No evidence of a difference: both are right and wrong about the same slices."
        unseen = max(abs(interval[0]), abs(interval[1]))
        ahead = "B" if entry["difference"] >= 0 else "A"
        return (
            f"No evidence of a difference. {ahead} is right in {_points(size)} points more of the slices here, but "
            f"with {plural(document['groups'], document['unit'])} chance alone does this in {_often(entry['p'])}; a "
            f"true difference of up to {_points(unseen)} points is not ruled out."
        )
    better = document["better"].upper()
    low, high = sorted(abs(end) for end in interval)
    return (
        f"{better} is better: right in {_points(size)} points more of the slices "
        f"(95 % interval {_points(low)} to {_points(high)}); chance alone does this in {_often(entry['p'])}."
    )


def chance(p: float | None) -> str:
    """A p value, never a 0."""
    if p is None:
        return ""
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def _notes(document: Mapping[str, Any]) -> list[str]:
    notes = [
        f"{plural(missed, 'slice')} of {side.upper()} left out: the other has no answer to them."
        for side in ("a", "b")
        if (missed := document["left_out"][side])
    ]
    if document["runs"] == {"a": 1, "b": 1}:
        notes.append("One run of each: another seed may turn a small difference round.")
    if tally := document["mcnemar"]:
        notes.append(
            f"Right in A only: {count(tally['only_a'])} slices; in B only: {count(tally['only_b'])}. McNemar's test, "
            f"which takes slices of one patient as independent: p {chance(tally['p'])}."
        )
    return ["", *(fill(note, _WIDTH) for note in notes)] if notes else []


def _often(p: float) -> str:
    if p < 0.001:
        return "fewer than 1 of 1000 cases"
    return f"{count(round(100 * p))} of 100 cases" if p >= 0.01 else f"{count(round(1000 * p))} of 1000 cases"


def _points(share: float, *, signed: bool = False) -> str:
    """A share as percentage points."""
    text = f"{100 * share:+.1f}" if signed else f"{100 * share:.1f}"
    return text.replace("-", "−")


def _range(interval: Sequence[float] | None) -> str:
    return NONE if interval is None else f"{_points(interval[0], signed=True)} to {_points(interval[1], signed=True)}"
