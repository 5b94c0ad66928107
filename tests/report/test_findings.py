"""What was wrong with the data is named with its cause, and nothing is called clean that was not checked."""

import pytest

from tumorlens.report import findings

LEAKED = {"test": {"n": 80, "accuracy": 0.5}, "leaked": {"removed": 20, "pairs": [["a", "b"]]}}


def finding(**changes):
    item = {"kind": "copies", "severity": "warning", "count": 9, "title": "Pictures are repeated"}
    return item | {"text": "Nine of them.", "advice": "look", "examples": []} | changes


def test_a_clean_audit_says_what_it_did_not_look_for(builders) -> None:
    view = findings.audit_view(builders["audit"])
    assert view["found"] == []
    assert view["clean"].startswith("Test slices with a copy in training, copies of one picture")
    assert view["clean"].endswith("none found.")
    for name in ("clear shortcuts", "pictures that do not belong", "doubtful labels"):
        assert name in view["unchecked"].lower()
        assert name not in view["clean"].lower()
    assert findings.audit_view({}) is None


def test_findings_are_shown_as_the_audit_wrote_them(builders) -> None:
    audit = builders["audit"] | {
        "verdict": "serious",
        "findings": [
            finding(severity="serious", title="Leaks", count=7, examples=[f"{i}.png" for i in range(7)]),
            finding(),
        ],
        "label_conflicts": [{"paths": ["a.png", "b.png"], "labels": ["glioma", "no_tumor"]}],
    }
    view = findings.audit_view(audit)
    assert view["meaning"] == "Do not believe a score on this data set as it is."
    assert [(item["title"], item["text"]) for item in view["found"]] == [
        ("Leaks", "Nine of them."),
        ("Pictures are repeated", "Nine of them."),
    ]
    assert (len(view["found"][0]["examples"]), view["found"][0]["more"]) == (5, 2)
    assert "different labels" not in view["clean"]
    assert findings.conflicts(audit) == 1


def test_whoever_sees_the_score_sees_what_speaks_against_it(builders) -> None:
    def serious(kind, title):
        return finding(kind=kind, severity="serious", title=title)

    audit = builders["audit"] | {
        "findings": [
            serious("shortcuts", "A thumbnail tells the class"),
            serious("leaks", "The validation set repeats what is trained on"),
            serious("leaks", "The test set repeats what is trained on"),
            serious("groups", "Patients lie on both sides"),
            serious("conflicts", "Two labels"),
            finding(),
        ]
    }
    metrics = {"shortcut": {"probe": "border", "balanced_accuracy": 0.88}, "leaked": {"removed": 3}}
    (one, against), (other, beaten) = findings.doubts(metrics, 0.78, audit)
    assert one == "A thumbnail tells the class. The validation set repeats what is trained on"
    assert against == ". Do not believe a score on this data set as it is."
    assert other == "A model that sees no tumour does as well"
    assert beaten.replace("\N{NO-BREAK SPACE}", " ").startswith(
        ": balanced accuracy 88.0 %, here 78.0 %. What it sees: "
    )
    ((all_of_them, _),) = findings.doubts(metrics | {"leaked": None}, 0.9, audit)
    assert all_of_them.endswith("The test set repeats what is trained on. Patients lie on both sides")
    assert findings.doubts({}, 0.4, {}) == findings.doubts(metrics, None, builders["audit"]) == []


def test_the_network_stands_beside_every_probe_of_the_class(builders) -> None:
    def probe(score):
        return {"balanced_accuracy": score, "ci95": [0.5, 0.7] if score else None, "chance": 0.25}

    probes = {"header": probe(0.6), "border": probe(None), "source": probe(0.9), "source from header": probe(0.99)}
    metrics = {"test": {"balanced_accuracy": 0.8, "balanced_accuracy_ci95": [0.7, 0.9]}}
    rows = findings.shortcuts(metrics, builders["audit"] | {"shortcuts": probes})
    assert [row["score"].replace("\N{NO-BREAK SPACE}", " ") for row in rows] == ["80.0 %", "90.0 %", "60.0 %"]
    assert findings.shortcuts(metrics, builders["audit"]) == []


@pytest.mark.parametrize(
    ("leaks", "said"),
    [
        ({}, "they share a picture, a patient or a group with it"),
        ({"test_in_train_exact": 20, "test_in_train_near": None}, "identical to an image there"),
        ({"test_in_train_exact": 0, "test_in_train_near": None}, "of a patient or group there"),
        (
            {"test_in_train_exact": 12, "test_in_train_near": None},
            "12 identical to an image there, 8 of a patient or group there",
        ),
        (
            {"test_in_train_exact": 12, "test_in_train_near": 8},
            "12 identical to an image there, 8 nearly identical to one",
        ),
    ],
)
def test_a_leak_is_called_what_it_is(leaks, said: str) -> None:
    assert findings.leak(LEAKED, {"leaks": leaks})["kinds"] == said


def test_groups_are_not_called_kept_together_when_one_crosses() -> None:
    assert findings.crossing(LEAKED, {})
    assert findings.crossing({}, {"leaks": {"slices_of_crossing_groups": 1}})
    assert not findings.crossing({"leaked": None}, {"leaks": {"slices_of_crossing_groups": 0}})
