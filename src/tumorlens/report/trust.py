"""How far the answers can be trusted, in words: calibration, conformal sets, uncertain answers."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Callable, Mapping
from typing import Any

from tumorlens.evaluation.table import PredictionTable
from tumorlens.evaluation.trusting import uncalibrated
from tumorlens.inference.trust.trust import LEAST_GROUPS, LEAST_SLICES
from tumorlens.labels import title
from tumorlens.report import words

Line = tuple[str, str, str]
# What coverage is averaged over, by the unit of chance; slices on their own are pooled anyway.
_UNITS = {"patient": "patients", "group": "groups of patients", "duplicate cluster": "clusters"}


def lines(metrics: Mapping[str, Any]) -> list[Line]:
    """What is claimed, the number, and what to compare it with."""
    test = scores(metrics)
    return [
        *_calibration(metrics, test),
        *_sets(test),
        *_selective(metrics, test),
        *_gate(metrics, test),
        *_series(metrics),
    ]


def class_head(metrics: Mapping[str, Any]) -> tuple[str, ...]:
    """What the columns of :func:`classes` are called."""
    known = ("Class", "Slices", "Sets that hold it", "95 % interval")
    units = averaged_over(scores(metrics))
    return (*known, f"Averaged over {units}", "95 % interval") if units else known


def classes(metrics: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Class, slices, share whose set holds it, interval, the same averaged over patients; nothing without sets."""
    test = scores(metrics)
    rows: list[tuple[str, ...]] = []
    for name, part in (test.get("conformal") or {"per_class": {}})["per_class"].items():
        row = (title(name), words.count(part["n"]), *_cells(part, "coverage"))
        rows.append((*row, *_cells(part, "patient_coverage")) if averaged_over(test) else row)
    return rows


def averaged_over(test: Mapping[str, Any]) -> str:
    """Over what coverage is averaged, as a plural; empty where it was not, or would be the same as pooled."""
    known = "patient_coverage" in (test.get("conformal") or {})
    return _UNITS.get(test.get("unit", ""), "") if known else ""


def before(metrics: Mapping[str, Any], table: PredictionTable) -> PredictionTable | None:
    """Calibrated answers as they were before; None where calibration changed nothing.

    Args:
        metrics: of a training, or of a cross-validation.
        table: the answers behind its scores.
    """
    found = metrics.get("calibration")
    if not found:
        return None
    own = found.get("temperatures") or {}
    # In a cross-validation each fold has its temperature, or none.
    usual = 1.0 if metrics.get("kind") == "crossval" else float(found["temperature"])
    if all(own.get(fold, usual) == 1 for fold in table.folds):
        return None
    return uncalibrated(table, own, usual)


def sentence(metrics: Mapping[str, Any]) -> str:
    """The result in plain words; empty where there is none."""
    test = scores(metrics)
    said = []
    if test.get("coverage") is not None:
        said.append(
            f"{words.percent(1 - test['coverage'])} of the answers are marked uncertain; of the others "
            f"{words.percent(test['selective_accuracy'])} are right."
        )
    if sets := test.get("conformal"):
        units = averaged_over(test)
        pooled = ""
        if units:
            mean = words.percent(sets["patient_coverage"])
            pooled = f", pooled over {units} ({mean} averaged over {units}),"
        said.append(
            f"The set of classes given with each answer holds the truth for {words.percent(sets['coverage'])} of the "
            f"slices{pooled} and names {sets['mean_set_size']:.2f} classes on average."
        )
    return " ".join(said)


def view(metrics: Mapping[str, Any], settings_toml: str = "") -> dict[str, Any]:
    """What the template names; ``settings_toml``: of the run, which tells whether calibration was wanted."""
    none = _uncalibrated(metrics, settings_toml)
    crossed = metrics.get("kind") == "crossval" or metrics.get("out_of_fold")
    where = (
        "Fitted to the out-of-fold answers of the other folds, so no slice had a part in its own."
        if crossed
        else "Fitted to validation slices, scored on test slices."
    )
    return {
        "lines": lines(metrics),
        "classes": classes(metrics),
        "class_head": class_head(metrics),
        "sentence": sentence(metrics),
        "source": " ".join(filter(None, (where, _harm(metrics), _always(metrics))))
        if metrics.get("calibration")
        else none,
        "none": none,
    }


def _uncalibrated(metrics: Mapping[str, Any], settings_toml: str) -> str:
    """Why probabilities are the network's own."""
    known = "The probabilities are not calibrated"
    if not tomllib.loads(settings_toml).get("evaluate", {}).get("calibrate", True):
        return f"{known}: calibration is switched off."
    held = metrics.get("validation") or {}
    found = f": {words.plural(held['n'], 'slice')}" if "n" in held else ""
    least = f"at least {LEAST_SLICES} slices of {LEAST_GROUPS} patients are needed"
    return f"{known}: too few slices or patients were held out for validation{found}; {least}."


def _gate(metrics: Mapping[str, Any], test: Mapping[str, Any]) -> list[Line]:
    if test.get("refused") is None:
        return []
    sources = ((metrics.get("subgroups") or {}).get("source") or {}).values()
    most = max((part["refused"] or 0.0 for part in sources), default=0.0)
    beside = f"all are meant to be brain MRI; of one source, at most {words.percent(most)}"
    return [("Slices refused as no brain MRI", words.percent(test["refused"]), beside)]


