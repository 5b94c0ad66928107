"""How far answers hold on worse pictures, as a figure and in words."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tumorlens.report.extra import load
from tumorlens.report.figures import Stem, new_figure, save, styled
from tumorlens.report.theme import MUTED
from tumorlens.report.words import percent

NAMES = {
    "noise": "noise",
    "bias_field": "bias field",
    "ghosting": "ghosting",
    "motion": "motion",
    "blur": "blur",
    "gamma_low": "gamma below 1",
    "gamma_high": "gamma above 1",
    "jpeg": "JPEG",
    "downsampling": "downsampling",
    "rotation": "rotation",
    "spike": "spike",
}
_USUAL = 2  # severities that the sentence speaks of: index of the third


def robustness_figure(found: Mapping[str, Any], path: Stem) -> list[Path]:
    """Accuracy and calibration error by severity, a line for each corruption: ``<path>.png`` and ``<path>.svg``.

    Args:
        found: of :func:`tumorlens.pipeline.robustness.scored`.
        path: of the files, without extension.
    """
    with styled() as seaborn:
        colours = seaborn.color_palette("husl", len(NAMES))
        figure = new_figure(9.5, 4.2)
        panels = figure.subplots(1, 2)
        for axes, measure, label in zip(panels, ("accuracy", "ece"), ("Accuracy, %", "ECE"), strict=True):
            scale = 100 if measure == "accuracy" else 1
            looks = zip(colours, ["-", "--", "-."] * 4, strict=False)
            for (kind, entries), (colour, line) in zip(found["corruptions"].items(), looks, strict=False):
                values = [scale * entry[measure] for entry in (found["clean"], *entries)]
                axes.plot(values, color=colour, linestyle=line, marker="o", markersize=3, label=NAMES[kind])
            axes.axhline(scale * found["clean"][measure], color=MUTED, linewidth=0.8, zorder=0)
            axes.set(xlabel="Severity (0: as it is)", ylabel=label, xticks=range(6))
            axes.set_ylim(bottom=0)
        load("seaborn").despine(figure)
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside right center", frameon=False)
        return save(figure, path)


def sentence(found: Mapping[str, Any]) -> str:
    """The result in plain words."""
    kinds = {kind: entries[_USUAL]["accuracy"] for kind, entries in found["corruptions"].items()}
    worst = min(kinds, key=lambda kind: kinds[kind])
    kept, clean = percent(found["accuracy_kept"][_USUAL]), percent(found["clean"]["accuracy"])
    return (
        f"At severity 3 of 5 the mean accuracy over {len(kinds)} corruptions is {kept} of the {clean} on the slices as "
        f"they are; worst is {NAMES[worst]} with {percent(kinds[worst])}."
    )
