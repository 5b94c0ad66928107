"""``report.html`` of a cross-validation: how good a recipe is, how stable, and where it fails."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tumorlens.evaluation.table import PredictionTable
from tumorlens.io.atomic import write_text
from tumorlens.labels import colours, title
from tumorlens.report import checklist_crossval, findings, html, looking, page, subgroups, trust, words
from tumorlens.report.charts import confusion_chart
from tumorlens.report.figures import confusion_figure
from tumorlens.report.fold_charts import folds_chart, folds_figure
from tumorlens.report.repeated_text import spread
from tumorlens.report.run_folder import read_json
from tumorlens.report.sections import TOGETHER, interval, plan_rows, tile
from tumorlens.report.wording import AnyChart, Shown, shown

_OVERALL = (
    ("Macro F1", "macro_f1"),
    ("AUROC, mean over classes", "auroc_macro"),
    ("Calibration error (ECE)", "ece"),
    ("Brier score (0 to 2)", "brier"),
    ("Log loss, nats", "nll"),
)


def render_crossval(folder: str | Path) -> Path:
    """Write ``report.html`` from what a cross-validation saved: scores, audit, settings, the first seed's answers.

    Raises:
        DataError: when the folder holds no finished cross-validation.
        MissingExtraError: when a library of the extra ``report`` is not installed.
    """
    path = Path(folder)
    metrics = read_json(path / "metrics.json")
    audit = read_json(path / "audit.json") if (path / "audit.json").is_file() else {}
    labels, matrix = _confusion(metrics)
    confusion_figure(labels, matrix, path / "figures" / "confusion")
    folds_figure(metrics["folds"], path / "figures" / "folds")
    drawn = {"folds": folds_chart(metrics["folds"]), "confusion": confusion_chart(labels, matrix)}
    table = _answers(path, metrics)
    charts = drawn | (html.trust_specs(metrics, table) if table is not None and len(table) else {})
    text = page.render(
        "crossval.html.j2",
        script=html.script(),
        **view(path, metrics, audit),
        charts={name: html.json_block(spec) for name, spec in charts.items()},
        images={name: page.png(path / "figures" / f"{name}.png") for name in drawn},
    )
    write_text(path / "report.html", text)
    checklist_crossval.render_checklist(path, metrics)
    return path / "report.html"


def words_again(folder: str | Path, before: Shown) -> Shown:
    """What the report of a cross-validation shows when it is made anew, without drawing anything.

    Args:
        folder: of the cross-validation.
        before: what its ``report.html`` shows; charts that are there are taken to be so rightly.

    Raises:
        DataError: when the folder holds no finished cross-validation.
        MissingExtraError: when Jinja is not installed.
    """
    path = Path(folder)
    audit = read_json(path / "audit.json") if (path / "audit.json").is_file() else {}
    values = view(path, read_json(path / "metrics.json"), audit)
    charts = AnyChart.fromkeys(before.charts, "")
    return shown(page.render("crossval.html.j2", script="", **values, charts=charts, images={}))


def _answers(path: Path, metrics: Mapping[str, Any]) -> PredictionTable | None:
    """The first seed's answers behind its scores, those of the section on trust; None where they are missing."""
    file = path / f"seed-{metrics['seeds'][0]['seed']}" / "folds" / "predictions.csv"
    if not file.is_file():
        return None
    table, leaked = PredictionTable.read_csv(file), set((metrics["leaked"] or {}).get("ids", ()))
    return table.where([name not in leaked for name in table.ids]) if leaked else table


def view(path: Path, metrics: Mapping[str, Any], audit: Mapping[str, Any]) -> dict[str, Any]:
    """Everything that the template names, apart from charts and images."""
    scores, drawn = metrics["scores"], words.synthetic(metrics)
    config = path / "config.toml"
    settings = config.read_text(encoding="utf-8").strip() if config.is_file() else ""
    return {
        "name": metrics["name"],
        "created": words.moment(metrics["created"]),
        "research_only": words.RESEARCH_ONLY,
        "headline": _headline(scores, drawn=drawn),
        "unit_note": words.unit_note(scores),
        "tiles": _tiles(metrics),
        "drawn": drawn,
        "leak": _leak(metrics),
        "conflicts": findings.conflicts(audit),
        "doubts": findings.doubts(metrics, scores["balanced_accuracy"]["mean"], audit),
        "audit": findings.audit_view(audit),
        "audit_page": (path / "audit.html").is_file(),
        "skipped": findings.skipped(metrics["data"]["skipped"]),
        "data": _data(metrics),
        "folds": _folds(metrics),
        "overall": _overall(metrics),
        "classes": _classes(metrics),
        "shortcuts": findings.shortcuts(
            {
                "test": {
                    "balanced_accuracy": scores["balanced_accuracy"]["mean"],
                    "balanced_accuracy_ci95": scores["balanced_accuracy"]["ci95"],
                }
            },
            audit,
            "This network, cross-validation",
        ),
        "subgroups": {
            "rows": subgroups.rows(metrics),
            "worst": subgroups.worst(metrics),
            "patients": subgroups.by_patient(metrics),
        },
        "trust": trust.view(metrics, settings),
        "uncertain": trust.scores(metrics).get("coverage") is not None,
        "calibrated": bool(metrics.get("calibration")),
        "many_seeds": scores["runs"] > 1,
        "looking": looking.view(metrics),
        "plan": plan_rows(path),
        "settings": settings,
        "commands": _commands(path),
        "versions": [(str(name), str(version)) for name, version in metrics["versions"].items()],
    }


