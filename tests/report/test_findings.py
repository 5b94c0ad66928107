"""What was wrong with the data is named with its cause, and nothing is called clean that was not checked."""

import pytest

from tumorlens.report import findings

LEAKED = {"test": {"n": 80, "accuracy": 0.5}, "leaked": {"removed": 20, "pairs": [["a", "b"]]}}


def texts(view) -> list[str]:
    return [item["text"] for item in view["found"]]


def test_a_clean_audit_says_what_it_did_not_check(builders) -> None:
    view = findings.audit_view(builders["audit"])
    assert view["found"] == []
    assert "identical copies" in view["clean"]
    assert view["clean"].endswith("none.")
    assert view["unchecked"] == "Near copies, shortcuts and foreign images: not checked."
    assert "nearly" not in view["clean"]


def test_what_was_not_computed_is_never_called_clean() -> None:
    view = findings.audit_view({"verdict": "ok"})
    assert view["clean"] == ""
    assert view["unchecked"].startswith("Identical copies, near copies")
    assert findings.audit_view({}) is None


def test_a_serious_verdict_comes_with_counts_and_names(builders) -> None:
    audit = builders["audit"] | {
        "label_conflicts": [{"paths": [f"x{i}.png", f"y{i}.png"], "labels": ["glioma", "no_tumor"]} for i in range(7)],
        "exact_duplicates": {"groups": 9, "redundant": 12},
        "leaks": {
            "test_in_train_exact": 1,
            "test_in_train_near": None,
            "slices_of_crossing_groups": 4,
            "pairs": [{"a": "t.png", "b": "u.png", "similarity": 1.0, "transform": "identity"}],
        },
        "verdict": "serious",
    }
    view = findings.audit_view(audit)
    assert texts(view) == [
        "7 pictures occur under more than one class",
        "1 test slice is identical to a training or validation slice",
        "3 test slices are of a patient or group that is also in training or validation",
        "9 sets of identical pictures, 12 slices more than needed",
    ]
    assert view["found"][0]["examples"][0] == "x0.png: Glioma; y0.png: No tumour"
    assert (len(view["found"][0]["examples"]), view["found"][0]["more"]) == (5, 2)
    assert view["found"][1]["examples"] == ["t.png = u.png"]
    assert findings.conflicts(audit) == 7


def test_the_whole_audit_speaks_for_itself() -> None:
    said = {"title": "Grey values alone tell the class", "text": "In 91% of slices.", "examples": list("abcdefg")}
    none = {"groups": 0, "redundant": 0}
    view = findings.audit_view({"verdict": "serious", "exact_duplicates": none, "findings": [said]})
    assert texts(view) == ["Grey values alone tell the class. In 91% of slices."]
    assert (len(view["found"][0]["examples"]), view["found"][0]["more"]) == (5, 2)
    assert view["clean"] == "Identical copies: none."


def test_copies_in_the_validation_set_are_no_examples_of_the_test_set() -> None:
    pairs = [{"a": f"{part}.png", "a_split": part, "b": "x.png", "similarity": 1.0} for part in ("test", "val")]
    leaks = {"test_in_train_exact": 1, "test_in_train_near": 0, "pairs": pairs}
    view = findings.audit_view({"verdict": "serious", "leaks": leaks})
    assert view["found"][0]["examples"] == ["test.png = x.png"]


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
    for name in ("slices_of_crossing_groups", "groups_crossing"):  # the second in runs of earlier versions
        assert findings.crossing({}, {"leaks": {name: 1}})
        assert not findings.crossing({"leaked": None}, {"leaks": {name: 0}})
