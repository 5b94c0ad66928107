from __future__ import annotations

from collections import Counter, defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tumorlens.config import DataSettings
from tumorlens.data import split
from tumorlens.data.manifest import Manifest, Row
from tumorlens.errors import DataError

patients = st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 12)), min_size=9, max_size=60)


def manifest_of(sizes: list[tuple[str, int]], **fixed: str) -> Manifest:
    rows = [
        Row(path=f"{number}-{i}.png", label=label, patient=f"p{number}", source="s", **fixed)
        for number, (label, count) in enumerate(sizes)
        for i in range(count)
    ]
    return Manifest(tuple(rows))


@given(patients, st.integers(0, 5), st.integers(2, 6))
@settings(deadline=None)
def test_no_group_crosses_a_fold_and_it_is_repeatable(sizes: list[tuple[str, int]], seed: int, count: int) -> None:
    manifest = manifest_of(sizes)
    divided = split.folds(manifest, count, seed)
    seen = defaultdict(set)
    for row, group in zip(divided, divided.groups, strict=True):
        seen[group].add(row.fold)
    assert all(len(folds) == 1 for folds in seen.values())
    assert [row.fold for row in divided] == [row.fold for row in split.folds(manifest, count, seed)]


@given(patients, st.integers(0, 5))
@settings(deadline=None)
def test_folds_are_as_even_as_the_groups_allow(sizes: list[tuple[str, int]], seed: int) -> None:
    divided = split.folds(manifest_of(sizes), 3, seed)
    for label in "abc":
        counts = Counter(row.fold for row in divided if row.label == label)
        largest = max((count for name, count in sizes if name == label), default=0)
        # Greedy by size: two folds differ by no more than the largest group of the class.
        assert max(counts.values(), default=0) - min((counts[str(f)] for f in (1, 2, 3)), default=0) <= largest


def test_fractions() -> None:
    divided = split.split(manifest_of([(label, 4) for label in "abc" for _ in range(40)]), DataSettings(), 0)
    counts = Counter((row.split, row.label) for row in divided)
    for label in "abc":
        assert counts["train", label] == pytest.approx(120, abs=4)
        assert counts["val", label] == pytest.approx(16, abs=4)
        assert counts["test", label] == pytest.approx(24, abs=4)
    assert not split.leaked(divided)


def test_the_data_sets_own_test_set_is_kept_and_validation_comes_from_training() -> None:
    shipped = manifest_of([("a", 3)] * 20 + [("b", 3)] * 20, split="train")
    tests = [
        Row(path=f"t{i}", label="ab"[i % 2], patient="p0" if i == 0 else f"t{i}", source="s", split="test")
        for i in range(10)
    ]
    divided = split.split(Manifest(shipped.rows + tuple(tests)), DataSettings(), 0)
    assert [row.split for row in divided][-10:] == ["test"] * 10
    train_val = {row.patient: row.split for row in divided.rows[:-10]}
    assert set(train_val.values()) == {"train", "val"}
    assert split.leaked(divided) == {"t0": next(r.id for r in reversed(divided.rows[:-10]) if r.patient == "p0")}


def test_a_given_fold_is_the_test_set() -> None:
    rows = [
        Row(path=f"{i}", label="ab"[i % 2], patient=f"{i // 2}", fold=str(i // 2 % 5 + 1), source="s")
        for i in range(200)
    ]
    divided = split.split(Manifest(tuple(rows)), DataSettings(test_fold="2"), 0)
    assert {row.fold for row in divided if row.split == "test"} == {"2"}
    assert all(row.split == "test" for row in divided if row.fold == "2")
    with pytest.raises(DataError, match="found folds 1, 2, 3, 4, 5"):
        split.split(Manifest(tuple(rows)), DataSettings(test_fold="9"), 0)


def test_a_class_whose_patients_are_all_tested_is_named() -> None:
    rows = manifest_of([("a", 3)] * 10).rows
    tested = tuple(Row(path=f"t{i}", label="b", patient="t", source="s", split="test") for i in range(3))
    with pytest.raises(DataError, match="class 'b' has no training slice"):
        split.split(Manifest(rows + tested), DataSettings(), 0)


def test_too_few_groups() -> None:
    with pytest.raises(DataError, match="2 groups cannot be divided into 5 folds"):
        split.folds(manifest_of([("a", 9), ("b", 9)]), 5, 0)


def test_a_part_without_a_share_may_be_empty_unless_it_is_needed() -> None:
    manifest = manifest_of([("a", 2)] * 20 + [("b", 2)] * 20)
    shares = DataSettings(fractions=(0.8, 0.0, 0.2))
    assert Counter(row.split for row in split.split(manifest, shares, 0)) == {"train": 64, "test": 16}
    with pytest.raises(DataError, match=r"val set is empty: data.fractions is 0.8, 0, 0.2 and it gets no share"):
        split.split(manifest, shares, 0, every_part=True)
    with pytest.raises(DataError, match="2 groups cannot be divided so"):
        split.split(manifest_of([("a", 5), ("a", 5)]), DataSettings(), 0)


def test_validation_leaks_from_training_and_test_from_both() -> None:
    rows = [Row(path=f"{i}", group=g, split=s) for i, (g, s) in enumerate(zip("AABBCD", SPLITS, strict=True))]
    assert split.leaked(Manifest(tuple(rows))) == {"3": "2"}
    assert split.leaked(Manifest(tuple(rows)), "val") == {"1": "0"}


SPLITS = ("train", "val", "val", "test", "test", "train")
