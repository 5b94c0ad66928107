"""Predictions survive the disk to the last digit, and a damaged file says where it is damaged."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tumorlens.errors import DataError
from tumorlens.evaluation import PredictionTable, evaluate_table


def small_table(**columns) -> PredictionTable:
    return PredictionTable.build(
        ("glioma", "no_tumor"),
        ("a", "b", "c"),
        ("glioma", "no_tumor", "glioma"),
        np.array([[0.9, 0.1], [1 / 3, 2 / 3], [0.2, 0.8]]),
        **columns,
    )


def test_round_trip_keeps_every_column(tmp_path: Path) -> None:
    table = small_table(
        patients=("p,1", 'p"2', ""),
        groups=("g\n1", "g2", "g3"),
        sources=("s", "s", "ü"),
        splits=("val", "test", "test"),
        accepted=(True, False, None),
        folds=("0", "1", ""),
        refused=(False, True, None),
        sides=(512, 0, 225),
        tumours=(0.0312, None, 0.5),
        burnt_in=(False, True, False),
    )
    table.write_csv(tmp_path / "predictions.csv")
    back = PredictionTable.read_csv(tmp_path / "predictions.csv")
    columns = ("names", "ids", "labels", "patients", "groups", "sources", "splits", "accepted", "folds")
    for name in (*columns, "refused", "sides", "tumours", "burnt_in"):
        assert getattr(back, name) == getattr(table, name)
    assert np.array_equal(back.probabilities, table.probabilities)
    header = (tmp_path / "predictions.csv").read_text().splitlines()[0]
    first = "id,label,patient,source,group,split,p_glioma,p_no_tumor,predicted,accepted,fold,plane"
    assert header == f"{first},refused,side,tumour,burnt_in"
    assert small_table().to_csv().splitlines()[0] == first
    both = PredictionTable.joined([table.take([2, 0]), table.where([False, True, False])])
    assert both.sides == (225, 512, 0)
    assert both.tumours == (0.5, 0.0312, None)
    assert both.refused == (None, False, True)
    assert both.burnt_in == (False, False, True)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 60), dtype=st.sampled_from([np.float32, np.float64]))
def test_metrics_recompute_exactly_from_the_file(tmp_path_factory, seed: int, n: int, dtype) -> None:
    rng = np.random.default_rng(seed)
    raw = rng.dirichlet(np.full(3, 0.3), n).astype(dtype)
    labels = [("x", "y", "z")[i] for i in rng.integers(0, 3, n)]
    table = PredictionTable.build(("x", "y", "z"), [f"i{i}" for i in range(n)], labels, raw)
    path = tmp_path_factory.mktemp("t") / "predictions.csv"
    table.write_csv(path)
    assert evaluate_table(PredictionTable.read_csv(path), bootstrap=100) == evaluate_table(table, bootstrap=100)


def test_where_takes_a_split_or_a_mask() -> None:
    table = small_table(splits=("val", "test", "test"))
    assert table.where("test").ids == ("b", "c")
    assert table.where(np.array([True, False, True])).ids == ("a", "c")
    assert table.where([False, False, True]).predicted == ("no_tumor",)
    assert len(table.where("train")) == 0
    with pytest.raises(DataError, match="mask needs 3"):
        table.where([True])


def test_probabilities_cannot_be_changed_behind_the_scores() -> None:
    table = small_table()
    with pytest.raises(ValueError, match="read-only"):
        table.probabilities[0, 0] = 0.5


GOOD = "id,label,p_x,p_y,predicted,accepted\na,x,0.75,0.25,x,true\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: found no column 'id'"),
        ("id,p_x,p_y\n", "line 1: found no column 'label'"),
        ("id,label,p_x\n", "line 1: found 1 columns p_<class>"),
        ("id,label,p_x,p_x\n", "line 1: column 'p_x' appears more than once"),
        ("id,label,p_x,fold,p_y\n", "line 1: the p_<class> columns must stand side by side"),
        (GOOD + "b,y,0.5\n", "line 3: found 3 fields, expected 6"),
        (GOOD + "b,y,nought,1,y,true\n", "line 3, column p_x: found 'nought'"),
        (GOOD + "b,y,0.9,0.9,x,true\n", r"line 3, columns p_\*: found \[0.9, 0.9\]"),
        (GOOD + "b,y,nan,0.9,x,true\n", r"line 3, columns p_\*"),
        (GOOD + "b,y,-0.5,1.5,y,true\n", r"line 3, columns p_\*"),
        (GOOD + "b,y,0.1,0.9,x,true\n", "line 3, column predicted: found 'x'"),
        (GOOD + "b,y,0.1,0.9,y,maybe\n", "line 3, column accepted: found 'maybe'"),
        (GOOD + 'b,"y,0.1,0.9,y,true\n', "line 3: unexpected end of data"),
    ],
)
def test_a_damaged_file_says_where(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "predictions.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        PredictionTable.read_csv(path)


def test_a_missing_or_binary_file_is_a_data_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot read"):
        PredictionTable.read_csv(tmp_path / "none.csv")
    (tmp_path / "x.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="cannot read"):
        PredictionTable.read_csv(tmp_path / "x.csv")


def test_optional_columns_may_be_missing_and_excels_mark_is_ignored(tmp_path: Path) -> None:
    path = tmp_path / "predictions.csv"
    path.write_text("﻿" + GOOD, encoding="utf-8")
    table = PredictionTable.read_csv(path)
    assert (table.ids, table.accepted, table.patients) == (("a",), (True,), ("",))


@pytest.mark.parametrize(
    "broken",
    [{"patients": ("p",)}, {"accepted": (True,)}, {"folds": ("1", "2")}],
)
def test_columns_of_another_length_are_refused(broken) -> None:
    with pytest.raises(DataError, match="for 3 ids"):
        small_table(**broken)


def test_one_class_or_a_wrong_shape_is_refused() -> None:
    with pytest.raises(DataError, match="two or more"):
        PredictionTable.build(("x",), ("a",), ("x",), np.array([[1.0]]))
    with pytest.raises(DataError, match="shape"):
        PredictionTable.build(("x", "y"), ("a",), ("x",), np.array([[1.0, 0.0], [0.0, 1.0]]))
