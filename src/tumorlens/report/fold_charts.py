"""The accuracy of every training of a cross-validation: by fold and seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tumorlens.report.charts import Spec, finish
from tumorlens.report.extra import load
from tumorlens.report.figures import Stem, new_figure, save, styled
from tumorlens.report.theme import MUTED, PERCENT_AXIS, VALIDATION

_ROW_INCHES = 0.34


def folds_chart(trainings: Sequence[Mapping[str, Any]]) -> Spec:
    """A point for each training, a row for each fold, a tick for the fold's mean.

    Args:
        trainings: with ``seed``, ``fold``, ``n``, ``accuracy``.
    """
    alt = load("altair")
    rows = [{key: item[key] for key in ("seed", "fold", "n", "accuracy")} for item in trainings]
    order = list(dict.fromkeys(row["fold"] for row in rows))
    base = alt.Chart(alt.Data(values=rows)).encode(
        y=alt.Y("fold:N", sort=order, title="Fold", axis=alt.Axis(ticks=False, domain=False, grid=True))
    )
    across = alt.Scale(zero=False, nice=True)
    axis = alt.Axis(labelExpr=PERCENT_AXIS, tickCount=5)
    means = base.mark_tick(color=MUTED, thickness=2, size=22).encode(x=alt.X("mean(accuracy):Q", scale=across))
    points = base.mark_circle(color=VALIDATION, size=70, opacity=0.75).encode(
        x=alt.X("accuracy:Q", scale=across, title="Accuracy on the fold's slices", axis=axis),
        tooltip=[
            alt.Tooltip("fold:N", title="Fold"),
            alt.Tooltip("seed:O", title="Seed"),
            alt.Tooltip("accuracy:Q", title="Accuracy", format=".1%"),
            alt.Tooltip("n:Q", title="Slices", format=","),
        ],
    )
    return finish(alt.layer(means, points), 34 * len(order) + 70, "accuracy of each training by fold")


def folds_figure(trainings: Sequence[Mapping[str, Any]], path: Stem) -> list[Path]:
    """The same on paper: ``<path>.png`` and ``<path>.svg``."""
    order = list(dict.fromkeys(str(item["fold"]) for item in trainings))
    with styled() as seaborn:
        figure = new_figure(6.4, _ROW_INCHES * len(order) + 0.9)
        axes = figure.subplots()
        values = [100 * item["accuracy"] for item in trainings]
        names = [str(item["fold"]) for item in trainings]
        shared = {"x": values, "y": names, "order": order, "ax": axes, "orient": "h"}
        seaborn.pointplot(**shared, color=MUTED, errorbar=None, linestyle="none", marker="|", markersize=14)
        seaborn.stripplot(**shared, color=VALIDATION, jitter=False, size=6, alpha=0.75)
        axes.set(xlabel="Accuracy on the fold's slices, %", ylabel="Fold")
        return save(figure, path)
