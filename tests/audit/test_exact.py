"""Groups that keep patients and equal pictures together, and what exact comparison finds."""

from __future__ import annotations

from tumorlens.audit import exact
from tumorlens.data.manifest import Manifest, Row


def rows(*found: tuple[str, str, str, str]) -> Manifest:
    """(patient, group, split, label) of each slice."""
    return Manifest(
        tuple(
            Row(path=f"{number}.png", patient=patient, group=group, split=split, label=label, source="s")
            for number, (patient, group, split, label) in enumerate(found)
        )
    )


def test_a_patient_stays_whole_whatever_the_group_column_says() -> None:
    manifest = rows(("p1", "g1", "", "a"), ("p1", "g2", "", "a"), ("p2", "g3", "", "a"))
    groups = exact.join_groups(manifest, ["x", "y", "z"]).groups
    assert groups[0] == groups[1] != groups[2]
    assert groups[0] in ("g1", "g2")


def test_a_group_column_that_was_named_is_honoured_and_divided_patients_are_counted() -> None:
    manifest = rows(("p1", "g1", "", "a"), ("p1", "g2", "", "a"), ("p2", "g3", "", "a"))
    joined = exact.join_groups(manifest, ["x", "y", "z"], patients=False)
    assert joined.groups == ["g1", "g2", "g3"]
    assert exact.divided_patients(joined) == 1


def test_equal_pictures_join_groups_either_way() -> None:
    manifest = rows(("p1", "", "", "a"), ("", "", "", "a"), ("p2", "", "", "a"), ("p2", "", "", "a"))
    for patients in (True, False):
        joined = exact.join_groups(manifest, ["x", "x", "y", "z"], patients=patients)
        assert joined.groups[0] == joined.groups[1]
        assert joined.groups[2] == joined.groups[3] != joined.groups[0]
        assert all(row.group for row in joined)


def test_copies_in_validation_are_found_too() -> None:
    manifest = rows(
        ("", "g1", "train", "a"), ("", "g1", "val", "a"), ("", "g2", "val", "a"), ("", "g2", "test", "a"),
        ("", "g3", "test", "a"),
    )  # fmt: skip
    audit = exact.audit(manifest, ["x", "x", "y", "y", "z"])
    leaks = audit["leaks"]
    assert (leaks["test_in_train_exact"], leaks["val_in_train_exact"]) == (1, 1)
    assert (leaks["test_n"], leaks["val_n"]) == (2, 2)
    assert {(pair["a"], pair["b"]) for pair in leaks["pairs"]} == {("1.png", "0.png"), ("3.png", "2.png")}
    assert audit["verdict"] == "serious"


def test_a_validation_set_that_copies_training_is_serious_even_with_an_honest_test() -> None:
    manifest = rows(("", "g1", "train", "a"), ("", "g1", "val", "a"), ("", "g2", "test", "a"))
    assert exact.audit(manifest, ["x", "x", "y"])["verdict"] == "serious"
    clean = rows(("", "g1", "train", "a"), ("", "g3", "val", "a"), ("", "g2", "test", "a"))
    assert exact.audit(clean, ["x", "y", "z"])["verdict"] == "ok"
