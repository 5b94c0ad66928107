from __future__ import annotations

import numpy as np

from tumorlens.audit.labels import conflicts, suspicious


def test_copies_with_different_labels_conflict():
    labels = ["a", "a", "b", "", "b", "b"]
    found = conflicts([[2, 0, 1], [4, 5], [3, 4]], labels)
    assert len(found) == 1
    assert found[0].rows == (0, 1, 2)
    assert found[0].labels == ("a", "a", "b")


def learnable(looks: np.ndarray, seed: int) -> tuple[np.ndarray, list[str], list[str]]:
    """Looks whose class shows in the grey values, with some overlap."""
    rng = np.random.default_rng(seed)
    count = len(looks)
    codes = rng.integers(0, 3, count)
    looks = looks.copy()
    grey = np.asarray(looks["histogram"], np.float32)
    for code in range(3):
        grey[codes == code, 10 + 12 * code] += np.abs(rng.normal(0.3, 0.1, int((codes == code).sum())))
    looks["histogram"] = grey
    return looks, [("a", "b", "c")[code] for code in codes], [f"g{i // 3}" for i in range(count)]


def test_planted_flips_are_suspected_and_little_else(phantom_set):
    planted = found_of_them = 0
    for seed in range(3):
        looks, truth, groups = learnable(phantom_set.looks, seed)
        flipped = set(np.random.default_rng(seed + 1).choice(len(truth), 20, replace=False).tolist())
        labels = [{"a": "b", "b": "c", "c": "a"}[label] if i in flipped else label for i, label in enumerate(truth)]
        found = suspicious(looks, labels, groups)
        right = [item for item in found if item.row in flipped]
        assert len(right) >= 0.9 * len(found)
        assert [item.score for item in found] == sorted((item.score for item in found), reverse=True)
        for item in found:
            assert item.given == labels[item.row] != item.suggested
        assert sum(item.suggested == truth[item.row] for item in right) >= 0.9 * len(right)
        planted += len(flipped)
        found_of_them += len(right)
    assert found_of_them >= 0.4 * planted


def test_few_are_suspected_where_labels_are_right(phantom_set):
    looks, truth, groups = learnable(phantom_set.looks, 2)
    assert len(suspicious(looks, truth, groups)) <= 0.02 * len(truth)


def test_nothing_is_suspected_where_nothing_can_be_learnt(phantom_set):
    labels = np.random.default_rng(0).choice(["a", "b"], len(phantom_set.looks)).tolist()
    assert suspicious(phantom_set.looks, labels, [str(i) for i in range(len(labels))]) == []
    assert suspicious(phantom_set.looks, ["a"] * len(labels), phantom_set.groups) == []
