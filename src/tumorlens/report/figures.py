"""Figures for paper and slides: each function draws plain arrays and writes ``<stem>.png`` and ``<stem>.svg``.

Only Figure objects are used, no pyplot: nothing global stays behind, no window can open, threads do not meet.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tumorlens.io.atomic import atomic_writer
from tumorlens.labels import colours, title
from tumorlens.report.extra import load
from tumorlens.report.theme import DPI, GUIDE, INK, MUTED, PAPER, SCALE, TRAIN, VALIDATION, seaborn_style
from tumorlens.report.words import score

Stem = str | os.PathLike[str]
_LEGEND_COLUMNS = 2
Curves = Mapping[str, tuple[NDArray[np.float64], NDArray[np.float64], float]]


@contextmanager
def styled() -> Iterator[Any]:
    """Seaborn, with the theme in force until the end of the block."""
    seaborn = load("seaborn")
    name, changes = seaborn_style()
    with seaborn.axes_style(name, rc=changes), load("matplotlib").rc_context(changes):
        yield seaborn


def new_figure(width: float, height: float, layout: str | None = "constrained") -> Any:
    """An empty figure, sizes in inches, laid out so that nothing overlaps."""
    return load("matplotlib.figure").Figure(figsize=(width, height), layout=layout)


def save(figure: Any, stem: Stem, about: Mapping[str, str] | None = None) -> list[Path]:
    """Write the figure as PNG and SVG beside each other; the same data give the same bytes.

    ``about`` goes into the PNG as text chunks.
    """
    paths = []
    for kind, metadata in (("png", {"Software": None, **(about or {})}), ("svg", {"Date": None})):
        path = Path(f"{os.fspath(stem)}.{kind}")
        with atomic_writer(path) as file:
            figure.savefig(file, format=kind, dpi=DPI, metadata=metadata)
        figure.set_layout_engine("none")  # found once, and the same in both files
        paths.append(path)
    return paths


def plain(name: str, longest: int = 24) -> str:
    """A class name for people, without the ``$…$`` that Matplotlib reads as mathematics, cut when too long."""
    text = title(name).replace("$", r"\$")
    return text if len(text) <= longest else text[: longest - 1] + "…"


def history_figure(
    history: Mapping[str, Sequence[float | None]], path: Stem, kept_epoch: int | None = None
) -> list[Path]:
    """Accuracy and loss by epoch, training and validation.

    Args:
        history: columns ``epoch``, ``accuracy``, ``loss``, ``val_accuracy``, ``val_loss``; None where empty.
        path: of the files, without extension.
        kept_epoch: whose weights became the model; marked with a line, if given.
    """
    with styled() as seaborn:
        figure = new_figure(9, 3.4)
        for axes, measure in zip(figure.subplots(1, 2), ("accuracy", "loss"), strict=True):
            for column, label, colour in ((measure, "Training", TRAIN), (f"val_{measure}", "Validation", VALIDATION)):
                values = np.array([np.nan if v is None else v for v in history.get(column, [])], dtype=np.float64)
                epochs = np.array(history.get("epoch", []), dtype=np.float64)[: values.size]
                if np.isfinite(values).any():
                    seaborn.lineplot(
                        x=epochs,
                        y=values,
                        ax=axes,
                        label=label,
                        color=colour,
                        errorbar=None,
                        linewidth=1.8,
                        marker="o" if values.size == 1 else None,  # one epoch makes no line
                    )
            if kept_epoch is not None:
                axes.axvline(
                    kept_epoch, color=MUTED, linewidth=1, linestyle=(0, (3, 3)), label=f"Kept: epoch {kept_epoch}"
                )
            axes.set(title=measure.capitalize(), xlabel="Epoch", ylabel="")
            axes.grid(visible=False, axis="x")
            axes.xaxis.get_major_locator().set_params(integer=True)
            if measure == "accuracy":
                axes.yaxis.set_major_formatter(load("matplotlib.ticker").PercentFormatter(1, decimals=0))
            if legend := axes.get_legend():
                legend.remove()
        # One legend for both, below: inside it would cover one curve or another.
        drawn: dict[str, Any] = {}
        for axes in figure.axes:
            drawn |= {label: handle for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)}
        if drawn:
            figure.legend(drawn.values(), drawn.keys(), loc="outside lower center", ncols=len(drawn))
        return save(figure, path)


def confusion_figure(labels: Sequence[str], matrix: Sequence[Sequence[int]], path: Stem) -> list[Path]:
    """Counts with percent of the true class; rows true, columns predicted."""
    counts = np.asarray(matrix, dtype=np.int64)
    whole = counts.sum(axis=1, keepdims=True)
    share = np.divide(counts, whole, out=np.zeros(counts.shape), where=whole > 0)
    texts = [
        [f"{n}\n{100 * s:.1f} %" if w else "0" for n, s in zip(row, shares, strict=True)]
        for row, shares, w in zip(counts.tolist(), share.tolist(), whole[:, 0].tolist(), strict=True)
    ]
    names = [plain(name) for name in labels]
    with styled() as seaborn:
        size = 1.6 + 1.05 * len(labels)
        figure = new_figure(size + 0.6, size)
        axes = figure.subplots()
        colour_map = load("matplotlib.colors").LinearSegmentedColormap.from_list("tumorlens", SCALE)
        seaborn.heatmap(
            share, ax=axes, annot=np.array(texts), fmt="", vmin=0, vmax=1, cmap=colour_map, cbar=False, square=True,
            linewidths=2, linecolor=PAPER, xticklabels=names, yticklabels=names, annot_kws={"fontsize": 10},
        )  # fmt: skip
        axes.set(xlabel="Predicted", ylabel="True")
        axes.tick_params(axis="x", rotation=20)
        axes.tick_params(axis="y", rotation=0)
        return save(figure, path)


def roc_figure(curves: Curves, path: Stem) -> list[Path]:
    """ROC curves. ``curves``: class name to false positive rate, true positive rate (float64 (P,)) and area."""
    return _curves_figure(curves, path, "False positive rate", "True positive rate", "AUROC", "default", diagonal=True)


def pr_figure(curves: Curves, path: Stem) -> list[Path]:
    """Precision-recall curves. ``curves``: class name to recall, precision (float64 (P,)) and average precision."""
    return _curves_figure(curves, path, "Recall", "Precision", "Average precision", "steps-pre", diagonal=False)


def _curves_figure(
    curves: Curves, path: Stem, x_title: str, y_title: str, area_title: str, how: str, *, diagonal: bool
) -> list[Path]:
    palette = colours(list(curves))
    with styled():
        rows = -(-len(curves) // _LEGEND_COLUMNS)
        figure = new_figure(4.6, 4.6 + 0.22 * rows)
        axes = figure.subplots()
        if diagonal:
            axes.plot([0, 1], [0, 1], color=GUIDE, linewidth=1, linestyle=(0, (4, 4)))
        for name, (x, y, area) in curves.items():
            axes.plot(
                x,
                y,
                color=palette[name],
                linewidth=1.8,
                drawstyle=how,
                label=f"{plain(name)}  {score(area)}",
                clip_on=False,
            )
        axes.set(xlabel=x_title, ylabel=y_title, xlim=(0, 1), ylim=(0, 1), aspect="equal")
        if curves:
            # Below the plot: every corner is some curve's.
            legend = figure.legend(
                title=area_title, loc="outside lower center", ncols=_LEGEND_COLUMNS, alignment="left"
            )
            legend.get_title().set(fontsize=9, color=INK)
        return save(figure, path)
