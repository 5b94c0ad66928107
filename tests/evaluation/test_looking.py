"""The gap counts what it says it counts, and its interval is over patients."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tumorlens.errors import DataError
from tumorlens.evaluation import PredictionTable
from tumorlens.evaluation.looking import Look, clever_hans, read_looks, write_looks

NAMES = ("glioma", "meningioma", "no_tumor")


def table_of(count: int, names: tuple[str, ...] = NAMES) -> PredictionTable:
    """Gliomas and meningiomas by turns, four slices a patient."""
    labels = [names[i // 4 % 2] for i in range(count)]
    share = np.full((count, len(names)), 1 / len(names))
    return PredictionTable.build(
        names, [f"s{i}" for i in range(count)], labels, share, patients=[f"p{i // 4}" for i in range(count)]
    )


def look(i: int, table: PredictionTable, **changed: str) -> Look:
    """An answer that hangs on the tumour alone."""
    label = table.labels[i]
    usual = {"plane": "axial", "before": label, "removed": "no_tumor", "background": label, "control": label}
    return Look(f"s{i}", **{**usual, **changed})


def test_a_network_that_looks_at_the_tumour() -> None:
    table = table_of(40)
    found = clever_hans([look(i, table) for i in range(40)], table, bootstrap=200, seed=0)
    assert (found["n"], found["groups"], found["unit"]) == (40, 10, "patient")
    assert found["removed"]["rate"] == found["control"]["rate"] == 1
    assert found["turned"] == found["removed"]
    assert found["removed"]["ci95"] == [pytest.approx(0.025 ** (1 / 10)), 1]
    assert found["plane_only"]["rate"] == 0.5
    assert found["planes"] == {"axial": 40}


def test_a_tumour_that_was_missed_is_not_one_that_the_answer_hangs_on() -> None:
    table = table_of(40)
    looks = [look(i, table, **({"before": "no_tumor"} if i % 4 == 0 else {"removed": "glioma"})) for i in range(40)]
    found = clever_hans(looks, table, bootstrap=200, seed=0)
    assert (found["removed"]["rate"], found["removed"]["n"]) == (0.25, 40)
    assert (found["turned"]["rate"], found["turned"]["n"]) == (0, 30)
    missed = [look(i, table, before="no_tumor") for i in range(40)]
    assert clever_hans(missed, table, bootstrap=200, seed=0)["turned"] is None


def test_a_network_that_looks_at_the_background() -> None:
    table = table_of(40)
    looks = [look(i, table, removed=table.labels[i], plane=table.labels[i]) for i in range(40)]
    found = clever_hans(looks, table, bootstrap=200, seed=0)
    assert found["removed"]["rate"] == 0
    assert found["background"]["rate"] == found["plane_only"]["rate"] == 1


def test_slices_without_room_for_a_control_do_not_count_there() -> None:
    table = table_of(40)
    looks = [look(i, table, control="" if i < 8 else "no_tumor" if i < 16 else table.labels[i]) for i in range(40)]
    control = clever_hans(looks, table, bootstrap=200, seed=0)["control"]
    assert (control["n"], control["rate"]) == (32, 0.75)
    assert control["ci95"][0] < 0.75 < control["ci95"][1]


def test_without_the_class_no_tumour_only_the_background_is_asked() -> None:
    table = table_of(40, ("glioma", "meningioma"))
    looks = [look(i, table, removed=table.labels[i]) for i in range(40)]
    found = clever_hans(looks, table, bootstrap=200, seed=0)
    assert found["removed"] is found["turned"] is None
    assert found["background"]["rate"] == 1


def test_slices_of_several_networks_count_as_the_same_patients() -> None:
    table = table_of(40)
    once = [look(i, table) for i in range(40)]
    assert clever_hans(once * 3, table, bootstrap=200, seed=0)["groups"] == 10


def test_a_slice_without_a_prediction_is_an_error() -> None:
    table = table_of(8)
    with pytest.raises(DataError, match="s9 has no prediction"):
        clever_hans([Look("s9", "axial", "glioma", "glioma", "glioma", "")], table, bootstrap=200, seed=0)


def test_looks_survive_the_file(tmp_path: Path) -> None:
    table = table_of(8)
    looks = [look(i, table, control="") for i in range(8)]
    write_looks(tmp_path / "edits.csv", looks)
    assert read_looks(tmp_path / "edits.csv") == looks
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DataError):
        read_looks(tmp_path / "other.csv")
