"""The scores against scikit-learn, against numbers worked out by hand, and against laws they must obey."""

import json
import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from tumorlens.errors import DataError
from tumorlens.evaluation import PredictionTable, evaluate_table
from tumorlens.evaluation.auroc import auroc

NAMES = ("glioma", "meningioma", "no_tumor", "pituitary")


def random_table(
    seed: int, n: int = 200, strength: float = 2.0, patients: int = 0, decimals: int = 9
) -> PredictionTable:
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 4, n)
    logits = rng.normal(size=(n, 4))
    logits[np.arange(n), codes] += strength
    p = np.exp(logits)
    p = np.round(p / p.sum(1, keepdims=True), decimals)  # few decimals: ties
    p /= p.sum(1, keepdims=True)
    who = [f"p{i}" for i in rng.integers(0, patients, n)] if patients else None
    ids = [f"i{i}" for i in range(n)]
    return PredictionTable.build(NAMES, ids, [NAMES[c] for c in codes], p, patients=who)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("decimals", [1, 9])
def test_scores_equal_scikit_learn(seed: int, decimals: int) -> None:
    table = random_table(seed, decimals=decimals)
    p, y, predicted = table.probabilities, list(table.labels), list(table.predicted)
    codes = np.array([NAMES.index(label) for label in y])
    got = evaluate_table(table, bootstrap=100)
    assert got["accuracy"] == pytest.approx(sk.accuracy_score(y, predicted))
    assert got["balanced_accuracy"] == pytest.approx(sk.balanced_accuracy_score(y, predicted))
    assert got["macro_f1"] == pytest.approx(sk.f1_score(y, predicted, average="macro"))
    assert got["confusion"]["matrix"] == sk.confusion_matrix(y, predicted, labels=NAMES).tolist()
    assert got["auroc_macro"] == pytest.approx(sk.roc_auc_score(codes, p, multi_class="ovr", average="macro"))
    assert got["nll"] == pytest.approx(sk.log_loss(codes, np.clip(p, 1e-12, 1), labels=range(4)), rel=1e-6)
    one_hot = np.eye(4)[codes]
    assert got["brier"] == pytest.approx(sum(sk.brier_score_loss(one_hot[:, k], p[:, k]) for k in range(4)))
    for k, name in enumerate(NAMES):
        part = got["per_class"][name]
        is_k, said_k = codes == k, np.array(predicted) == name
        assert part["auroc"] == pytest.approx(sk.roc_auc_score(is_k, p[:, k]))
        assert part["sensitivity"] == pytest.approx(sk.recall_score(is_k, said_k))
        assert part["specificity"] == pytest.approx(sk.recall_score(~is_k, ~said_k))
        assert part["ppv"] == pytest.approx(sk.precision_score(is_k, said_k))
        assert part["npv"] == pytest.approx(sk.precision_score(~is_k, ~said_k))
        assert part["n"] == int(is_k.sum())


def test_known_answers() -> None:
    """Six slices of three patients; every number below was worked out by hand."""
    table = PredictionTable.build(
        ("no", "yes"),
        list("abcdef"),
        ["yes", "yes", "yes", "no", "no", "no"],
        np.array([[0.1, 0.9], [0.4, 0.6], [0.8, 0.2], [0.7, 0.3], [0.7, 0.3], [0.4, 0.6]]),
        patients=["p1", "p1", "p2", "p2", "p3", "p3"],
        accepted=[True, True, False, True, True, False],
    )
    got = evaluate_table(table)
    assert (got["n"], got["groups"]) == (6, 3)
    assert got["unit"] == "patient"
    assert got["accuracy"] == pytest.approx(4 / 6)
    assert got["confusion"] == {"labels": ["no", "yes"], "matrix": [[2, 1], [1, 2]]}
    # pairs yes > no: 0.9 beats 3; 0.6 beats two 0.3 and ties 0.6; 0.2 beats none: 5.5 of 9
    assert got["per_class"]["yes"]["auroc"] == pytest.approx(5.5 / 9)
    assert got["per_class"]["no"]["auroc"] == pytest.approx(5.5 / 9)
    # p1 yes 0.75 right; p2 yes 0.2 wrong; p2 no 0.7 right; p3 no 0.55 right: mixed p2 counts twice
    assert (got["patients"], got["patient_cases"], got["patient_accuracy"]) == (3, 4, 0.75)
    assert got["brier"] == pytest.approx(2 * (0.01 + 0.16 + 0.64 + 0.09 + 0.09 + 0.36) / 6)
    assert got["nll"] == pytest.approx(-math.log(0.9 * 0.6 * 0.2 * 0.7 * 0.7 * 0.4) / 6)
    # top probabilities 0.9 (right), 0.8 (wrong), twice 0.7 (right), twice 0.6 (one right); ties share a bin
    assert got["ece"] == pytest.approx((0.1 + 0.8 + 2 * 0.3 + 2 * 0.1) / 6)
    assert got["coverage"] == pytest.approx(4 / 6)
    assert got["selective_accuracy"] == 1.0
    # all accepted answers are right, of three patients: the exact bound; two of p1, one of p2 and of p3 are accepted
    assert got["selective_accuracy_ci95"] == [pytest.approx(0.025 ** (1 / 3)), 1.0]
    assert got["coverage_ci95"] == [0.5, 1.0]
    for name in ("as_shipped", "conformal", "pointing_game"):
        assert got[name] is None


