"""What the report says, as plain values for the template: no HTML here, no arithmetic in the template."""

from __future__ import annotations

import importlib.metadata
import shlex
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tumorlens import __version__
from tumorlens.labels import colours, title
from tumorlens.report import findings, looking, subgroups, trust, words
from tumorlens.report.curve_charts import CALIBRATION_LEAST, calibration_bins
from tumorlens.report.run_folder import RunFolder

# What is never divided, by the unit of chance.
TOGETHER = {
    "patient": "the slices of a patient",
    "duplicate cluster": "the slices of a known patient or group, copies of a picture, and look-alikes",
    "slice": "copies of a picture; patients are not known",
}
#: What the report calls the SHA-256 that stands for the bundle.
BUNDLE = "Bundle (bundle.json), SHA-256"
_SPLITS = {"train": "Training", "val": "Validation", "test": "Test"}


def view(run: RunFolder) -> dict[str, Any]:
    """Everything that the template names, apart from charts and images."""
    metrics = run.metrics
    test, drawn = metrics["test"], words.synthetic(metrics)
    return {
        "name": metrics.get("name") or run.path.name,
        "created": words.moment(metrics.get("created")),
        "research_only": words.RESEARCH_ONLY,
        "headline": words.headline(test, drawn=drawn),
        "uncertain": test.get("coverage") is not None,
        "calibrated": bool(metrics.get("calibration")),
        "unit_note": words.unit_note(test),
        "tiles": _tiles(metrics, drawn=drawn),
        "drawn": drawn,
        "leak": findings.leak(metrics, run.audit),
        "conflicts": findings.conflicts(run.audit),
        "doubts": findings.doubts(metrics, test["balanced_accuracy"], run.audit),
        "audit": findings.audit_view(run.audit),
        "audit_page": (run.path / "audit.html").is_file(),
        "skipped": findings.skipped((metrics.get("data") or {}).get("skipped") or []),
        "data": _data(run),
        "training": _training(run),
        "classes": _classes(test),
        "overall": _overall(metrics),
        "folds": _folds(metrics),
        "shortcuts": findings.shortcuts(metrics, run.audit),
        "subgroups": {
            "rows": subgroups.rows(metrics),
            "worst": subgroups.worst(metrics),
            "patients": subgroups.by_patient(metrics),
        },
        "trust": trust.view(metrics, run.settings_toml),
        "looking": looking.view(metrics),
        "mistakes_n": _mistakes(test),
        "curve_note": _curve_note(run),
        "calibration_note": _calibration_note(run),
        "undefined_curves": _undefined(run),
        "plan": plan_rows(run.path),
        "settings": run.settings_toml.strip(),
        "commands": _commands(run),
        "versions": _versions(run),
        "has_history": bool(run.history.get("epoch")),
        "has_predictions": run.tested is not None and len(run.tested) > 0,
    }


def plan_rows(folder: Path) -> list[tuple[str, str, str]]:
    """Setting, value and reason of each choice in ``plan.toml``; nothing where everything was given."""
    path = folder / "plan.toml"
    if not path.is_file():
        return []
    choices = tomllib.loads(path.read_text(encoding="utf-8")).get("choice", [])
    return [(one["setting"], str(one["value"]) or words.NONE, one["reason"]) for one in choices]


def _tiles(metrics: Mapping[str, Any], *, drawn: bool) -> list[dict[str, str]]:
    test, validation = metrics["test"], words.scored(metrics, "validation")
    tiles = [
        tile("Test accuracy", test["accuracy"], interval(test.get("accuracy_ci95"))),
        tile("Patient-level accuracy", test.get("patient_accuracy"), _patient_note(test)),
        tile("Balanced accuracy", test["balanced_accuracy"], interval(test.get("balanced_accuracy_ci95"))),
    ]
    if validation:
        tiles.append(tile("Validation accuracy", validation["accuracy"], words.sample(validation, drawn=drawn)))
    else:
        tiles.append(tile("Validation accuracy", None, "no validation set"))
    return tiles