def _series(metrics: Mapping[str, Any]) -> list[Line]:
    found = metrics.get("series")
    if not found:
        return []
    rules = {name: words.percent(rule["accuracy"]) for name, rule in found["rules"].items()}
    beside = f"mean of all slices {rules['mean']}, the most suspicious slice alone {rules['max']}"
    each = ", ".join(f"{title(name)} {words.count(part['n'])}" for name, part in found["per_class"].items())
    name = f"All slices of a patient together ({words.plural(found['n'], 'patient')}: {each})"
    return [(name, words.percent(found["accuracy"]), beside), *_series_sets(found)]


def _series_sets(found: Mapping[str, Any]) -> list[Line]:
    """Sets for patients, and the classes that no answer rules out."""
    sets = found.get("conformal")
    if not sets:
        return []
    beside = _with_interval(f"{sets['mean_set_size']:.2f} classes on average", sets, "coverage")
    if always := found.get("always"):
        beside += f"; in every set: {', '.join(map(title, always))}"
    return [("Their sets that hold the truth", words.percent(sets["coverage"]), beside)]


def always(metrics: Mapping[str, Any]) -> tuple[list[str], int]:
    """Classes that are in every set, since too few of their patients are known to rule them out; how many it takes."""
    made = metrics.get("conformal") or {}
    names = [name for name, limit in (made.get("quantiles") or {}).items() if limit >= 1]
    return names, math.ceil(1 / made["alpha"]) - 1 if names else 0


def _harm(metrics: Mapping[str, Any]) -> str:
    """That the slices which the temperature was fitted to were too few, or unlike those that it is scored on."""
    before, after = (metrics["calibration"][name]["nll"] for name in ("before", "after"))
    if after <= before or words.score(after) == words.score(before):
        return ""
    return (
        f"On the slices that are scored here it did harm: log loss {words.score(before)} before and "
        f"{words.score(after)} after. Those that it was fitted to were too few, or unlike these."
    )


def _always(metrics: Mapping[str, Any]) -> str:
    names, needed = always(metrics)
    if not names:
        return ""
    listed = ", ".join(map(title, names))
    return f"In every set, since fewer than {needed} patients of the class were held out: {listed}."


def scores(metrics: Mapping[str, Any]) -> Mapping[str, Any]:
    """The scores of a run's test, or of a cross-validation's first seed."""
    found: Mapping[str, Any] = metrics["seeds"][0] if metrics.get("kind") == "crossval" else metrics["test"]
    return found


def _calibration(metrics: Mapping[str, Any], test: Mapping[str, Any]) -> list[Line]:
    found = metrics.get("calibration")
    if not found:
        return []
    before, after = found["before"], found["after"]
    compared = f"before {words.score(before['ece'])}; a perfectly calibrated network: {words.score(found['floor'])}"
    return [
        ("Temperature", f"{found['temperature']:.2f}", "above 1 the network was too sure, below 1 not sure enough"),
        (
            "Calibration error (ECE)",
            words.score(after["ece"]),
            _with_interval(compared, test, "ece", words.score_range),
        ),
        ("Log loss", words.score(after["nll"]), f"before {words.score(before['nll'])}"),
        ("Brier score", words.score(after["brier"]), f"before {words.score(before['brier'])}"),
    ]


def _sets(test: Mapping[str, Any]) -> list[Line]:
    sets = test.get("conformal")
    if not sets:
        return []
    wanted = f"asked for {words.percent(1 - sets['alpha'])} of the pooled slices of each class"
    made = [("Sets that hold the truth", words.percent(sets["coverage"]), _with_interval(wanted, sets, "coverage"))]
    if units := averaged_over(test):
        note = _with_interval("each counts the same; the rate asked for is the pooled one", sets, "patient_coverage")
        made.append((f"The same, averaged over {units}", words.percent(sets["patient_coverage"]), note))
    empty = _with_interval(f"{words.percent(sets['empty'])} of the sets are empty", sets, "mean_set_size", _size_range)
    return [*made, ("Classes in a set", f"{sets['mean_set_size']:.2f}", empty)]


def _selective(metrics: Mapping[str, Any], test: Mapping[str, Any]) -> list[Line]:
    made = metrics.get("selective")
    if not made or test.get("coverage") is None:
        return []
    threshold = f"top probability {words.percent(made['threshold'])} or more"
    aim = f"meant to be {words.percent(made['target'])}"
    return [
        ("Accepted answers", words.percent(test["coverage"]), _with_interval(threshold, test, "coverage")),
        ("Of these right", words.percent(test["selective_accuracy"]), _with_interval(aim, test, "selective_accuracy")),
        ("Area under risk and coverage", words.score(test["aurc"]), "mean error rate over all coverages"),
    ]


def _with_interval(
    note: str,
    found: Mapping[str, Any],
    name: str,
    form: Callable[[Any], str] = words.percent_range,
) -> str:
    """A note and the interval of what it is beside; scores of earlier versions have none for some."""
    interval = found.get(f"{name}_ci95")
    return f"{note}; 95{words.NBSP}% interval {form(interval)}" if interval else note


def _size_range(interval: tuple[float, float]) -> str:
    return f"{interval[0]:.2f} to {interval[1]:.2f}"


def _cells(part: Mapping[str, Any], name: str) -> tuple[str, str]:
    return words.percent(part.get(name)), words.percent_range(part.get(f"{name}_ci95"))
