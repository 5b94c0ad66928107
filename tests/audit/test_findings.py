"""What is found is called by its name and is as bad as it is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tumorlens.audit import findings as module
from tumorlens.audit.clusters import Clusters
from tumorlens.audit.document import document
from tumorlens.audit.examine import Examination
from tumorlens.audit.findings import _UNKNOWN, Finding
from tumorlens.audit.leaks import Leak, VariantCrossing
from tumorlens.audit.probes import Probe
from tumorlens.data.manifest import Manifest, Row
from tumorlens.report.words import NBSP


def examination(rows: list[Row], **found: object) -> Examination:
    count = len(rows)
    apart = Clusters((), np.arange(count), np.zeros(count, np.int8), np.ones(count, np.float32), {})
    names = tuple(str(i) for i in range(count))
    keys = tuple(name.encode() for name in names)
    clean = Examination(Manifest(tuple(rows)), names, apart, keys, (), (), {}, VariantCrossing(0, 0, 0, 0, 0), ())
    return replace(clean, **found)


def findings(found: Examination) -> list[Finding]:
    """Without what is said of so few slices."""
    return [item for item in module.findings(found) if item.kind != "classes"]


def shortcut(probe: Probe, sources: str = "aabb") -> Finding:
    rows = [
        Row(f"{i}.png", label=label, patient=f"p{i}", source=source)
        for i, (label, source) in enumerate(zip("xyzz", sources, strict=True))
    ]
    [found] = findings(examination(rows, probes=(probe,)))
    return found


def scored(name: str, score: float) -> Probe:
    return Probe(name, score, 0.25, (score - 0.01, score + 0.01), 4, 4, "It tells the class.")


@pytest.mark.parametrize(
    ("name", "score", "severity"),
    [
        ("header", 0.6, "warning"),
        ("header", 0.64, "serious"),
        ("border", 0.64, "warning"),  # planes that differ between classes tell them honestly
        ("thumbnail", 0.9, "serious"),
        ("source", 0.6, "serious"),  # z comes from nowhere else, whatever the score
    ],
)
def test_pixels_must_tell_more_than_files_to_be_serious(name: str, score: float, severity: str) -> None:
    found = shortcut(scored(name, score))
    assert (found.kind, found.severity) == ("shortcuts", severity)
    assert "tells" in found.title or "tell " in found.title


def test_a_mixed_source_is_as_bad_as_its_score() -> None:
    assert shortcut(scored("source", 0.4), "abab").severity == "warning"


def test_telling_the_data_sets_apart_is_one_note() -> None:
    rows = [Row(f"{i}.png", label="xy"[i % 2], patient=f"p{i}") for i in range(4)]
    told = tuple(scored(f"source from {name}", 0.9) for name in ("header", "border"))
    [found] = findings(examination(rows, probes=told))
    assert (found.kind, found.severity) == ("sources", "note")
    assert "header 90.0 %, border 90.0 %" in found.text.replace(NBSP, " ")


def test_a_pair_says_where_either_lies_and_what_it_is_called() -> None:
    rows = [
        Row("t.png", label="x", patient="1", split="test"),
        Row("v.png", label="x", patient="2", split="val"),
        Row("a.png", label="y", patient="2", split="train"),
        Row("b.png", label="x", patient="1", split="train"),
    ]
    found = examination(
        rows, leaks=(Leak(0, 3, 0.9, "hflip", False),), leaks_of_validation=(Leak(1, 2, 1.0, "identity", True),)
    )
    made = document(found)
    tested, validated = made["leaks"]["pairs"]
    assert tested == {
        "a": "t.png", "a_split": "test", "a_label": "x", "b": "b.png", "b_split": "train", "b_label": "x",
        "similarity": 0.9, "transform": "hflip",
    }  # fmt: skip
    assert (validated["a_split"], validated["b_split"], validated["b_label"]) == ("val", "train", "y")
    assert made["leaks"]["slices_of_crossing_groups"] == made["leaks"]["val_slices_of_crossing_groups"] == 1
    assert made["leaks"]["per_class"] == {"x": {"test": 1, "leaked": 1}}
    assert made["leaks"]["val_per_class"] == {"x": {"val": 1, "leaked": 1}}
    assert "By class: x 1 of 1." in made["findings"][0]["text"]


def test_a_patient_on_both_sides_is_serious() -> None:
    rows = [Row(f"{part}.png", label="x", patient="7", group="s/7", split=part) for part in ("train", "test")]
    [found] = findings(examination(rows, broken={"s/7": 2}))
    assert (found.kind, found.severity) == ("groups", "serious")


def test_look_alikes_across_the_split_are_a_warning_and_no_leak() -> None:
    rows = [Row(f"{i}.png", label="x", split=part) for i, part in enumerate(("train", "test", "test", "test", "val"))]
    alike = {(0, 1): 0.8, (1, 4): 0.9, (2, 3): 0.99, (3, 4): 0.6}
    bare = examination(rows)
    found = [
        item
        for item in findings(replace(bare, clusters=replace(bare.clusters, alike=alike)))
        if item.kind != "patients"
    ]
    assert [(item.kind, item.severity, item.count) for item in found] == [("neighbours", "warning", 1)]
    assert found[0].examples == ("1.png", "4.png")


def test_folds_that_divide_patients_are_serious() -> None:
    rows = [Row(f"{fold}.png", label="x", patient="7", group="s/7", fold=fold) for fold in "12"]
    [found] = findings(examination(rows, broken={"s/7": 2}))
    assert (found.kind, found.severity, found.examples) == ("groups", "serious", ("s/7",))


def test_unknown_patients_are_named_as_what_a_probe_may_have_seen() -> None:
    rows = [Row(f"{i}.png", label=label, patient="" if i else "p") for i, label in enumerate("xyzz")]
    [found] = [
        item for item in findings(examination(rows, probes=(scored("header", 0.9),))) if item.kind == "shortcuts"
    ]
    assert found.text == f"It tells the class. {_UNKNOWN}"


@pytest.mark.parametrize(
    ("labels", "title", "text"),
    [
        ("xxxx", "There is only one class", "is called x"),
        ("xxxyyyz", "Too few patients of a class to divide", "z 1 group."),
        ("xxxyyyyzz", "Too few patients of a class to divide", "z 2 groups."),
        ("xxxyyy", "", ""),
    ],
)
def test_what_cannot_be_trained_on_is_said_before_it_is_tried(labels: str, title: str, text: str) -> None:
    rows = [Row(f"{i}.png", label=label, patient=f"p{i}") for i, label in enumerate(labels)]
    found = [item for item in module.findings(examination(rows)) if item.kind == "classes"]
    assert [item.title for item in found] == ([title] if title else [])
    for item in found:
        assert item.severity == "warning"
        assert text in item.text.replace(NBSP, " ")
