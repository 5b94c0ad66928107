"""Where a model fails, in sentences: parts of the slices, confusions, answers that do not hang on the tumour."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tumorlens.labels import title
from tumorlens.report import robustness, subgroups, words

_CONFUSIONS = 3
# A confusion that fewer of the class's slices suffer is not among the common ones.
_COMMON = 0.02


def failures(metrics: Mapping[str, Any]) -> list[str]:
    """Sentences, the weakest parts first; empty where nothing stands out."""
    found = [f"Weaker than on the whole: {part}." for part in subgroups.weak(metrics)]
    if confusions := _confusions(metrics["test"]):
        found.append("Most common mistakes: " + "; ".join(confusions) + ".")
    removed = (metrics.get("clever_hans") or {}).get("removed")
    if removed:
        found.append(
            f"With the tumour painted over, {words.percent(1 - removed['rate'])} of the slices still get a tumour's "
            "name: something else in the slice speaks for it."
        )
    if held := metrics.get("robustness"):
        found.append(robustness.sentence(held))
    return found


def _confusions(test: Mapping[str, Any]) -> list[str]:
    labels, matrix = test["confusion"]["labels"], test["confusion"]["matrix"]
    made = [
        (row[j] / sum(row), f"{words.count(row[j])} of {words.count(sum(row))} slices of {title(labels[i])} called "
         f"{title(labels[j])} ({words.percent(row[j] / sum(row))})")
        for i, row in enumerate(matrix)
        for j in range(len(labels))
        if i != j and sum(row) and row[j] / sum(row) >= _COMMON
    ]  # fmt: skip
    return [text for _, text in sorted(made, reverse=True)[:_CONFUSIONS]]
