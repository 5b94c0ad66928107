"""Scores by source and plane, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tumorlens.labels import title
from tumorlens.report import words

Row = tuple[str, str, str, str, str]
_PLANES = {"axial": "axial", "coronal": "coronal", "sagittal": "sagittal", "unsure": "plane not recognised"}
# Fewer slices say nothing about a part.
_LEAST = 20


def rows(metrics: Mapping[str, Any]) -> list[Row]:
    """Name, slices, accuracy, interval and classes of each part; a single source is no part of its own."""
    made = []
    for kind, parts in (metrics.get("subgroups") or {}).items():
        if kind == "source" and len(parts) < 2:
            continue
        for name, part in parts.items():
            shown = _PLANES.get(name, name) if kind == "plane" else f"source {name}"
            classes = ", ".join(f"{title(label)} {words.count(n)}" for label, n in part["classes"].items())
            share, interval = words.percent(part["accuracy"]), words.percent_range(part["accuracy_ci95"])
            made.append((shown, words.count(part["n"]), share, interval, classes))
    return made


def worst(metrics: Mapping[str, Any]) -> str:
    """A sentence about the part with the lowest accuracy; empty where no part is large enough."""
    found = [
        (part["accuracy"], f"{kind} {name}", part)
        for kind, parts in (metrics.get("subgroups") or {}).items()
        for name, part in parts.items()
        if part["n"] >= _LEAST and len(parts) > 1
    ]
    if not found:
        return ""
    share, name, part = min(found, key=lambda one: one[:2])
    return f"Weakest on {words.markdown(name)}: {words.percent(share)} of {words.plural(part['n'], 'slice')}."
