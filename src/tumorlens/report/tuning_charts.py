"""A search in charts: how it went, which settings matter, and what their values gave."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tumorlens.report.charts import Spec, finish
from tumorlens.report.extra import load
from tumorlens.report.figures import Stem, new_figure, save, styled
from tumorlens.report.theme import MUTED, PERCENT_AXIS, TRAIN, VALIDATION, WRONG

_MOST_SETTINGS = 8
_STATES = {"seen through": VALIDATION, "given up": TRAIN, "failed": WRONG}


def values_of(metrics: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A row for each trial that has a value, with the best so far; a loss is shown as it is, not negated."""
    sign = 1 if metrics["goal"] == "accuracy" else -1
    rows, best = [], -np.inf
    for one in metrics["trials"]:
        if one["value"] is not None:
            best = max(best, one["value"])
        if one["last"] is not None:
            rows.append(
                {
                    "trial": one["number"],
                    "value": sign * one["last"],
                    "state": one["state"],
                    "best": sign * best if np.isfinite(best) else None,
                }
            )
    return rows


def trials_chart(metrics: Mapping[str, Any]) -> Spec:
    """The value of each trial, and a line for the best so far."""
    alt = load("altair")
    accuracy = metrics["goal"] == "accuracy"
    name = "Validation accuracy" if accuracy else "Validation loss"
    axis = alt.Axis(labelExpr=PERCENT_AXIS, tickCount=5) if accuracy else alt.Axis(format="~g", tickCount=5)
    up = alt.Scale(zero=False, nice=True)
    rows = values_of(metrics)
    states = alt.Scale(domain=list(_STATES), range=list(_STATES.values()))
    base = alt.Chart(alt.Data(values=rows)).encode(
        x=alt.X("trial:Q", title="Trial", axis=alt.Axis(format="d", tickMinStep=1, grid=False))
    )
    best = base.mark_line(interpolate="step-after", color=MUTED).encode(y=alt.Y("best:Q", scale=up))
    points = base.mark_circle(size=60, opacity=0.85).encode(
        y=alt.Y("value:Q", title=name, scale=up, axis=axis),
        color=alt.Color("state:N", scale=states),
        tooltip=[
            alt.Tooltip("trial:Q", title="Trial"),
            alt.Tooltip("state:N", title="State"),
            alt.Tooltip("value:Q", title=name, format=".1%" if accuracy else ".3f"),
        ],
    )
    return finish(alt.layer(best, points), 240, f"{name} of each trial; the line is the best so far")


def importance_chart(importance: Mapping[str, float]) -> Spec:
    """How much of the differences between trials each setting explains."""
    alt = load("altair")
    rows = [{"setting": key, "share": share} for key, share in importance.items()]
    chart = (
        alt.Chart(alt.Data(values=rows))
        .mark_bar(color=VALIDATION, height=14)
        .encode(
            x=alt.X(
                "share:Q",
                title="Share of the differences between trials",
                axis=alt.Axis(labelExpr=PERCENT_AXIS, tickCount=5),
            ),
            y=alt.Y("setting:N", sort="-x", title=None, axis=alt.Axis(ticks=False, domain=False, labelLimit=200)),
            tooltip=[alt.Tooltip("setting:N", title="Setting"), alt.Tooltip("share:Q", title="Share", format=".1%")],
        )
    )
    return finish(chart, 26 * len(rows) + 60, "importance of each setting")


def importance_figure(importance: Mapping[str, float], path: Stem) -> list[Path]:
    """The same on paper: ``<path>.png`` and ``<path>.svg``."""
    order = sorted(importance, key=lambda key: -importance[key])
    with styled() as seaborn:
        figure = new_figure(6.4, 0.3 * len(order) + 0.9)
        axes = figure.subplots()
        seaborn.barplot(x=[100 * importance[key] for key in order], y=order, color=VALIDATION, ax=axes, orient="h")
        axes.set(xlabel="Share of the differences between trials, %", ylabel="")
        return save(figure, path)


def trials_figure(metrics: Mapping[str, Any], path: Stem) -> list[Path]:
    """The values of the trials on paper."""
    rows = values_of(metrics)
    scale = 100 if metrics["goal"] == "accuracy" else 1
    with styled():
        figure = new_figure(7.2, 3.2)
        axes = figure.subplots()
        for state, colour in _STATES.items():
            own = [row for row in rows if row["state"] == state]
            axes.plot([r["trial"] for r in own], [scale * r["value"] for r in own], "o", color=colour, label=state)
        known = [row for row in rows if row["best"] is not None]
        axes.step(
            [row["trial"] for row in known], [scale * row["best"] for row in known], where="post", color=MUTED, lw=1
        )
        axes.set(xlabel="Trial", ylabel="Validation accuracy, %" if scale == 100 else "Validation loss")
        axes.legend()
        return save(figure, path)


def settings_chart(metrics: Mapping[str, Any], key: str) -> Spec:
    """What the values of one setting gave, in the trials seen through."""
    alt = load("altair")
    accuracy = metrics["goal"] == "accuracy"
    sign = 1 if accuracy else -1
    rows = [
        {"x": one["values"][key], "value": sign * one["value"], "trial": one["number"]}
        for one in metrics["trials"]
        if one["value"] is not None and key in one["values"]
    ]
    numbers = all(isinstance(row["x"], int | float) and not isinstance(row["x"], bool) for row in rows)
    few = len({row["x"] for row in rows}) <= 4
    axis = alt.Axis(labelExpr=PERCENT_AXIS, tickCount=4) if accuracy else alt.Axis(format="~g", tickCount=4)
    chart = (
        alt.Chart(alt.Data(values=rows))
        .mark_circle(color=VALIDATION, size=50, opacity=0.8)
        .encode(
            x=alt.X("x:Q", title=key, scale=alt.Scale(zero=False, nice=True), axis=alt.Axis(tickCount=4, format="~g"))
            if numbers and not few
            else alt.X("x:O", title=key, axis=alt.Axis(labelAngle=0)),
            y=alt.Y("value:Q", title=None, scale=alt.Scale(zero=False, nice=True), axis=axis),
            tooltip=[
                alt.Tooltip("trial:Q", title="Trial"),
                alt.Tooltip("x:N", title=key),
                alt.Tooltip("value:Q", title="Value", format=".1%" if accuracy else ".3f"),
            ],
        )
    )
    return finish(chart, 170, f"value of the trials by {key}")


def shown_settings(metrics: Mapping[str, Any]) -> list[str]:
    """The settings that get a chart of their own: the most important ones."""
    importance = metrics["importance"] or {}
    keys = list(metrics["best"]["values"])
    return sorted(keys, key=lambda key: -importance.get(key, 0.0))[:_MOST_SETTINGS]
