"""``MODEL_CARD.md``: what a model is, what it is for, how good it is, and what is not known about it.

The order follows Mitchell M et al. Model cards for model reporting. FAT* 2019.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from tumorlens.labels import meaning, title
from tumorlens.report import looking, subgroups, trust
from tumorlens.report.failures import failures
from tumorlens.report.words import (
    NONE,
    NOT_STATED,
    RESEARCH_ONLY,
    count,
    duration,
    headline,
    markdown,
    moment,
    percent,
    percent_range,
    sample,
    score,
    scored,
    synthetic,
    unit_note,
)

_SPLITS = {"train": "training", "val": "validation", "test": "test"}


def model_card(metrics: Mapping[str, Any], settings_toml: str) -> str:
    """The card as Markdown, from ``metrics.json`` and ``config.toml``; unknown things say "not stated"."""
    model = metrics.get("model") or {}
    name = markdown(model.get("name") or metrics.get("name") or "model")
    parts = [
        f"# {name}",
        f"**{RESEARCH_ONLY}**",
        headline(metrics["test"], drawn=synthetic(metrics), out_of_fold=bool(metrics.get("out_of_fold")))
        + " "
        + unit_note(metrics["test"]),
        "## What it is",
        _what(metrics),
        "## Intended use",
        _intended(metrics),
        "## Data",
        _data(metrics),
        "## Recipe",
        _recipe(metrics, settings_toml),
        "## Scores",
        _scores(metrics),
        *(["## How far an answer can be trusted", trusted] if (trusted := _trusted(metrics)) else []),
        *(["## Parts of the slices", parts] if (parts := _subgroups(metrics)) else []),
        *(["## Is it looking at the tumour?", looked] if (looked := _looking(metrics)) else []),
        *(["## Where it fails", failed] if (failed := _bullets([markdown(one) for one in failures(metrics)])) else []),
        "## Limits",
        _limits(metrics),
    ]
    return "\n\n".join(parts) + "\n"


def _what(metrics: Mapping[str, Any]) -> str:
    model, training = metrics.get("model") or {}, metrics.get("training") or {}
    size = training.get("size")
    classes = "; ".join(f"{markdown(title(n))} ({markdown(n)})" for n in metrics.get("labels", []))
    return _facts(
        {
            "Kind": "convolutional network that names the class of one brain-MRI slice",
            "Classes": classes,
            "Architecture": _known(training.get("model")),
            "Parameters": count(training["parameters"]) if training.get("parameters") is not None else NOT_STATED,
            "Input": f"one grey slice, {size} × {size} pixels" if size else NOT_STATED,
            "Version": _known(model.get("version")),
            "SHA-256 of the network file (model.onnx)": _known(model.get("sha256")),
            "SHA-256 of the bundle": "that of bundle.json, which holds this card's; `tumorlens info MODEL` prints it",
            "Made": _known(moment(metrics.get("created"))),
            "Authors and contact": NOT_STATED,
        }
    )


def _intended(metrics: Mapping[str, Any]) -> str:
    lines = [
        "Research and teaching: comparing methods, studying data sets, showing how such a classifier behaves. "
        "Not for diagnosis, triage or any decision about a patient.",
        "",
    ]
    lines += [f"- {markdown(title(n))}: {meaning(n) or NOT_STATED}" for n in metrics.get("labels", [])]
    return "\n".join(lines)


def _data(metrics: Mapping[str, Any]) -> str:
    data = metrics.get("data") or {}
    counts = data.get("counts") or {}
    labels = metrics.get("labels", [])
    rows = [
        [
            _SPLITS.get(split, markdown(split)),
            *(count(by_class.get(n, 0)) for n in labels),
            count(sum(by_class.values())),
            count((data.get("groups") or {}).get(split)),
        ]
        for split, by_class in counts.items()
    ]
    notes = "".join(f"\n- Note: {markdown(note)}" for note in data.get("notes") or [])
    skipped = data.get("skipped")  # a list in a run; in a bundle, which names no file, numbers by reason
    left_out = sum(skipped.values()) if isinstance(skipped, Mapping) else None if skipped is None else len(skipped)
    published = data.get("published") or {}
    facts = [
        [markdown(name), *(markdown(fact[key]) for key in ("title", "licence", "note"))]
        for name, fact in published.items()
    ]
    parts = [
        _table(["Split", *(markdown(title(n)) for n in labels), "Slices", "Groups"], rows) if rows else "",
        _table(["Data set", "What it is", "Licence", "To know"], facts) if facts else "",
        _facts(
            {
                "Sources": ", ".join(markdown(s) for s in data.get("sources") or []) or NOT_STATED,
                "Unit that never crosses a split": _known(data.get("unit")),
                "Files left out": NOT_STATED if left_out is None else count(left_out),
                "Scanners, field strengths, sequences": NOT_STATED,
                "Age, sex and origin of the patients": NOT_STATED,
                "Who labelled, and how": NOT_STATED,
            }
        )
        + notes,
    ]
    return "\n\n".join(part for part in parts if part)


def _recipe(metrics: Mapping[str, Any], settings_toml: str) -> str:
    training = metrics.get("training") or {}
    rate = training.get("images_per_second")
    facts = _facts(
        {
            "Epochs": f"{_known(training.get('epochs'))}, {_best(training)}kept: {_known(training.get('kept'))}",
            "Seed": _known(training.get("seed")),
            "Time": duration(training["seconds"]) if training.get("seconds") is not None else NOT_STATED,
            "Speed": f"{rate:.0f} images/s" if rate is not None else NOT_STATED,
            "Backend, device, precision": ", ".join(
                _known(training.get(k)) for k in ("backend", "device", "precision")
            ),
            **_masks(training),
        }
    )
    # Longer than any run of backticks inside, so that nothing in the settings can end the block.
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", settings_toml)), default=0))
    settings = f"\n\nAll settings:\n\n{fence}toml\n{settings_toml.strip()}\n{fence}" if settings_toml.strip() else ""
    return facts + settings


def _masks(training: Mapping[str, Any]) -> dict[str, str]:
    """Where a network with drawn masks learned where tumours are; nothing for the others."""
    if not training.get("drawn"):
        return {}
    own = "beside the masks that the data bring" if training.get("masks") else "no mask of a real slice"
    return {"Where tumours are, learned from": f"{count(training['drawn'])} drawn slices with masks; {own}"}


def _best(training: Mapping[str, Any]) -> str:
    """The epoch with the lowest validation loss; nothing where none was validated."""
    epoch = training.get("best_epoch")
    return f"best {_known(epoch)}, " if epoch else ""


def _tested(metrics: Mapping[str, Any]) -> str:
    """What the scored slices are called."""
    return "slices, out of fold" if metrics.get("out_of_fold") else "test slices"


def _scores(metrics: Mapping[str, Any]) -> str:
    folded = metrics.get("out_of_fold")
    columns = [(f"Out of fold, {folded['folds']} folds" if folded else "Test", metrics["test"])]
    if validation := scored(metrics, "validation"):
        columns.append(("Validation", validation))
    if as_shipped := scored(metrics, "as_shipped"):
        columns.append(("Test as shipped (leaky)", as_shipped))
    if folds := scored(metrics, "cross_validation"):
        columns.append((f"Cross-validation, {len(folds['folds'])} folds", folds))
    rows: list[list[str]] = [["Slices", *(sample(s) for _, s in columns)]]
    for label, key in (
        ("Accuracy", "accuracy"),
        ("Balanced accuracy", "balanced_accuracy"),
        ("Patient-level accuracy", "patient_accuracy"),
    ):
        rows.append([label, *(_with_interval(s.get(key), s.get(f"{key}_ci95")) for _, s in columns)])
    for label, key in (
        ("Macro F1", "macro_f1"),
        ("AUROC, mean over classes", "auroc_macro"),
        ("ECE, 15 equal-mass bins", "ece"),
        ("Brier, sum over classes", "brier"),
        ("Log loss, nats", "nll"),
    ):
        rows.append([label, *(score(s.get(key)) for _, s in columns)])
    per_class = [
        [
            markdown(title(name)),
            count(part["n"]),
            _with_interval(part["sensitivity"], part.get("sensitivity_ci95")),
            percent(part["specificity"]),
            percent(part["ppv"]),
            percent(part["npv"]),
            score(part["auroc"]),
        ]
        for name, part in metrics["test"]["per_class"].items()
    ]
    return "\n\n".join(
        [
            _table(["", *(label for label, _ in columns)], rows),
            f"Per class, {_tested(metrics)}, each class against the rest (intervals in brackets):",
            _table(["Class", "n", "Sensitivity", "Specificity", "PPV", "NPV", "AUROC"], per_class),
        ]
    )


def _subgroups(metrics: Mapping[str, Any]) -> str:
    rows = subgroups.rows(metrics)
    if not rows:
        return ""
    header = [f"Part of the {_tested(metrics)}", "Slices", "Accuracy", "95 % interval", "Classes in it"]
    table = _table(header, [[markdown(cell) for cell in row] for row in rows])
    return "\n\n".join(part for part in (table, subgroups.by_patient(metrics)) if part)


def _trusted(metrics: Mapping[str, Any]) -> str:
    found = trust.view(metrics)
    if not found["lines"]:
        return ""
    parts = [
        found["sentence"],
        _table(["What is claimed", "Found", "To compare"], [list(line) for line in found["lines"]]),
    ]
    if found["classes"]:
        rows = [[markdown(cell) for cell in row] for row in found["classes"]]
        parts.append(_table(list(found["class_head"]), rows))
    return "\n\n".join([*parts, found["source"]])


def _looking(metrics: Mapping[str, Any]) -> str:
    lines = looking.lines(metrics)
    if not lines:
        return ""
    table = _table(
        [f"With a tumour mask, {_tested(metrics)}", "Share", "95 % interval", "Slices"],
        [list(line) for line in lines],
    )
    parts = [looking.sentence(metrics), table]
    if places := looking.places(metrics):
        head = ["Map", "Peak on the tumour", "95 % interval", "Of the map in the tumour", "IoU", "Slices"]
        parts.append(_table(head, [list(row) for row in places]))
        parts += [text for text in (looking.sanity(metrics), looking.warning(metrics)) if text]
    return "\n\n".join(parts)


def _limits(metrics: Mapping[str, Any]) -> str:
    test = metrics["test"]
    limits = [
        "It answers for single slices and knows the classes above only; another disease gets one of these names too.",
        "Scores hold for data like the test set; other scanners, sequences or hospitals were "
        "not measured here unless listed under Data.",
        "Predictive values depend on how common each class is in the test set.",
        unit_note(test),
    ]
    if (metrics.get("data") or {}).get("sources") == ["phantom"]:
        limits.insert(
            0, "Trained and tested on synthetic images only (the phantom): nothing here says how it does on real ones."
        )
    if metrics.get("leaked"):
        limits.append(
            f"{count(metrics['leaked'].get('removed', 0))} test images share a picture, a patient or a group with the "
            "training data; they were left out of the test scores. Scores marked leaky include them: do not quote "
            "those."
        )
    if synthetic(metrics):
        limits.insert(
            0, "It learned from and was tested on drawn images only: its scores say nothing about real scans."
        )
    best = metrics.get("shortcut")
    if best and best["clear"]:
        limits.append(
            f"Without seeing a tumour, the {best['probe']} of the same data names the class with a balanced accuracy "
            f"of {percent(best['balanced_accuracy'])} (guessing: {percent(best['chance'])}): part of the score may "
            "come from that."
        )
    if not scored(metrics, "validation") and not metrics.get("out_of_fold"):
        limits.append("There was no validation set.")
    weak = [n for n, part in test["per_class"].items() if part["sensitivity"] is not None and part["sensitivity"] < 0.8]
    if weak:
        names = ", ".join(markdown(title(n)) for n in weak)
        limits.append(f"Misses more than one in five slices of: {names}.")
    absent = [n for n, part in test["per_class"].items() if not part["n"]]
    if absent:
        limits.append(f"Never tested on: {', '.join(markdown(title(n)) for n in absent)}.")
    return _bullets(limits)


def _with_interval(value: float | None, interval: Sequence[float] | None) -> str:
    if value is None:
        return NONE
    return f"{percent(value)} ({percent_range(interval)})" if interval else f"{percent(value)} (no interval)"


def _known(value: object) -> str:
    return NOT_STATED if value in (None, "") else markdown(value)


def _bullets(sentences: Sequence[str]) -> str:
    return "\n".join(f"- {sentence}" for sentence in sentences)


def _facts(facts: Mapping[str, str]) -> str:
    return "\n".join(f"- {name}: {value}" for name, value in facts.items())


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    rule = ["---", *("---:" for _ in head[1:])]
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, rule, *rows))