def tile(name: str, share: float | None, note: str) -> dict[str, str]:
    """A large number with its name above and a note below."""
    return {"name": name, "value": words.percent(share), "note": note}


def interval(bounds: list[float] | None) -> str:
    """An interval, or that there is none."""
    return f"95{words.NBSP}% interval {words.percent_range(bounds)}" if bounds else "no interval"


def _patient_note(scores: Mapping[str, Any]) -> str:
    if scores.get("patient_accuracy") is None:
        return "patients not known"
    return interval(scores.get("patient_accuracy_ci95"))


def _data(run: RunFolder) -> dict[str, Any]:
    metrics = run.metrics
    data = metrics.get("data") or {}
    labels = metrics.get("labels") or metrics["test"]["confusion"]["labels"]
    counts, groups = data.get("counts") or {}, data.get("groups") or {}
    return {
        "labels": [title(name) for name in labels],
        "rows": [
            {
                "split": _SPLITS.get(split, split),
                "counts": [by_class.get(name, 0) for name in labels],
                "n": sum(by_class.values()),
                "groups": groups.get(split),
            }
            for split, by_class in counts.items()
        ],
        "groups_title": {"patient": "Patients", "duplicate cluster": "Clusters"}.get(data.get("unit", ""), "Groups"),
        "sources": data.get("sources") or [],
        # What the data's own test set shares with training is told as a leak; then nothing may be promised here.
        "together": None if findings.crossing(metrics, run.audit) else TOGETHER.get(data.get("unit", "")),
        "notes": data.get("notes") or [],
    }


def _training(run: RunFolder) -> list[tuple[str, str]]:
    training = run.metrics.get("training") or {}
    size, rate = training.get("size"), training.get("images_per_second")

    def known(key: str) -> str:
        value = training.get(key)
        return words.NOT_STATED if value in (None, "") else str(value)

    return [
        ("Network", known("model")),
        ("Parameters", words.count(training.get("parameters"))),
        ("Input", f"{size} × {size} pixels, grey" if size else words.NOT_STATED),
        ("Epochs", known("epochs")),
        ("Lowest validation loss", f"epoch {known('best_epoch')}" if training.get("best_epoch") else words.NOT_STATED),
        ("Weights kept", f"of epoch {kept}" if (kept := run.kept_epoch) else known("kept")),
        ("Time", words.duration(training.get("seconds"))),
        ("Speed", f"{rate:.0f} images/s" if rate is not None else words.NONE),
        ("Device", known("device")),
        ("Backend", known("backend")),
        ("Precision", known("precision")),
        ("Seed", known("seed")),
        *([("Drawn slices, with masks", words.count(training["drawn"]))] if training.get("drawn") else []),
    ]


def _classes(test: Mapping[str, Any]) -> list[dict[str, Any]]:
    palette = colours(test["confusion"]["labels"])
    return [
        {
            "title": title(name),
            "colour": palette.get(name, "#999999"),
            "n": part["n"],
            "sensitivity": words.percent(part["sensitivity"]),
            "interval": words.percent_range(part.get("sensitivity_ci95")),
            "specificity": words.percent(part["specificity"]),
            "ppv": words.percent(part["ppv"]),
            "npv": words.percent(part["npv"]),
            "auroc": words.score(part["auroc"]),
        }
        for name, part in test["per_class"].items()
    ]


