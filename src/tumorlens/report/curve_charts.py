"""Interactive charts of the probabilities: ROC, precision-recall, confidence, calibration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from tumorlens.evaluation.calibration_error import BINS, reliability
from tumorlens.evaluation.curves import class_curves, thin
from tumorlens.evaluation.table import PredictionTable
from tumorlens.evaluation.trusting import risk_coverage
from tumorlens.labels import colours
from tumorlens.report.charts import Spec, finish, short_titles
from tumorlens.report.extra import load
from tumorlens.report.theme import GUIDE, PERCENT_AXIS, RIGHT, TRAIN, VALIDATION, WRONG
from tumorlens.report.words import score

_HEIGHT = 320
# A bin of fewer slices shows chance; a chart of fewer than three bins shows nothing.
_LEAST_PER_BIN = 20
CALIBRATION_LEAST = 3 * _LEAST_PER_BIN


def roc_chart(table: PredictionTable) -> Spec:
    """One ROC curve per class against the rest, AUROC in the legend."""
    rows, legend = _curve_rows(table, "roc")
    return _curves(rows, legend, table.names, "False positive rate", "True positive rate", "linear", diagonal=True)


def pr_chart(table: PredictionTable) -> Spec:
    """One precision-recall curve per class against the rest, average precision in the legend."""
    rows, legend = _curve_rows(table, "pr")
    return _curves(rows, legend, table.names, "Recall", "Precision", "step-before", diagonal=False)


def _curve_rows(table: PredictionTable, kind: Literal["roc", "pr"]) -> tuple[list[dict[str, Any]], dict[str, str]]:
    rows: list[dict[str, Any]] = []
    legend: dict[str, str] = {}
    short = short_titles(table.names)
    for name, (x, y, area) in class_curves(table, kind).items():
        legend[name] = f"{short[name]}  {score(area)}"
        rows += [
            {"x": round(float(a), 5), "y": round(float(b), 5), "class": legend[name], "order": i}
            for i, (a, b) in enumerate(zip(x, y, strict=True))
        ]
    return rows, legend


def _curves(
    rows: list[dict[str, Any]],
    legend: Mapping[str, str],
    names: Sequence[str],
    x: str,
    y: str,
    how: str,
    *,
    diagonal: bool,
) -> Spec:
    alt = load("altair")
    palette = colours(names)
    unit = alt.Scale(domain=[0, 1], nice=False)
    hover = alt.selection_point(fields=["class"], on="pointerover", clear="pointerout")
    lines = (
        alt.Chart(alt.Data(values=rows))
        .mark_line(interpolate=how, clip=False)
        .encode(
            x=alt.X("x:Q", title=x, scale=unit, axis=alt.Axis(tickCount=5, format="~g")),
            y=alt.Y("y:Q", title=y, scale=unit, axis=alt.Axis(tickCount=5, format="~g")),
            order="order:Q",
            color=alt.Color(
                "class:N",
                scale=alt.Scale(domain=list(legend.values()), range=[palette[name] for name in legend]),
                legend=alt.Legend(columns=1),
            ),
            opacity=alt.condition(hover, alt.value(1), alt.value(0.25)),
            tooltip=[
                alt.Tooltip("class:N", title="Class, area"),
                alt.Tooltip("x:Q", title=x, format=".3f"),
                alt.Tooltip("y:Q", title=y, format=".3f"),
            ],
        )
        .add_params(hover)
    )
    layers = [lines]
    if diagonal:
        chance = alt.Chart(alt.Data(values=[{"x": 0, "y": 0}, {"x": 1, "y": 1}]))
        layers.insert(0, chance.mark_line(color=GUIDE, strokeWidth=1, strokeDash=[4, 4]).encode(x="x:Q", y="y:Q"))
    return finish(
        alt.layer(*layers), _HEIGHT + 20 * len(legend), f"{y} against {x.lower()}, one curve per class against the rest"
    )


def confidence_chart(table: PredictionTable, bins: int = 20) -> Spec:
    """How sure the network was when right and when wrong: share of the answers of each kind per bin of probability."""
    alt = load("altair")
    correct = table.correct
    edges = np.linspace(0, 1, bins + 1)
    rows = []
    for label, mask in (("Right", correct), ("Wrong", ~correct)):
        counts = np.histogram(table.confidence[mask], bins=edges)[0]
        rows += [
            {
                "from": round(float(a), 4),
                "to": round(float(b), 4),
                "answer": label,
                "n": int(n),
                "share": int(n) / int(mask.sum()),
            }
            for a, b, n in zip(edges[:-1], edges[1:], counts, strict=True)
            if n
        ]
    least = np.floor(bins / len(table.names)) / bins  # the top probability is at least 1 / K
    chart = (
        alt.Chart(alt.Data(values=rows))
        .mark_bar(opacity=0.75, binSpacing=1)
        .encode(
            x=alt.X(
                "from:Q",
                bin="binned",
                title="Probability of the answer",
                scale=alt.Scale(domain=[least, 1], nice=False),
                axis=alt.Axis(values=[0, 0.2, 0.4, 0.6, 0.8, 1], format="~g", grid=False),
            ),
            x2="to:Q",
            y=alt.Y(
                "share:Q",
                stack=None,
                title="Share of right, of wrong answers",
                axis=alt.Axis(labelExpr=PERCENT_AXIS, tickCount=5),
            ),
            color=alt.Color("answer:N", scale=alt.Scale(domain=["Right", "Wrong"], range=[RIGHT, WRONG])),
            tooltip=[
                alt.Tooltip("answer:N", title="Answer"),
                alt.Tooltip("from:Q", title="From", format=".2f"),
                alt.Tooltip("to:Q", title="to", format=".2f"),
                alt.Tooltip("n:Q", title="Slices"),
                alt.Tooltip("share:Q", title="Share", format=".1%"),
            ],
        )
    )
    return finish(chart, _HEIGHT, "top probability of right and of wrong answers")


def calibration_bins(n: int) -> int:
    """Bins of the calibration chart of ``n`` slices: 15 as in the ECE, fewer for small sets, 0 when too few for one."""
    return min(BINS, n // _LEAST_PER_BIN) if n >= CALIBRATION_LEAST else 0


def reliability_chart(table: PredictionTable, before: PredictionTable | None = None) -> Spec:
    """Accuracy against mean probability in bins of equal mass; on the diagonal, 0.8 is right 8 times in 10.

    Worth showing where :func:`calibration_bins` is not 0.

    Args:
        table: the answers, calibrated or not.
        before: the same before calibration, drawn beside them; None where they are not known.
    """
    alt = load("altair")
    shown = {"": table} if before is None else {"Before calibration": before, "After": table}
    rows = [
        {"confidence": part.confidence, "accuracy": part.accuracy, "n": part.n, "answers": name}
        for name, one in shown.items()
        for part in reliability(one.confidence, one.correct, max(1, calibration_bins(len(one))))
    ]
    colours_of = [VALIDATION] if before is None else [TRAIN, VALIDATION]
    unit = alt.Scale(domain=[0, 1], nice=False)
    diagonal = (
        alt.Chart(alt.Data(values=[{"x": 0, "y": 0}, {"x": 1, "y": 1}]))
        .mark_line(color=GUIDE, strokeWidth=1, strokeDash=[4, 4])
        .encode(x="x:Q", y="y:Q")
    )
    line = (
        alt.Chart(alt.Data(values=rows))
        .mark_line(point={"filled": True, "size": 50})
        .encode(
            color=alt.Color(
                "answers:N",
                scale=alt.Scale(domain=list(shown), range=colours_of),
                legend=None if before is None else alt.Legend(),
            ),
            x=alt.X(
                "confidence:Q",
                title="Mean probability of the answer",
                scale=unit,
                axis=alt.Axis(tickCount=5, format="~g"),
            ),
            y=alt.Y("accuracy:Q", title="Accuracy", scale=unit, axis=alt.Axis(labelExpr=PERCENT_AXIS, tickCount=5)),
            tooltip=[
                *([] if before is None else [alt.Tooltip("answers:N", title="Answers")]),
                alt.Tooltip("confidence:Q", title="Mean probability", format=".3f"),
                alt.Tooltip("accuracy:Q", title="Accuracy", format=".1%"),
                alt.Tooltip("n:Q", title="Slices"),
            ],
        )
    )
    told = "accuracy against probability: calibration" + ("" if before is None else ", before and after")
    return finish(alt.layer(diagonal, line), _HEIGHT, told)


def risk_chart(table: PredictionTable, accepted: float | None) -> Spec:
    """Error rate among the surest answers against their share; a dashed line at the share that is accepted.

    Args:
        table: the answers.
        accepted: that share, 0..1; None where no verdict is known.
    """
    alt = load("altair")
    correct = table.correct
    coverage, risk = thin(*risk_coverage(table.confidence, correct))
    top = float(max(risk.max(), 0.01))
    line = (
        alt.Chart(
            alt.Data(values=[{"coverage": float(c), "risk": float(r)} for c, r in zip(coverage, risk, strict=True)])
        )
        .mark_line(color=VALIDATION)
        .encode(
            x=alt.X(
                "coverage:Q",
                title="Share of the answers that is accepted",
                scale=alt.Scale(domain=[0, 1], nice=False),
                axis=alt.Axis(labelExpr=PERCENT_AXIS, tickCount=5),
            ),
            y=alt.Y(
                "risk:Q",
                title="Wrong among them",
                scale=alt.Scale(domain=[0, top]),
                axis=alt.Axis(labelExpr=PERCENT_AXIS, tickCount=5),
            ),
            tooltip=[
                alt.Tooltip("coverage:Q", title="Accepted", format=".1%"),
                alt.Tooltip("risk:Q", title="Wrong", format=".2%"),
            ],
        )
    )
    layers = [line]
    if accepted is not None:
        rule = alt.Chart(alt.Data(values=[{"x": accepted}]))
        layers.append(rule.mark_rule(color=GUIDE, strokeDash=[4, 4]).encode(x="x:Q"))
    return finish(alt.layer(*layers), _HEIGHT, "error rate against the share of answers accepted")
