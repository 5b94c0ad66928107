"""Interactive charts: each function returns a Vega-Lite specification that fills the width it is given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from tumorlens.labels import colours, title
from tumorlens.report.extra import load
from tumorlens.report.run_folder import History
from tumorlens.report.theme import INK, MUTED, PAPER, PERCENT_AXIS, SCALE, TRAIN, VALIDATION, altair_config

Spec = dict[str, Any]


def finish(chart: Any, height: int, description: str) -> Spec:
    """The chart as a specification that fills its container's width; ``description`` is for screen readers."""
    # Altair's theme registry is global and would restyle a notebook's other charts: the config goes into the chart.
    finished = chart.properties(width="container", height=height, description=description, padding=4)
    spec: Spec = finished.properties(autosize={"type": "fit", "contains": "padding"}).to_dict()
    spec["config"] = altair_config()
    return spec


def short_titles(names: Sequence[str], longest: int = 22) -> dict[str, str]:
    """A title per class that fits a legend; still a different one for each class."""
    short: dict[str, str] = {}
    for name in names:
        text = title(name)
        text = text if len(text) <= longest else text[: longest - 1] + "…"
        short[name] = f"{text} ({len(short) + 1})" if text in short.values() else text
    return short


def history_chart(history: History, measure: Literal["accuracy", "loss"], kept_epoch: int | None = None) -> Spec:
    """Training and validation by epoch.

    Args:
        history: columns ``epoch``, ``accuracy``, ``loss``, ``val_accuracy``, ``val_loss``.
        measure: what is drawn.
        kept_epoch: whose weights became the model; marked with a line, if given.
    """
    alt = load("altair")
    names = {measure: "Training", f"val_{measure}": "Validation"}
    rows = [
        {"epoch": epoch, "series": label, "value": value}
        for column, label in names.items()
        for epoch, value in zip(history.get("epoch", []), history.get(column, []), strict=False)
        if value is not None and np.isfinite(value)
    ]
    drawn = {row["series"] for row in rows}
    shown = {label: colour for label, colour in (("Training", TRAIN), ("Validation", VALIDATION)) if label in drawn}
    form = ".1%" if measure == "accuracy" else ".3f"
    base = alt.Chart(alt.Data(values=rows)).encode(
        x=alt.X("epoch:Q", title="Epoch", axis=alt.Axis(values=_epoch_ticks(history), format="d", grid=False)),
        y=alt.Y(
            "value:Q",
            title="Accuracy" if measure == "accuracy" else "Loss",
            scale=alt.Scale(zero=False, nice=True),
            axis=alt.Axis(labelExpr=PERCENT_AXIS, tickCount=5)
            if measure == "accuracy"
            else alt.Axis(format="~g", tickCount=5),
        ),
        color=alt.Color("series:N", scale=alt.Scale(domain=list(shown), range=list(shown.values()))),
    )
    hover = alt.selection_point(fields=["epoch", "series"], nearest=True, on="pointerover", empty=False)
    # A single epoch makes no line: its points stay visible.
    resting = 1 if len(history.get("epoch", [])) == 1 else 0
    points = base.mark_point(filled=True, size=60).encode(
        opacity=alt.condition(hover, alt.value(1), alt.value(resting)),
        tooltip=[
            alt.Tooltip("series:N", title="Set"),
            alt.Tooltip("epoch:Q", title="Epoch"),
            alt.Tooltip("value:Q", title=measure.capitalize(), format=form),
        ],
    )
    layers = [base.mark_line(), points.add_params(hover)]
    if kept_epoch is not None:
        mark = alt.Chart(alt.Data(values=[{"epoch": kept_epoch, "label": f"kept: epoch {kept_epoch}"}]))
        # The words stand above the plot, where no curve is; near the right edge they end at the line.
        left = kept_epoch > max((epoch or 0 for epoch in history.get("epoch", [])), default=0) / 2
        words = mark.mark_text(align="right" if left else "left", dx=0 if left else -2, dy=-5, baseline="bottom")
        layers += [
            mark.mark_rule(color=MUTED, strokeDash=[3, 3]).encode(x="epoch:Q"),
            words.encode(x="epoch:Q", y=alt.value(0), text="label:N", color=alt.value(MUTED)),
        ]
    return finish(alt.layer(*layers), 240, f"{measure} by epoch, training and validation")


