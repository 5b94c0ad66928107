"""What the report says of calibration, sets and uncertain answers."""

from __future__ import annotations

from typing import Any

from tumorlens.report import trust

CALIBRATION = {
    "temperature": 0.6,
    "n": 300,
    "groups": 40,
    "before": {"ece": 0.07, "brier": 0.2, "nll": 0.4},
    "after": {"ece": 0.02, "brier": 0.18, "nll": 0.3},
    "floor": 0.015,
}


def metrics() -> dict[str, Any]:
    part = {"n": 50, "coverage": 0.94, "coverage_ci95": [0.9, 0.97]}
    sets = {
        "alpha": 0.05,
        "coverage": 0.95,
        "coverage_ci95": [0.93, 0.97],
        "mean_set_size": 1.2,
        "empty": 0.01,
        "single": 0.8,
        "per_class": {"glioma": part},
    }
    return {
        "test": {"coverage": 0.8, "selective_accuracy": 0.99, "aurc": 0.01, "conformal": sets},
        "calibration": CALIBRATION,
        "selective": {"threshold": 0.83, "target": 0.98, "accuracy": 0.98, "coverage": 0.8, "reached": True},
        "conformal": {"alpha": 0.05, "quantiles": {"glioma": 0.4, "no_tumor": 1.0}, "groups": {}},
    }


def plain(text: str) -> str:
    return text.replace("\N{NO-BREAK SPACE}", " ").replace("\N{NARROW NO-BREAK SPACE}", " ")


def test_numbers_stand_beside_what_to_compare_them_with() -> None:
    shown = {name: (value, plain(note)) for name, value, note in trust.lines(metrics())}
    assert shown["Calibration error (ECE)"][0] == "0.020"
    assert "before 0.070; a perfectly calibrated network: 0.015" in shown["Calibration error (ECE)"][1]
    assert "asked for 95.0 % of each class" in shown["Sets that hold the truth"][1]
    assert "83.0 % or more" in shown["Accepted answers"][1]


def test_the_sentence_is_plain() -> None:
    assert plain(trust.sentence(metrics())) == (
        "20.0 % of the answers are marked uncertain; of the others 99.0 % are right. The set of classes given with "
        "each answer holds the truth for 95.0 % of the slices and names 1.20 classes on average."
    )


def test_classes_that_can_never_be_ruled_out_are_named() -> None:
    said = trust.view(metrics())["source"]
    assert "fewer than 19 patients of the class were held out: No tumour." in said
    assert "Glioma" not in said


def test_without_calibration_it_says_so() -> None:
    found = trust.view({"test": {}, "calibration": None})
    assert found["lines"] == found["classes"] == []
    assert "not calibrated" in found["none"]
