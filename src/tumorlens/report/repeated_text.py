"""The lines that end a cross-validation on the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from textwrap import fill
from typing import Any

from tumorlens.labels import title
from tumorlens.report.summary import bounds, columns, looking_facts, plain, shortcut_facts
from tumorlens.report.words import count, percent, percent_range, sample, scored, synthetic, unit_note

_WIDTH = 100


def repeated_text(metrics: Mapping[str, Any]) -> str:
    """``metrics.json`` of a cross-validation as plain text; ends without a newline."""
    scores = metrics["scores"]
    drawn = synthetic(metrics)
    facts = [
        ("Accuracy", percent(scores["accuracy"]["mean"]), f"{_certainty(scores['accuracy'])}"),
        ("Balanced accuracy", percent(scores["balanced_accuracy"]["mean"]), _certainty(scores["balanced_accuracy"])),
    ]
    if patients := scores["patient_accuracy"]:
        facts.insert(1, ("Patient-level", percent(patients["mean"]), _certainty(patients)))
    if shipped := scored(metrics, "as_shipped"):
        removed = metrics["leaked"]["removed"]
        note = f"with {count(removed)} slices that share a picture, patient or group with training"
        facts.append(("As shipped (leaky)", percent(shipped["accuracy"]["mean"]), note))
    facts += shortcut_facts(metrics) + looking_facts(metrics)
    classes = [("Class", "n", "sensitivity", "95 % interval")]
    classes += [
        (
            title(name),
            count(part["n"]),
            percent(part["sensitivity"]["mean"]),
            percent_range(part["sensitivity"]["ci95"]),
        )
        for name, part in scores["per_class"].items()
    ]
    seeds = [entry["seed"] for entry in metrics["seeds"]]
    head = [f"seed {seed}" for seed in seeds]
    folds = [("Fold", *head)]
    for name in metrics["data"]["counts"]:
        own = [percent(item["accuracy"]) for item in metrics["folds"] if item["fold"] == name]
        folds.append((name, *own))
    whole = [percent(entry["accuracy"]) for entry in metrics["seeds"]]
    folds.append(("all", *whole))
    runs = f"{count(scores['runs'])} trainings of each" if scores["runs"] > 1 else "one training of each"
    tested = f"{sample(scores, drawn=drawn)} in {len(metrics['data']['counts'])} folds, {runs}: accuracy by fold"
    return plain(
        "\n".join(
            [
                *columns(facts, "<><"),
                "",
                *columns(classes, "<>><"),
                "",
                tested,
                *columns(folds, "<" + ">" * len(head)),
                "",
                fill(unit_note(scores), _WIDTH),
            ]
        )
    )


def spread(entry: Mapping[str, Any]) -> str:
    """The standard deviation between seeds in points, or nothing for one seed."""
    return "" if entry["sd"] is None else f"SD between seeds {100 * entry['sd']:.1f} points"


def _certainty(entry: Mapping[str, Any]) -> str:
    return ", ".join(part for part in (bounds(entry["ci95"]), spread(entry)) if part)
