"""``report.html`` of a search: what was tried, what it gave, which settings matter."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tumorlens.io.atomic import write_text
from tumorlens.report import html, page, words
from tumorlens.report.run_folder import read_json
from tumorlens.report.sections import plan_rows
from tumorlens.report.tuning_charts import (
    importance_chart,
    importance_figure,
    settings_chart,
    shown_settings,
    trials_chart,
    trials_figure,
)
from tumorlens.report.tuning_text import CAUTION, shown, value_shown, verdict

_MOST_TRIALS = 10


def render_tuning(folder: str | Path) -> Path:
    """Write ``report.html`` from ``metrics.json`` and ``best.toml`` of a search.

    Raises:
        DataError: when the folder holds no finished search.
        MissingExtraError: when a library of the extra ``report`` is not installed.
    """
    path = Path(folder)
    metrics = read_json(path / "metrics.json")
    charts = {"trials": trials_chart(metrics)}
    trials_figure(metrics, path / "figures" / "trials")
    if metrics["importance"]:
        charts["importance"] = importance_chart(metrics["importance"])
        importance_figure(metrics["importance"], path / "figures" / "importance")
    images = {name: page.png(path / "figures" / f"{name}.png") for name in charts}
    own = shown_settings(metrics)
    charts |= {f"setting{i}": settings_chart(metrics, key) for i, key in enumerate(own)}
    text = page.render(
        "tuning.html.j2",
        script=html.script(),
        **view(path, metrics),
        own=own,
        charts={name: html.json_block(spec) for name, spec in charts.items()},
        images=images,
    )
    write_text(path / "report.html", text)
    return path / "report.html"


def view(path: Path, metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Everything that the template names, apart from charts and images."""
    best, present, goal = metrics["best"], metrics["present"], metrics["goal"]
    through = sorted((one for one in metrics["trials"] if one["value"] is not None), key=lambda one: -one["value"])
    keys = list(best["values"])
    folder, best_file = (shlex.quote(str(item)) for item in (path, path / "best.toml"))
    return {
        "name": metrics["name"],
        "created": words.moment(metrics["created"]),
        "research_only": words.RESEARCH_ONLY,
        "verdict": verdict(metrics),
        "caution": CAUTION,
        "settings": [
            (
                key,
                shown(present["values"][key]) if present and key in present["values"] else words.NONE,
                shown(best["values"][key]),
                words.percent((metrics["importance"] or {}).get(key)),
            )
            for key in keys
        ],
        "keys": keys,
        "trials": [
            {
                "number": one["number"],
                "value": value_shown(one["value"], goal),
                "folds": ", ".join(value_shown(value, goal) for value in one["folds"]),
                "cells": [shown(one["values"].get(key, words.NONE)) for key in keys],
            }
            for one in through[:_MOST_TRIALS]
        ],
        "through": len(through),
        "plan": plan_rows(path),
        "failed": [(one["number"], one["reason"]) for one in metrics["trials"] if one["reason"]],
        "commands": [
            (f"tumorlens train DATA --config {best_file} --out best", "a model with the best settings"),
            (f"tumorlens train DATA --config {folder}/config.toml --out before", "one with the settings as they were"),
            ("tumorlens compare before best", "whether the difference is more than chance"),
            (f"tumorlens tune --resume {folder} --more 20", "search on"),
        ],
        "versions": [(str(name), str(version)) for name, version in metrics["versions"].items()],
    }