def _headline(scores: Mapping[str, Any], *, drawn: bool) -> str:
    """The result in one plain sentence."""
    accuracy = scores["accuracy"]
    interval = words.percent_range(accuracy["ci95"])
    certainty = (
        "no interval: too few independent cases" if interval == words.NONE else f"95{words.NBSP}% interval {interval}"
    )
    mean = f" on average over {words.plural(scores['runs'], 'seed')}" if scores["runs"] > 1 else ""
    return (
        f"Tested on {words.sample(scores, drawn=drawn)} that it had not seen, the recipe named the right class for "
        f"{words.percent(accuracy['mean'])}{mean} ({certainty})."
    )


def _tiles(metrics: Mapping[str, Any]) -> list[dict[str, str]]:
    scores = metrics["scores"]
    shown = [
        ("Accuracy", scores["accuracy"]),
        ("Patient-level accuracy", scores["patient_accuracy"]),
        ("Balanced accuracy", scores["balanced_accuracy"]),
    ]
    tiles = [
        tile(name, entry["mean"], interval(entry["ci95"])) if entry else tile(name, None, "patients not known")
        for name, entry in shown
    ]
    sd, many = scores["accuracy"]["sd"], scores["runs"] > 1
    note = "of the accuracy: the chance of training" if many else "one training of each fold: not known"
    value = f"{100 * sd:.1f} points" if sd is not None else words.NONE
    return [*tiles, {"name": "Spread between seeds", "value": value, "note": note}]


def _leak(metrics: Mapping[str, Any]) -> dict[str, Any] | None:
    if not metrics["leaked"]:
        return None
    removed = metrics["leaked"]["removed"]
    return {"removed": removed, "shipped": words.percent(metrics["as_shipped"]["accuracy"]["mean"])}


def _data(metrics: Mapping[str, Any]) -> dict[str, Any]:
    data, labels = metrics["data"], metrics["labels"]
    brought = data["fold_column"]
    return {
        "labels": [title(name) for name in labels],
        "rows": [
            {
                "fold": fold,
                "counts": [by_class.get(name, 0) for name in labels],
                "n": sum(by_class.values()),
                "groups": data["groups"][fold],
            }
            for fold, by_class in data["counts"].items()
        ],
        "sources": data["sources"],
        "brought": brought,
        "never_tested": data["never_tested"],
        # Folds that the data bring may divide groups; then nothing is promised.
        "together": None if metrics["leaked"] else TOGETHER.get(metrics["scores"]["unit"], ""),
        "notes": data["notes"],
    }


def _folds(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Accuracy of each training: a row for each fold, a column for each seed."""
    entries = metrics["folds"]
    seeds = [entry["seed"] for entry in metrics["seeds"]]
    rows = []
    for name in metrics["data"]["counts"]:
        own = [item for item in entries if item["fold"] == name]
        rows.append(
            {
                "name": name,
                "n": own[0]["n"],
                "cells": [words.percent(item["accuracy"]) for item in own],
                "mean": words.percent(float(np.mean([item["accuracy"] for item in own]))),
                "time": words.duration(sum(item["seconds"] for item in own)),
            }
        )
    return {
        "seeds": [f"Seed {seed}" for seed in seeds],
        "rows": rows,
        "all": [words.percent(entry["accuracy"]) for entry in metrics["seeds"]],
        "mean": words.percent(metrics["scores"]["accuracy"]["mean"]),
        "time": words.duration(sum(item["seconds"] for item in entries)),
        "between_folds": f"{100 * metrics['accuracy_sd_between_folds']:.1f}",
        "between_seeds": spread(metrics["scores"]["accuracy"]),
        "parameters": words.count(entries[0]["parameters"]),
    }


def _overall(metrics: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Scores that are no shares: mean and standard deviation over the seeds."""
    rows = []
    for label, key in _OVERALL:
        values = [entry[key] for entry in metrics["seeds"]]
        known = None not in values
        mean = words.score(float(np.mean(values)) if known else None)
        sd = f"{np.std(values, ddof=1):.3f}" if known and len(values) > 1 else words.NONE
        rows.append((label, mean, sd))
    return rows


def _classes(metrics: Mapping[str, Any]) -> list[dict[str, Any]]:
    palette = colours(metrics["labels"])
    return [
        {
            "title": title(name),
            "colour": palette.get(name, "#999999"),
            "n": part["n"],
            "sensitivity": words.percent(part["sensitivity"]["mean"]),
            "interval": words.percent_range(part["sensitivity"]["ci95"]),
            "sd": words.NONE if part["sensitivity"]["sd"] is None else f"{100 * part['sensitivity']['sd']:.1f}",
            **{
                key: _mean([entry["per_class"][name][key] for entry in metrics["seeds"]], form)
                for key, form in (("specificity", words.percent), ("ppv", words.percent), ("auroc", words.score))
            },
        }
        for name, part in metrics["scores"]["per_class"].items()
    ]


def _mean(values: list[float | None], form: Any) -> str:
    known = [value for value in values if value is not None]
    return str(form(float(np.mean(known)) if len(known) == len(values) else None))


def _confusion(metrics: Mapping[str, Any]) -> tuple[list[str], list[list[int]]]:
    """The confusion matrices of all seeds added up."""
    every = [entry["confusion"] for entry in metrics["seeds"]]
    return every[0]["labels"], np.sum([one["matrix"] for one in every], axis=0).tolist()


def _commands(path: Path) -> list[tuple[str, str]]:
    folder, settings = (shlex.quote(str(item)) for item in (path, path / "config.toml"))
    return [
        (f"tumorlens compare {folder} OTHER", "is another recipe better, on the same slices?"),
        (f"tumorlens train DATA --config {settings}", "a model by this recipe, to use"),
    ]