def _overall(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """The table of scores: a column for each set that was scored."""
    columns = [("Test", metrics["test"])]
    if validation := words.scored(metrics, "validation"):
        columns.append(("Validation", validation))
    if as_shipped := words.scored(metrics, "as_shipped"):
        columns.append(("Test as shipped (leaky)", as_shipped))
    if folds := words.scored(metrics, "cross_validation"):
        columns.append((f"Cross-validation, {len(folds['folds'])} folds", folds))
    shares = (
        ("Accuracy", "accuracy"),
        ("Balanced accuracy", "balanced_accuracy"),
        ("Patient-level", "patient_accuracy"),
    )
    plain = (
        ("Macro F1", "macro_f1"),
        ("AUROC, mean over classes", "auroc_macro"),
        ("Calibration error (ECE)", "ece"),
        ("Brier score (0 to 2)", "brier"),
        ("Log loss, nats", "nll"),
    )
    rows = [("Slices", [(words.count(s["n"]), "") for _, s in columns])]
    for label, key in shares:
        cells = [(words.percent(s.get(key)), words.percent_range(s.get(f"{key}_ci95"))) for _, s in columns]
        rows.append((label, cells))
    rows += [(label, [(words.score(s.get(key)), "") for _, s in columns]) for label, key in plain]
    return {"columns": [label for label, _ in columns], "rows": rows}


def _folds(metrics: Mapping[str, Any]) -> dict[str, Any] | None:
    """The folds of the cross-validation, where there was one."""
    folds = words.scored(metrics, "cross_validation")
    if not folds:
        return None
    return {
        "spread": words.percent(folds["accuracy_sd"]),
        "rows": [
            (
                item["fold"],
                words.count(item["n"]),
                words.percent(item["accuracy"]),
                words.percent(item["patient_accuracy"]),
            )
            for item in folds["folds"]
        ],
    }


def _mistakes(test: Mapping[str, Any]) -> int:
    matrix = test["confusion"]["matrix"]
    return int(sum(map(sum, matrix)) - sum(matrix[i][i] for i in range(len(matrix))))


def _curve_note(run: RunFolder) -> str:
    """Says so when the saved predictions are not those behind the scores."""
    if run.tested is None:
        return "predictions.csv is missing, so there are no curves."
    n = run.metrics["test"]["n"]
    if len(run.tested) != n:
        return f"Curves are drawn from {words.count(len(run.tested))} predictions, scores from {words.count(n)} slices."
    return ""


def _calibration_note(run: RunFolder) -> str:
    """Why there is no calibration chart; empty when there is one."""
    n = 0 if run.tested is None else len(run.tested)
    if calibration_bins(n):
        return ""
    return f"{words.plural(n, 'test slice')} cannot show it: from {CALIBRATION_LEAST} on there is a chart here."


def _undefined(run: RunFolder) -> list[str]:
    return [title(n) for n, part in run.metrics["test"]["per_class"].items() if part["auroc"] is None]


def _commands(run: RunFolder) -> list[tuple[str, str]]:
    folder, settings = (shlex.quote(str(path)) for path in (run.path, run.path / "config.toml"))
    return [
        (f"tumorlens predict INPUT --model {folder}", "answers for other slices"),
        (f"tumorlens evaluate {folder} DATA", "score the model on other labelled data"),
        (f"tumorlens train DATA --config {settings}", "train again with the same settings"),
    ]


def _versions(run: RunFolder) -> list[tuple[str, str]]:
    metrics = run.metrics
    model = metrics.get("model") or {}
    parity = metrics.get("parity") or {}
    found = [(str(k), str(v)) for k, v in (metrics.get("versions") or {}).items()]
    if model:
        version = " ".join(str(model[key]) for key in ("name", "version") if model.get(key))
        found.append(("Model", version or words.NOT_STATED))
        found.append(("Network file (model.onnx), SHA-256", str(model.get("sha256") or words.NOT_STATED)))
    if run.bundle_sha256:
        # The one that tumorlens info prints and that every answer carries.
        found.append((BUNDLE, run.bundle_sha256))
    if parity:
        n, worst = parity.get("n"), parity.get("max_abs_difference")
        found.append(
            ("Keras against ONNX", f"largest difference {worst:.1e} over {words.plural(int(n or 0), 'slice')}")
        )
    found.append(("Report drawn by", f"tumorlens {__version__}, Altair {importlib.metadata.version('altair')}"))
    return found
