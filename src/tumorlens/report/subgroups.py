"""Scores by source, plane, tumour and picture size, and by patient, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tumorlens.evaluation.subgroups import SIZES
from tumorlens.labels import title
from tumorlens.report import words

Row = tuple[str, str, str, str, str]
_PLANES = {"axial": "axial", "coronal": "coronal", "sagittal": "sagittal", "unsure": "plane not recognised"}
_PICTURES = {"small": "up to 256 pixels", "medium": "257 to 512 pixels", "large": "more than 512 pixels"}
# Fewer slices say nothing about a part.
_LEAST = 20


def rows(metrics: Mapping[str, Any]) -> list[Row]:
    """Name, slices, accuracy, interval and classes of each part; a single part of its kind is none."""
    made = []
    for kind, parts in (metrics.get("subgroups") or {}).items():
        if kind != "plane" and len(parts) < 2:
            continue
        for name in sorted(parts, key=lambda name: (SIZES.index(name) if name in SIZES else 0, name)):
            part = parts[name]
            classes = ", ".join(f"{title(label)}{words.NBSP}{words.count(n)}" for label, n in part["classes"].items())
            share, interval = words.percent(part["accuracy"]), words.percent_range(part["accuracy_ci95"])
            made.append((_shown(kind, name, part), words.count(part["n"]), share, interval, classes))
    return made


def _shown(kind: str, name: str, part: Mapping[str, Any]) -> str:
    """A part's name for people."""
    if kind == "plane":
        return _PLANES.get(name, name)
    if kind == "picture_size":
        return f"pictures of {_PICTURES[name]}"
    if kind == "tumour_size":
        return f"{name} tumours (up to {words.percent(part['upto'])} of the picture)"
    return f"source {name}"


def worst(metrics: Mapping[str, Any]) -> str:
    """A sentence about the part that is most surely below the whole; empty where no large part is below it."""
    found = _below(metrics)
    if not found:
        return ""
    _, name, part = found[0]
    return f"Weakest on {name}: {words.percent(part['accuracy'])} of {words.plural(part['n'], 'slice')}."


def weak(metrics: Mapping[str, Any]) -> list[str]:
    """The parts whose interval lies below the accuracy of the whole, in words, the weakest first."""
    whole = _whole(metrics)
    return [
        f"{name}, {words.percent(part['accuracy'])} of {words.plural(part['n'], 'slice')} "
        f"({words.percent_range(part['accuracy_ci95'])}){_balanced(part)}"
        for most, name, part in _below(metrics)
        if most < whole
    ]


def _below(metrics: Mapping[str, Any]) -> list[tuple[float, str, Mapping[str, Any]]]:
    """Parts with a lower accuracy than the whole: how good they may be at best, name, scores; the weakest first."""
    whole = _whole(metrics)
    found = [
        (part["accuracy_ci95"][1] if part["accuracy_ci95"] else 1.0, _shown(kind, name, part), part)
        for kind, parts in (metrics.get("subgroups") or {}).items()
        for name, part in parts.items()
        if part["n"] >= _LEAST and len(parts) > 1 and part["accuracy"] < whole
    ]
    return sorted(found, key=lambda one: (one[0], one[2]["accuracy"], one[1]))


def _whole(metrics: Mapping[str, Any]) -> float:
    return float(metrics["test"]["accuracy"] if "test" in metrics else metrics["scores"]["accuracy"]["mean"])


def _balanced(part: Mapping[str, Any]) -> str:
    """The balanced accuracy where it tells another story than the accuracy."""
    if len(part["classes"]) < 2 or part["accuracy"] - part["balanced_accuracy"] < 0.02:
        return ""
    return f", balanced {words.percent(part['balanced_accuracy'])}"


def by_patient(metrics: Mapping[str, Any]) -> str:
    """A sentence about how errors are spread over patients; empty where none has several slices."""
    found = metrics.get("patients")
    if not found:
        return ""
    few = found["less_right"] + found["none_right"]
    return (
        f"Of {words.plural(found['n'], 'patient')} with three slices or more, all slices are right for "
        f"{words.count(found['all_right'])}, fewer than half for {words.count(few)}, none for "
        f"{words.count(found['none_right'])}."
    )