def _epoch_ticks(history: History) -> list[int]:
    """At most nine whole numbers, 1, 2 or 5 times a power of ten apart: Vega would also mark half epochs."""
    epochs = [int(epoch) for epoch in history.get("epoch", []) if epoch is not None]
    if not epochs:
        return []
    first, last = min(epochs), max(epochs)
    steps = (unit * 10**power for power in range(9) for unit in (1, 2, 5))
    step = next(step for step in steps if (last - first) / step <= 8)
    return list(range(-(-first // step) * step, last + 1, step))


def confusion_chart(labels: Sequence[str], matrix: Sequence[Sequence[int]]) -> Spec:
    """Counts and percent of the true class; rows true, columns predicted."""
    alt = load("altair")
    rows, short = [], short_titles(labels)
    for true, counts in zip(labels, matrix, strict=True):
        whole = sum(counts)
        for predicted, n in zip(labels, counts, strict=True):
            share = n / whole if whole else 0.0
            rows.append(
                {
                    "true": short[true],
                    "predicted": short[predicted],
                    "n": n,
                    "share": share,
                    "percent": f"{100 * share:.1f} %" if whole else "–",
                    "dark": share > 0.5,
                }
            )
    order = list(short.values())
    base = alt.Chart(alt.Data(values=rows)).encode(
        x=alt.X(
            "predicted:N",
            sort=order,
            title="Predicted",
            axis=alt.Axis(labelAngle=-30, labelLimit=120, orient="bottom", ticks=False, domain=False),
        ),
        y=alt.Y("true:N", sort=order, title="True", axis=alt.Axis(labelLimit=120, ticks=False, domain=False)),
        tooltip=[
            alt.Tooltip("true:N", title="True"),
            alt.Tooltip("predicted:N", title="Predicted"),
            alt.Tooltip("n:Q", title="Slices", format=","),
            alt.Tooltip("percent:N", title="Share of the true class"),
        ],
    )
    cells = base.mark_rect(stroke=PAPER, strokeWidth=3, cornerRadius=4).encode(
        color=alt.Color("share:Q", scale=alt.Scale(domain=[0, 1], range=list(SCALE)), legend=None)
    )
    colour = alt.condition(alt.datum.dark, alt.value(PAPER), alt.value(INK))
    numbers = base.mark_text(dy=-7, fontSize=15, fontWeight=600).encode(text=alt.Text("n:Q", format=","), color=colour)
    shares = base.mark_text(dy=10, fontSize=11).encode(text="percent:N", color=colour)
    height = 66 * len(labels) + 84
    return finish(alt.layer(cells, numbers, shares), height, "confusion matrix: rows true, columns predicted")


def balance_chart(counts: Mapping[str, Mapping[str, int]], names: Sequence[str]) -> Spec:
    """Share of each class in each split; counts in the tooltip."""
    alt = load("altair")
    short = short_titles(names)
    titles = {"train": "Training", "val": "Validation", "test": "Test"}
    rows = []
    for split, by_class in counts.items():
        whole = sum(by_class.values())
        if not whole:
            continue
        rows += [
            {
                "split": titles.get(split, split),
                "class": short[name],
                "n": by_class.get(name, 0),
                "share": by_class.get(name, 0) / whole,
                "order": k,
            }
            for k, name in enumerate(names)
        ]
    palette = colours(names)
    chart = (
        alt.Chart(alt.Data(values=rows))
        .mark_bar(stroke=PAPER, strokeWidth=1)
        .encode(
            x=alt.X(
                "share:Q",
                stack="zero",
                title="Share of the slices",
                scale=alt.Scale(domain=[0, 1]),
                axis=alt.Axis(labelExpr=PERCENT_AXIS, tickCount=5),
            ),
            y=alt.Y(
                "split:N",
                sort=[titles.get(split, split) for split in counts],
                title=None,
                axis=alt.Axis(ticks=False, domain=False),
            ),
            color=alt.Color(
                "class:N",
                scale=alt.Scale(domain=[short[name] for name in names], range=[palette[name] for name in names]),
                legend=alt.Legend(columns=2 if max(map(len, short.values()), default=0) <= 16 else 1),
            ),
            order="order:Q",
            tooltip=[
                alt.Tooltip("split:N", title="Set"),
                alt.Tooltip("class:N", title="Class"),
                alt.Tooltip("n:Q", title="Slices", format=","),
                alt.Tooltip("share:Q", title="Share", format=".1%"),
            ],
        )
    )
    return finish(chart, 40 * len(counts) + 100, "share of each class in each split")
