"""``report.html``: one file that opens without a network and shows what a run did and how far to trust it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from tumorlens.evaluation.curves import class_curves
from tumorlens.evaluation.table import PredictionTable
from tumorlens.io.atomic import write_text
from tumorlens.report import page, tiles, trust
from tumorlens.report.charts import Spec, balance_chart, confusion_chart, history_chart
from tumorlens.report.checklist import render_checklist
from tumorlens.report.curve_charts import (
    calibration_bins,
    confidence_chart,
    pr_chart,
    reliability_chart,
    risk_chart,
    roc_chart,
)
from tumorlens.report.extra import load
from tumorlens.report.figures import confusion_figure, history_figure, pr_figure, roc_figure
from tumorlens.report.run_folder import RunFolder, read_run
from tumorlens.report.sections import BUNDLE, view
from tumorlens.report.wording import AnyChart, Shown, shown

# Figures of slices, and what the template calls a picture in each.
_IMAGES = {
    "grid": "test slice",
    "mistakes": "wrongly named test slice",
    "edits": "test slice, edited",
    "augmentation": "training slice",
}
_PAPER = ("history", "confusion", "roc", "pr")


def render_report(run_dir: str | Path) -> Path:
    """Write ``run_dir/report.html`` from the saved artefacts of a run, and the figures that can be drawn from them.

    ``figures/history``, ``confusion``, ``roc`` and ``pr`` (PNG and SVG) are drawn here; ``figures/grid.png``,
    ``mistakes.png``, ``edits.png`` and ``augmentation.png`` need the images, so training draws them, and the report
    shows those that exist. A missing part is named in the report, not passed over.

    Returns:
        The path of the report.

    Raises:
        DataError: when the folder is no finished run.
        MissingExtraError: when a library of the extra ``report`` is not installed.
    """
    run = read_run(run_dir)
    draw_figures(run)
    charts = {name: json_block(spec) for name, spec in chart_specs(run).items()}
    html = page.render(
        "report.html.j2",
        script=script() if charts else "",
        **view(run),
        charts=charts,
        images={name: page.png(path) for name in _PAPER if (path := run.figure(name)) is not None},
        pictures={name: _pictures(path) for name in _IMAGES if (path := run.figure(name)) is not None},
    )
    path = run.path / "report.html"
    write_text(path, html)
    render_checklist(run)
    return path


def words_again(run_dir: str | Path, before: Shown) -> Shown:
    """What the report of a run shows when it is made anew, without drawing anything.

    Args:
        run_dir: of the run.
        before: what its ``report.html`` shows; pictures and charts that are there are taken to be so rightly.

    Raises:
        DataError: when the folder is no finished run.
        MissingExtraError: when Jinja is not installed.
    """
    run = read_run(run_dir)
    if BUNDLE not in before.words:  # training writes the report before the bundle
        run = replace(run, bundle_sha256=None)
    html = page.render(
        "report.html.j2",
        script="",
        **view(run),
        charts=AnyChart.fromkeys(before.charts, ""),
        images={},
        pictures={name: {"apart": [], "whole": ""} for name, label in _IMAGES.items() if label in before.pictures},
    )
    return shown(html)


def draw_figures(run: RunFolder) -> list[Path]:
    """Draw the figures that need no images into ``figures/``; returns what was written."""
    folder = run.path / "figures"
    confusion = run.metrics["test"]["confusion"]
    paths = confusion_figure(confusion["labels"], confusion["matrix"], folder / "confusion")
    if run.history.get("epoch"):
        paths += history_figure(run.history, folder / "history", run.kept_epoch)
    if run.tested is not None:
        paths += roc_figure(class_curves(run.tested, "roc"), folder / "roc")
        paths += pr_figure(class_curves(run.tested, "pr"), folder / "pr")
    return paths


def chart_specs(run: RunFolder) -> dict[str, Spec]:
    """The interactive charts that the run has data for, by name."""
    confusion = run.metrics["test"]["confusion"]
    specs = {"confusion": confusion_chart(confusion["labels"], confusion["matrix"])}
    counts = (run.metrics.get("data") or {}).get("counts") or {}
    if any(sum(by_class.values()) for by_class in counts.values()):
        specs["balance"] = balance_chart(counts, run.metrics.get("labels") or confusion["labels"])
    if run.history.get("epoch"):
        specs["accuracy"] = history_chart(run.history, "accuracy", run.kept_epoch)
        specs["loss"] = history_chart(run.history, "loss", run.kept_epoch)
    if run.tested is not None and len(run.tested):
        specs["roc"] = roc_chart(run.tested)
        specs["pr"] = pr_chart(run.tested)
        specs["confidence"] = confidence_chart(run.tested)
        specs |= trust_specs(run.metrics, run.tested)
    return specs


def trust_specs(metrics: Mapping[str, Any], table: PredictionTable) -> dict[str, Spec]:
    """Errors against the share accepted, and calibration before and after where there are slices enough.

    Args:
        metrics: of a training, or of a cross-validation.
        table: the answers behind its scores; not empty.
    """
    specs = {"risk": risk_chart(table, trust.scores(metrics).get("coverage"))}
    if calibration_bins(len(table)):
        specs["reliability"] = reliability_chart(table, trust.before(metrics, table))
    return specs


@lru_cache(maxsize=1)
def script() -> str:
    """Vega, Vega-Lite and Vega-Embed with the few lines that draw the charts: one script, 0.9 MB, made in about 2 s."""
    text = vega_bundle(page.source("charts.js") + page.source("page.js"))
    # The browser hashes the text after normalising line ends; and nothing in it may end the script element early.
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("</script", "<\\/script").replace("<!--", "<\\!--")


def vega_bundle(snippet: str) -> str:
    """Vega, Vega-Lite and Vega-Embed around a script that draws with them.

    Raises:
        MissingExtraError: when Altair or vl-convert is not installed.
    """
    version = ".".join(load("altair").SCHEMA_VERSION.removeprefix("v").split(".")[:2])
    convert = load("vl_convert")
    known = convert.get_vegalite_versions()
    return str(convert.javascript_bundle(snippet, vl_version=version if version in known else None))


def json_block(spec: dict[str, Any]) -> Any:
    """JSON, as markup that is safe inside a script element: no ``<`` at all."""
    text = json.dumps(spec, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return load("markupsafe").Markup(text.replace("<", "\\u003c"))


def _pictures(path: Path) -> dict[str, Any]:
    """A figure of slices: cut apart where it says how, else whole."""
    apart = tiles.cut(path)
    if apart:
        return {"apart": apart, "whole": ""}
    with load("PIL.Image").open(path) as image:
        return {"apart": [], "whole": page.webp(image)}
