"""The few lines that end a training on the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import fill
from typing import Any

from tumorlens.labels import title
from tumorlens.report import robustness, subgroups, trust
from tumorlens.report.words import (
    NBSP,
    NONE,
    count,
    guessing,
    percent,
    percent_range,
    sample,
    score,
    scored,
    synthetic,
    unit_note,
)

_WIDTH = 100
_FULL = "every class in every set"
Fact = tuple[str, str, str]


def summary_text(metrics: Mapping[str, Any]) -> str:
    """The scores of ``metrics.json`` as plain text, one fact a line, aligned; ends without a newline."""
    validation, drawn = scored(metrics, "validation"), synthetic(metrics)
    first = (
        "Validation accuracy",
        percent(validation["accuracy"]) if validation else NONE,
        sample(validation, drawn=drawn) if validation else "no validation set",
    )
    last = []
    if shipped := scored(metrics, "as_shipped"):
        last.append(("As shipped (leaky)", percent(shipped["accuracy"]), _leak_note(metrics)))
    if folds := scored(metrics, "cross_validation"):
        note = f"{bounds(folds.get('accuracy_ci95'))}, {len(folds['folds'])} folds, SD {percent(folds['accuracy_sd'])}"
        last.append(("Cross-validation", percent(folds["accuracy"]), note))
    last += shortcut_facts(metrics) + looking_facts(metrics)
    names, needed = trust.always(metrics)
    full = _FULL
    if set(names) == set(metrics["test"]["per_class"]):
        full += f", as fewer than {needed} patients of each were held out"
    return _text(metrics["test"], "Test accuracy", [first], last, drawn=drawn, full=full)


def shortcut_facts(metrics: Mapping[str, Any]) -> list[Fact]:
    """The probe that names the class best without seeing a tumour; nothing where none was scored."""
    best = metrics.get("shortcut")
    if not best:
        return []
    note = f"{bounds(best['ci95'])}, balanced, by the {best['probe']} alone; guessing: {percent(best['chance'])}"
    return [("Best shortcut", percent(best["balanced_accuracy"]), note)]


def looking_facts(metrics: Mapping[str, Any]) -> list[Fact]:
    """Whether the answers hang on the tumour; nothing where no tested slice has a mask."""
    found = metrics.get("clever_hans")
    if not found:
        return []
    facts: list[Fact] = []
    name = "Tumour erased"
    if removed := found["removed"]:
        facts = [(name, percent(removed["rate"]), f"{bounds(removed['ci95'])}, called “no tumour”")]
        if control := found["control"]:
            note = f"{bounds(control['ci95'])}, keeps its answer"
            facts.append(("As much elsewhere", percent(control["rate"]), note))
        name = "Background only"
    if background := found["background"]:
        plane = percent(found["plane_only"]["rate"])
        note = f"{bounds(background['ci95'])}, type still right; from the plane alone: {plane}"
        facts.append((name, percent(background["rate"]), note))
    return facts


def scores_text(document: Mapping[str, Any]) -> str:
    """One evaluation (the contract's ``evaluate --json`` document) as plain text; ends without a newline."""
    text = _text(document, "Accuracy", [], looking_facts(document) + _map_facts(document))
    sentences = [subgroups.worst({**document, "test": document})] if document.get("subgroups") else []
    if held := document.get("robustness"):
        sentences.append(robustness.sentence(held))
    return "\n\n".join([text, *(plain(fill(one, _WIDTH)) for one in sentences if one)])


def _text(
    test: Mapping[str, Any],
    name: str,
    before: list[Fact],
    after: list[Fact],
    *,
    drawn: bool = False,
    full: str = _FULL,
) -> str:
    facts = [
        *before,
        (name, percent(test["accuracy"]), f"{bounds(test.get('accuracy_ci95'))}, {sample(test, drawn=drawn)}"),
    ]
    if test.get("patient_accuracy") is not None:
        facts.append(("Patient-level", percent(test["patient_accuracy"]), bounds(test.get("patient_accuracy_ci95"))))
    facts += [
        ("Balanced accuracy", percent(test["balanced_accuracy"]), bounds(test.get("balanced_accuracy_ci95"))),
        ("AUROC, mean", score(test.get("auroc_macro")), ""),
        *_trust_facts(test, full),
        *after,
    ]
    lines = columns(facts, "<><")
    table = [("Class", "n", "sensitivity", "95 % interval")]
    for label, part in test["per_class"].items():
        interval = percent_range(part.get("sensitivity_ci95"))
        table.append((title(label), count(part["n"]), percent(part["sensitivity"]), interval))
    if test.get("refused"):
        note = "as no brain MRI; in the scores above, their likeliest class counts as the answer"
        lines += columns([("Refused", percent(test["refused"]), note)], "<><")
    guess = [fill(words, _WIDTH), ""] if (words := guessing(test)) else []
    text = "\n".join([*lines, "", *guess, *columns(table, "<>><"), "", fill(unit_note(test), _WIDTH)])
    return plain(text)


def _map_facts(test: Mapping[str, Any]) -> list[Fact]:
    """How often the map's highest point lies in the tumour; nothing where no slice has a mask."""
    found = test.get("pointing_game")
    if not found:
        return []
    note = f"of {count(found['n'])} slices with a mask; the middle of the picture or head: {percent(found['baseline'])}"
    return [("Map on the tumour", percent(found["hit_rate"]), note)]


def _trust_facts(test: Mapping[str, Any], full: str) -> list[Fact]:
    """How many answers are sure enough, and what the sets hold; nothing where the model says neither.

    ``full``: what is said of sets that hold every class, and so say nothing.
    """
    facts = []
    if test.get("coverage") is not None:
        known = f"{bounds(test['coverage_ci95'])}, " if "coverage_ci95" in test else "of the answers; "
        note = f"{known}{percent(test['selective_accuracy'])} of them are right"
        if interval := test.get("selective_accuracy_ci95"):
            note += f" ({percent_range(interval)})"
        facts.append(("Sure enough", percent(test["coverage"]), note))
    sets = test.get("conformal")
    if sets and sets["mean_set_size"] > len(test["per_class"]) - 0.005:
        facts.append(("Sets with the truth", percent(sets["coverage"]), full))
    elif sets:
        note = f"{bounds(sets['coverage_ci95'])}, {sets['mean_set_size']:.2f} classes on average"
        if interval := sets.get("mean_set_size_ci95"):
            note += f" ({interval[0]:.2f} to {interval[1]:.2f})"
        facts.append(("Sets with the truth", percent(sets["coverage"]), note))
        if units := trust.averaged_over(test):
            note = f"{bounds(sets['patient_coverage_ci95'])}, over {units}"
            facts.append(("The same, averaged", percent(sets["patient_coverage"]), note))
    return facts


def plain(text: str) -> str:
    """The same with plain spaces, for terminals and log files."""
    return text.replace(NBSP, " ").replace("\N{NARROW NO-BREAK SPACE}", " ")


def columns(rows: Sequence[Sequence[str]], align: str) -> list[str]:
    """Lines of a table; ``align`` has ``<`` or ``>`` for each column."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(align))]
    return [
        "  ".join(f"{cell:{side}{width}}" for cell, side, width in zip(row, align, widths, strict=True)).rstrip()
        for row in rows
    ]


def bounds(interval: Sequence[float] | None) -> str:
    """An interval, or that there is none."""
    return f"95 % interval {percent_range(interval)}" if interval else "no interval"


def _leak_note(metrics: Mapping[str, Any]) -> str:
    removed = (metrics.get("leaked") or {}).get("removed", 0)
    return f"with {count(removed)} test images that share a picture, patient or group with training"
