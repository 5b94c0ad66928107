"""The manifest itself."""

from __future__ import annotations

import pytest

from tumorlens.data.manifest import Manifest, Row, Skipped, join
from tumorlens.errors import DataError


def test_ids():
    assert Row("a.png").id == "a.png"
    assert Row("a.nii", 3).id == "a.nii#3"
    assert Row("a.png", id="7").id == "7"


def test_an_id_must_be_unique():
    with pytest.raises(DataError) as error:
        Manifest((Row("a.png"), Row("a.png")))
    assert error.value.code == "duplicate_id"
    with pytest.raises(DataError):
        join([Manifest((Row("a.png"),)), Manifest((Row("a.png"),))])


def test_groups_fall_back_to_patient_then_slice():
    rows = (Row("a", group="g", patient="p"), Row("b", patient="p", source="s"), Row("c"))
    assert Manifest(rows).groups == ["g", "s/p", "c"]


def test_join_keeps_everything_in_order():
    one = Manifest((Row("a"),), (Skipped("x", "empty", "r"),), ("n",), {"one": 1})
    two = Manifest((Row("b"),), (Skipped("y", "empty", "r"),), ("n", "m"), {"two": 2})
    both = join([one, two])
    assert [row.id for row in both] == ["a", "b"]
    assert [item.path for item in both.skipped] == ["x", "y"]
    assert both.notes == ("n", "m")
    assert both.provenance == {"one": 1, "two": 2}


def test_where_without_and_count():
    found = Manifest((Row("a", label="x", split="train"), Row("b", label="y"), Row("c", label="x")))
    assert found.count() == {"x": 2, "y": 1}
    assert len(found.split("train")) == 1
    less = found.without([Skipped("b", "corrupt", "r")], {"b"})
    assert [row.id for row in less] == ["a", "c"]
    assert less.skipped[0].path == "b"


def test_written_paths_are_relative_below_the_table(tmp_path):
    Manifest((Row(str(tmp_path / "x/a.png"), label="l", mask=str(tmp_path / "m.png")),)).write_csv(tmp_path / "o.csv")
    line = (tmp_path / "o.csv").read_text().splitlines()[1].split(",")
    assert line[1] == "x/a.png"
    assert line[-1] == "m.png"