def test_classes_missing_from_the_data_are_null_and_the_document_is_json() -> None:
    table = PredictionTable.build(
        NAMES, ["a", "b"], ["glioma", "pituitary"], np.array([[0.7, 0.1, 0.1, 0.1], [0.1, 0.1, 0.1, 0.7]])
    )
    got = evaluate_table(table)
    json.dumps(got, allow_nan=False)
    lacking = got["per_class"]["no_tumor"]
    assert (lacking["sensitivity"], lacking["sensitivity_ci95"], lacking["auroc"], lacking["ppv"]) == (None,) * 4
    assert (lacking["specificity"], lacking["npv"], lacking["n"]) == (1.0, 1.0, 0)
    assert (got["accuracy"], got["balanced_accuracy"], got["macro_f1"], got["auroc_macro"]) == (1.0, 1.0, 1.0, 1.0)
    assert got["patient_accuracy"] is None
    assert got["patients"] is None
    assert got["unit"] == "slice"


def test_one_slice_of_one_class_is_still_a_document() -> None:
    got = evaluate_table(PredictionTable.build(NAMES, ["a"], ["glioma"], np.full((1, 4), 0.25)))
    json.dumps(got, allow_nan=False)
    assert got["accuracy_ci95"] is got["ece_ci95"] is None
    assert got["auroc_macro"] is None


def test_a_certain_network_that_is_right_is_perfectly_calibrated() -> None:
    codes = np.arange(40) % 4
    table = PredictionTable.build(NAMES, [f"i{i}" for i in range(40)], [NAMES[c] for c in codes], np.eye(4)[codes])
    got = evaluate_table(table)
    assert (got["ece"], got["brier"], got["nll"], got["accuracy"]) == (0.0, 0.0, 0.0, 1.0)
    assert math.copysign(1, got["nll"]) == 1
    assert got["ece_ci95"] == [0.0, pytest.approx(1 - 0.025 ** (1 / 40))], "no error in 40 slices is no proof"
    assert got["balanced_accuracy_ci95"] == [pytest.approx(0.025 ** (1 / 10)), 1.0]


def test_a_certain_network_that_is_wrong_has_a_finite_log_loss() -> None:
    table = PredictionTable.build(("x", "y"), ["a", "b"], ["x", "y"], np.array([[0.0, 1.0], [1.0, 0.0]]))
    got = evaluate_table(table)
    assert (got["accuracy"], got["ece"], got["brier"]) == (0.0, 1.0, 2.0)
    assert math.isfinite(got["nll"])


def test_unlabelled_unknown_or_no_rows_are_refused() -> None:
    p = np.array([[0.5, 0.5]])
    with pytest.raises(DataError, match="no label"):
        evaluate_table(PredictionTable.build(("x", "y"), ["a"], [""], p))
    with pytest.raises(DataError, match="found class 'z'"):
        evaluate_table(PredictionTable.build(("x", "y"), ["a"], ["z"], p))
    with pytest.raises(DataError, match="no prediction"):
        evaluate_table(PredictionTable.build(("x", "y"), [], [], np.zeros((0, 2))))


@example(seed=433, n=44, strength=1.0, patients=3, decimals=1)  # a patient's mean probabilities tie
@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(1, 80),
    strength=st.floats(0, 6),
    patients=st.integers(0, 12),
    decimals=st.integers(1, 6),
)
def test_laws(seed: int, n: int, strength: float, patients: int, decimals: int) -> None:
    table = random_table(seed, n, strength, patients, decimals)
    got = evaluate_table(table, bootstrap=100)
    json.dumps(got, allow_nan=False)
    for name in ("accuracy", "balanced_accuracy", "macro_f1", "ece"):
        assert 0 <= got[name] <= 1
    assert 0 <= got["brier"] <= 2
    assert got["nll"] >= 0
    for name in ("accuracy", "balanced_accuracy", "patient_accuracy", "ece"):
        if got[f"{name}_ci95"] is not None:
            low, high = got[f"{name}_ci95"]
            assert 0 <= low <= got[name] <= high <= 1
    for part in got["per_class"].values():
        if part["sensitivity_ci95"] is not None:
            low, high = part["sensitivity_ci95"]
            assert 0 <= low <= part["sensitivity"] <= high <= 1
    assert sum(map(sum, got["confusion"]["matrix"])) == got["n"] == n

    order = np.random.default_rng(seed).permutation(n)
    shuffled = PredictionTable.build(
        NAMES,
        [table.ids[i] for i in order],
        [table.labels[i] for i in order],
        table.probabilities[order],
        patients=[table.patients[i] for i in order],
    )
    again = evaluate_table(shuffled, bootstrap=100)
    assert json.dumps(_rounded(again)) == json.dumps(_rounded(got))


def _rounded(value):
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    return round(value, 9) if isinstance(value, float) else value


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 4)), min_size=1, max_size=40))
def test_auroc_is_the_share_of_ordered_pairs(pairs) -> None:
    positive = np.array([p for p, _ in pairs])
    score = np.array([s / 4 for _, s in pairs])
    wins = [(a > b) + 0.5 * (a == b) for a in score[positive] for b in score[~positive]]
    got = auroc(positive, score)
    assert got == (pytest.approx(np.mean(wins)) if wins else None)
