"""Parts of a table: their scores are those of the slices in them, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tumorlens.evaluation import PredictionTable
from tumorlens.evaluation.subgroups import patients, subgroups

NAMES = ("glioma", "no_tumor")


def table(right: list[bool], **columns: object) -> PredictionTable:
    sure = np.array([[0.9, 0.1] if one else [0.1, 0.9] for one in right]).reshape(-1, 2)
    ids = [f"s{i}" for i in range(len(right))]
    return PredictionTable.build(NAMES, ids, ["glioma"] * len(right), sure, **columns)  # type: ignore[arg-type]


def test_tumours_are_divided_into_thirds_of_those_with_a_mask() -> None:
    made = table([False, False, True, True, True, True, True], tumours=(0.01, 0.02, 0.05, 0.06, 0.2, 0.3, None))
    found = subgroups(made, bootstrap=100, seed=0)["tumour_size"]
    assert {name: (part["n"], part["accuracy"]) for name, part in found.items()} == {
        "small": (2, 0.0),
        "medium": (2, 1.0),
        "large": (2, 1.0),
    }
    assert found["large"]["upto"] == 0.3


@given(st.lists(st.one_of(st.none(), st.floats(0.0001, 1)), min_size=1, max_size=60), st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_each_slice_with_a_mask_is_in_one_third(tumours: list[float | None], seed: int) -> None:
    right = (np.random.default_rng(seed).random(len(tumours)) < 0.5).tolist()
    found = subgroups(table(right, tumours=tumours), bootstrap=100, seed=0)["tumour_size"]
    known = sum(share is not None for share in tumours)
    assert sum(part["n"] for part in found.values()) == (known if known >= 3 else 0)
    limits = [found[name]["upto"] for name in ("small", "medium", "large") if name in found]
    assert limits == sorted(limits)


def test_pictures_are_divided_by_their_longer_side() -> None:
    made = table([True, False, True, True], sides=(256, 257, 513, 0))
    found = subgroups(made, bootstrap=100, seed=0)["picture_size"]
    assert {name: part["n"] for name, part in found.items()} == {"small": 1, "medium": 1, "large": 1}
    assert found["medium"]["accuracy"] == 0


def test_the_share_refused_is_that_of_each_part() -> None:
    made = table([True] * 4, sources=("a", "a", "b", "b"), refused=(True, False, False, False))
    found = subgroups(made, bootstrap=100, seed=0)["source"]
    assert (found["a"]["refused"], found["b"]["refused"]) == (0.5, 0.0)
    assert subgroups(replace(made, refused=()), bootstrap=100, seed=0)["source"]["a"]["refused"] is None


def test_patients_with_few_slices_are_not_counted() -> None:
    right = [True] * 3 + [True, True, False] + [True, False, False] + [False] * 3 + [False, False]
    names = ["a"] * 3 + ["b"] * 3 + ["c"] * 3 + ["d"] * 3 + ["e"] * 2
    assert patients(table(right, patients=names)) == {
        "n": 4,
        "all_right": 1,
        "half_right": 1,
        "less_right": 1,
        "none_right": 1,
    }
    assert patients(table(right)) is None


def test_patients_of_two_data_sets_may_have_one_name() -> None:
    made = table([True] * 3 + [False] * 3, patients=["1"] * 6, sources=["a"] * 3 + ["b"] * 3)
    found = patients(made)
    assert found is not None
    assert (found["n"], found["all_right"], found["none_right"]) == (2, 1, 1)
