"""What the report says of calibration, sets and uncertain answers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tumorlens.evaluation import PredictionTable
from tumorlens.report import summary_text, trust

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
    assert (
        "asked for 95.0 % of the pooled slices of each class; 95 % interval 93.0 to 97.0 %"
        in shown["Sets that hold the truth"][1]
    )
    assert "83.0 % or more" in shown["Accepted answers"][1]


def with_intervals() -> dict[str, Any]:
    """As :func:`metrics`, with what earlier versions did not store."""
    found = metrics()
    test, average = found["test"], {"patient_coverage": 0.88, "patient_coverage_ci95": [0.82, 0.93]}
    test |= {"unit": "patient", "coverage_ci95": [0.7, 0.9], "selective_accuracy_ci95": [0.97, 0.995]}
    test["ece_ci95"] = [0.01, 0.03]
    test["conformal"] |= {**average, "mean_set_size_ci95": [1.1, 1.3]}
    test["conformal"]["per_class"]["glioma"] |= {"groups": 12, **average}
    return found


def test_intervals_stand_beside_their_numbers() -> None:
    shown = {name: (value, plain(note)) for name, value, note in trust.lines(with_intervals())}
    for name, interval in (
        ("Calibration error (ECE)", "0.010 to 0.030"),
        ("Accepted answers", "70.0 to 90.0 %"),
        ("Of these right", "97.0 to 99.5 %"),
        ("Classes in a set", "1.10 to 1.30"),
        ("The same, averaged over patients", "82.0 to 93.0 %"),
    ):
        assert shown[name][1].endswith(f"95 % interval {interval}"), name
    assert [note for name, _, note in trust.lines(metrics()) if "interval" in note and "Sets" not in name] == []


def test_what_is_averaged_over_patients_stands_beside_what_is_pooled() -> None:
    found = with_intervals()
    assert trust.class_head(found)[4:] == ("Averaged over patients", "95 % interval")
    ((*_, average, interval),) = trust.classes(found)
    assert (plain(average), plain(interval)) == ("88.0 %", "82.0 to 93.0 %")
    assert "95.0 % of the slices, pooled over patients (88.0 % averaged over patients), and" in plain(
        trust.sentence(found)
    )
    found["test"]["unit"] = "duplicate cluster"
    assert trust.class_head(found)[4] == "Averaged over clusters"
    # Where slices are all that is known, or an earlier version scored, there is nothing to average over.
    found["test"]["unit"] = "slice"
    for one in (found, metrics()):
        assert len(trust.class_head(one)) == len(trust.classes(one)[0]) == 4


def test_the_terminal_says_the_same(builders: dict[str, Any]) -> None:
    def shown(found: dict[str, Any]) -> str:
        run = builders["metrics"](builders["table"]())
        run["test"] = {key: value for key, value in run["test"].items() if not key.endswith("_ci95")}
        return summary_text(run | {"test": run["test"] | found["test"]})

    text = shown(with_intervals())
    assert "80.0 %  95 % interval 70.0 to 90.0 %, 99.0 % of them are right (97.0 to 99.5 %)" in text
    assert "1.20 classes on average (1.10 to 1.30)" in text
    assert "88.0 %  95 % interval 82.0 to 93.0 %, over patients" in text
    assert max(map(len, text.splitlines())) <= 120
    old = shown(metrics())
    assert "80.0 %  of the answers; 99.0 % of them are right\n" in old
    assert "averaged" not in old


def test_sets_of_every_class_say_why(builders: dict[str, Any]) -> None:
    run = builders["metrics"](builders["table"]())
    labels = list(run["test"]["per_class"])
    full = metrics()["test"]["conformal"] | {"coverage": 1.0, "mean_set_size": float(len(labels))}
    run["test"] |= {"conformal": full}
    run["conformal"] = {"alpha": 0.05, "quantiles": dict.fromkeys(labels, 1.0), "groups": {}}
    text = summary_text(run)
    assert "100.0 %  every class in every set, as fewer than 19 patients of each were held out\n" in text
    assert "on average" not in text


@pytest.mark.parametrize(
    ("held", "settings", "said"),
    [
        ({"n": 22, "groups": 12}, "", "for validation: 22 slices; at least 50 slices of 10 patients are needed."),
        (None, "", "for validation; at least 50 slices"),
        ({"n": 22, "groups": 12}, "[evaluate]\ncalibrate = false\n", "calibration is switched off."),
    ],
)
def test_what_is_not_calibrated_says_why(held: dict[str, int] | None, settings: str, said: str) -> None:
    view = trust.view(metrics() | {"calibration": None, "validation": held}, settings)
    assert said in plain(view["source"]) == plain(view["none"])


def test_calibration_that_did_harm_says_so() -> None:
    found = metrics()
    assert "harm" not in trust.view(found)["source"]
    found["calibration"] = CALIBRATION | {"before": CALIBRATION["after"], "after": CALIBRATION["before"]}
    assert "did harm: log loss 0.300 before and 0.400 after" in trust.view(found)["source"]
    found["calibration"] = CALIBRATION | {"after": {**CALIBRATION["before"], "nll": 0.40001}}
    assert "harm" not in trust.view(found)["source"]


def calibrated(folds: list[str]) -> PredictionTable:
    return PredictionTable.build(
        ("x", "y"), [f"s{i}" for i in range(len(folds))], ["x"] * len(folds), np.tile([0.8, 0.2], (len(folds), 1)),
        folds=folds,
    )  # fmt: skip


@pytest.mark.parametrize(("kind", "second"), [("crossval", 1.0), (None, 0.5)])
def test_answers_before_calibration_are_those_at_each_fold_s_temperature(kind: str | None, second: float) -> None:
    found = metrics() | ({"kind": kind} if kind else {})
    found["calibration"] = {**CALIBRATION, "temperature": 0.5, "temperatures": {"1": 2.0}}
    before = trust.before(found, calibrated(["1", "2"]))
    assert before is not None
    for row, temperature in zip(before.probabilities, (2.0, second), strict=True):
        odds = 4.0**temperature
        assert row == pytest.approx([odds / (1 + odds), 1 / (1 + odds)])


def test_where_calibration_changed_nothing_there_is_nothing_to_draw_beside() -> None:
    table = calibrated(["1"])
    assert trust.before({"test": {}, "calibration": None}, table) is None
    assert trust.before({"test": {}, "calibration": {**CALIBRATION, "temperature": 1.0}}, table) is None


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
