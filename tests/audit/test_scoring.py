"""Which rows of a large, uneven set are scored."""

from __future__ import annotations

import numpy as np

from tumorlens.audit.guessing import by_nearest, by_table, by_tree, probabilities
from tumorlens.audit.scoring import FEWEST_GROUPS, Task, task

FEW = f"fewer than two classes have {FEWEST_GROUPS} independent groups"


def uneven(common: int, rare: int) -> tuple[list[str], list[str]]:
    """Labels and groups of two classes, four slices of each common patient and one of each rare one."""
    labels = ["common"] * common + ["rare"] * rare
    return labels, [f"c{i // 4}" for i in range(common)] + [f"r{i}" for i in range(rare)]


def test_a_rare_class_survives_the_draw_whole():
    labels, groups = uneven(20_000, 6)
    for seed in range(5):
        given = task(labels, groups, seed=seed, most=4000)
        assert isinstance(given, Task)
        assert len(given.rows) == 4000
        assert given.rows[-6:].tolist() == list(range(20_000, 20_006))
        assert (np.diff(given.rows) > 0).all()


def test_every_guess_can_be_made_about_a_rare_class():
    given = task(*uneven(4000, 6), seed=0, most=200)
    assert isinstance(given, Task)
    seen = np.random.default_rng(0).normal(size=(len(given.rows), 5)).astype(np.float32)
    for guess in (lambda: by_table(seen, given, 0), lambda: by_tree(seen, given), lambda: by_nearest(seen, given)):
        assert set(guess().tolist()) <= {0, 1}
    assert np.isfinite(probabilities(seen, given, 0)).all()


def test_a_draw_that_no_class_is_rare_in_is_plain_chance():
    labels, groups = uneven(600, 200)
    given = task(labels, groups, seed=3, most=400)
    assert isinstance(given, Task)
    plain = np.sort(np.random.default_rng([3, 11]).choice(800, 400, replace=False))
    np.testing.assert_array_equal(given.rows, plain)


def test_a_set_that_fits_is_scored_whole():
    labels, groups = uneven(100, 6)
    given = task(labels, groups, seed=3, most=106)
    assert isinstance(given, Task)
    assert given.rows.tolist() == list(range(106))


def test_the_same_seed_draws_the_same_rows():
    labels, groups = uneven(3000, 9)
    first, second = (task(labels, groups, seed=2, most=500) for _ in range(2))
    assert isinstance(first, Task) and isinstance(second, Task)
    np.testing.assert_array_equal(first.rows, second.rows)
    np.testing.assert_array_equal(first.folds, second.folds)


def test_a_class_that_the_draw_leaves_too_few_groups_of_is_left_out():
    # One patient has nearly all slices of the class: of the four others, few are drawn.
    labels = ["a"] * 3000 + ["b"] * 3000 + ["c"] * 3000
    groups = [f"{i // 10}" for i in range(6000)] + ["one"] * 2996 + ["two", "three", "four", "five"]
    given = task(labels, groups, seed=0, most=300)
    assert isinstance(given, Task)
    assert given.classes == ("a", "b")
    assert (given.rows < 6000).all()
    assert set(given.codes.tolist()) == {0, 1}
    assert task(labels[3000:], groups[3000:], seed=0, most=300) == FEW


def test_folds_that_leave_one_class_to_learn_from_are_none(monkeypatch):
    labels, groups = uneven(40, 6)
    monkeypatch.setattr("tumorlens.audit.scoring.assign", lambda kept, *_: [int(name == "common") for name in kept])
    assert task(labels, groups, seed=0) == FEW
