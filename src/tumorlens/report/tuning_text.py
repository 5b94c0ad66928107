"""The lines that end a search on the terminal, and the words that its report uses, too."""

from __future__ import annotations

from collections.abc import Mapping
from textwrap import fill
from typing import Any

from tumorlens.report.summary import columns, plain
from tumorlens.report.words import NONE, percent, plural, score

_WIDTH = 100


def tuning_text(metrics: Mapping[str, Any]) -> str:
    """``metrics.json`` of a search as plain text; ends without a newline."""
    best, present = metrics["best"], metrics["present"]
    rows = [("Setting", "before", "best", "importance")]
    before = present["values"] if present else {}
    shares = metrics["importance"] or {}
    for key, value in best["values"].items():
        share = percent(shares[key]) if key in shares else NONE
        rows.append((key, shown(before[key]) if key in before else NONE, shown(value), share))
    return plain("\n".join([*columns(rows, "<>>>"), "", fill(verdict(metrics), _WIDTH), "", fill(CAUTION, _WIDTH)]))


CAUTION = (
    "The best of many trials looks better than it is: part of its lead is chance. Train with both settings and compare "
    "them on the test slices, which took no part in the search, before you believe it."
)


def verdict(metrics: Mapping[str, Any]) -> str:
    """What the search has found, in one or two sentences."""
    every, best, present = metrics["trials"], metrics["best"], metrics["present"]
    states = [sum(one["state"] == state for one in every) for state in ("seen through", "given up", "failed")]
    tally = f"{plural(len(every), 'trial')}: {states[0]} seen through, {states[1]} given up early, {states[2]} failed."
    what = "validation accuracy" if metrics["goal"] == "accuracy" else "validation loss"
    over = f"over {plural(metrics['folds'], 'inner fold')}" if metrics["folds"] > 1 else "on the validation slices"
    reached = f"{what} {value_shown(best['value'], metrics['goal'])} {over}"
    found = f"Best is trial {best['number']}: {reached}"
    if present is None:
        return f"{tally} {found}; the settings as they were are not among those seen through."
    if best["number"] == present["number"]:
        return f"{tally} The settings as they were are still the best: {reached}."
    return f"{tally} {found}, {value_shown(present['value'], metrics['goal'])} with the settings as they were."


def value_shown(value: float | None, goal: str) -> str:
    """The value of a trial as people read it: an accuracy in percent, or a loss."""
    if value is None:
        return NONE
    return percent(value) if goal == "accuracy" else score(-value)


def shown(value: Any) -> str:
    """The value of a setting."""
    return f"{value:.3g}" if isinstance(value, float) else str(value).lower() if isinstance(value, bool) else str(value)
