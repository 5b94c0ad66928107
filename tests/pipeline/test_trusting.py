"""Trust fitted to held-out slices: on which it is fitted, on which it is applied, and what is said of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tumorlens.config import EvaluateSettings
from tumorlens.evaluation import evaluate_table
from tumorlens.evaluation.table import PredictionTable
from tumorlens.evaluation.trusting import aurc, conformal_scores, ece_floor, risk_coverage, uncalibrated
from tumorlens.inference.trust import Trust, softmax
from tumorlens.pipeline import trusting

NAMES = ("glioma", "meningioma", "no_tumor", "pituitary")
SETTINGS = EvaluateSettings()


def answers(patients: int = 120, each: int = 5, sharpness: float = 2.5, seed: int = 0) -> PredictionTable:
    """Out-of-fold answers of a network that is too sure: what it says is ``sharpness`` times what it should."""
    rng = np.random.default_rng(seed)
    n = patients * each
    honest = rng.normal(0, 1.5, (patients, 1, 4)) + rng.normal(0, 0.7, (patients, each, 4))
    honest = honest.reshape(n, 4)
    codes = (softmax(honest).cumsum(axis=1) > rng.random((n, 1))).argmax(axis=1)
    who = np.repeat(np.arange(patients), each)
    return PredictionTable.build(
        NAMES,
        [f"s{i}" for i in range(n)],
        [NAMES[code] for code in codes],
        softmax(honest * sharpness),
        patients=[f"p{i}" for i in who],
        groups=[f"p{i}" for i in who],
        folds=[str(i % 4) for i in who],
    )


def test_other_folds_decide_and_a_fold_has_no_part_in_its_own() -> None:
    table = answers()
    before = trusting.cross_fitted(table, SETTINGS)
    assert before.ids == table.ids
    own = np.array(table.folds) == "2"
    lied = tuple("no_tumor" if mine else label for mine, label in zip(own, table.labels, strict=True))
    after = trusting.cross_fitted(replace(table, labels=lied), SETTINGS)
    assert (after.probabilities[own] == before.probabilities[own]).all()
    assert before.sets is not None
    assert after.sets is not None
    assert (after.sets[own] == before.sets[own]).all()
    assert (after.probabilities[~own] != before.probabilities[~own]).any()


def test_leaked_slices_decide_nothing() -> None:
    table = answers()
    leaked = {name for name, fold in zip(table.ids, table.folds, strict=True) if fold == "1"}
    lied = tuple("glioma" if name in leaked else label for name, label in zip(table.ids, table.labels, strict=True))
    one = trusting.cross_fitted(table, SETTINGS, leaked)
    other = trusting.cross_fitted(replace(table, labels=lied), SETTINGS, leaked)
    assert (one.probabilities == other.probabilities).all()


def test_calibration_is_seen_on_slices_that_took_no_part() -> None:
    table = answers(400)
    trust = trusting.fitted(table, SETTINGS)
    after = trusting.cross_fitted(table, SETTINGS)
    found = trusting.calibration(table, after, trust, 0)
    assert found is not None
    assert found["temperature"] == pytest.approx(2.5, rel=0.15)
    assert found["after"]["ece"] < found["before"]["ece"] / 2
    assert found["after"]["ece"] < found["floor"] + 0.02
    assert found["after"]["nll"] < found["before"]["nll"]
    assert after.predicted == table.predicted, "the class named does not change"


def test_sets_cover_each_class_and_scores_say_so() -> None:
    found = conformal_scores(trusting.cross_fitted(answers(400), SETTINGS), SETTINGS.alpha, bootstrap=500)
    assert found is not None
    for part in found["per_class"].values():
        low, high = part["coverage_ci95"]
        assert low - 0.01 <= 0.95 <= high + 0.01
    assert 1 <= found["mean_set_size"] <= 4
    assert found["alpha"] == 0.05


def test_coverage_is_pooled_and_averaged_over_patients() -> None:
    """One patient of six slices, all covered, and three of one slice, of which one is."""
    who, hits = list("aaaaaabcd"), [1, 1, 1, 1, 1, 1, 1, 0, 0]
    table = PredictionTable.build(
        NAMES,
        [f"s{i}" for i in range(9)],
        ["glioma"] * 9,
        np.tile([0.7, 0.1, 0.1, 0.1], (9, 1)),
        patients=who,
        sets=np.array([[hit, 0, 0, 1] for hit in hits], bool),
    )
    found = conformal_scores(table, 0.05, bootstrap=2000)
    assert found is not None
    part = found["per_class"]["glioma"]
    for entry in (found, part):
        assert (entry["coverage"], entry["patient_coverage"]) == (pytest.approx(7 / 9), 0.5)
        low, high = entry["patient_coverage_ci95"]
        assert (low, high) == (0.0, 1.0), "four patients, two of whom are covered"
    assert part["groups"] == 4
    assert found["mean_set_size"] == pytest.approx(16 / 9)
    low, high = found["mean_set_size_ci95"]
    assert 1 <= low < 16 / 9 < high <= 2


def test_intervals_cover_what_they_are_of_about_as_often_as_they_say() -> None:
    """Of many draws of patients, each with its interval, which is to hold the mean over all draws."""
    trust = trusting.fitted(answers(1000), EvaluateSettings(target_accuracy=0.7))
    rows = []
    for seed in range(1, 101):
        table = trusting.judged(answers(patients=80, each=4, seed=seed), trust)
        found = evaluate_table(table, bootstrap=200, seed=seed, alpha=SETTINGS.alpha)
        rows.append({**found["conformal"], **found})  # "coverage" is that of the answers
    for name in ("coverage", "selective_accuracy", "ece", "mean_set_size", "patient_coverage"):
        truth = np.mean([row[name] for row in rows])
        inside = [row[f"{name}_ci95"][0] <= truth <= row[f"{name}_ci95"][1] for row in rows]
        assert np.mean(inside) >= 0.87, (name, np.mean(inside))


def test_calibration_can_be_undone() -> None:
    table = answers()
    temperatures = {"0": 1.7, "1": 0.6}
    each = np.array([temperatures.get(fold, 1.3) for fold in table.folds])
    calibrated = replace(table, probabilities=softmax(np.log(table.probabilities) / each[:, np.newaxis]))
    again = uncalibrated(calibrated, temperatures, 1.3)
    assert again.probabilities == pytest.approx(table.probabilities, abs=1e-9)
    assert uncalibrated(table, {}).probabilities == pytest.approx(table.probabilities, abs=1e-12)


def test_too_few_slices_leave_the_answers_as_they_are() -> None:
    few = answers(patients=8)
    assert trusting.fitted(few, SETTINGS) == Trust()
    after = trusting.cross_fitted(few, SETTINGS)
    assert after.probabilities == pytest.approx(few.probabilities, abs=1e-12)
    assert after.sets is None
    assert set(after.accepted) == {None}
    assert trusting.fitted(answers(), EvaluateSettings(calibrate=False)) == Trust()


def test_what_is_stored_answers_the_same() -> None:
    table = answers()
    trust = trusting.fitted(table, SETTINGS)
    stored = trust.fields("validation")
    again = Trust.read(stored["calibration"], stored["conformal"], stored["selective"], NAMES)
    assert again == trust
    assert stored["calibration"] is not None
    assert stored["calibration"]["fitted_on"] == "validation"


def test_an_answer_is_accepted_when_it_is_sure_and_some_class_fits() -> None:
    table = trusting.judged(answers(), trusting.fitted(answers(), SETTINGS))
    threshold = trusting.fitted(answers(), SETTINGS).selective
    assert threshold is not None
    assert table.sets is not None
    for top, own, accepted in zip(table.confidence, table.sets, table.accepted, strict=True):
        assert accepted == (top >= threshold.threshold and own.any())


def test_what_the_gate_refuses_has_no_part_in_the_threshold() -> None:
    table = answers()
    free = trusting.fitted(table, SETTINGS).selective
    refused = tuple(not right for right in table.correct.tolist())  # as if it refused every wrong answer
    gated = trusting.fitted(replace(table, refused=refused), SETTINGS).selective
    assert free is not None
    assert gated is not None
    assert gated.threshold < free.threshold
    judged = trusting.judged(
        replace(table, refused=refused), trusting.fitted(replace(table, refused=refused), SETTINGS)
    )
    assert np.mean([bool(one) for one in judged.accepted]) == pytest.approx(gated.coverage)


def test_sets_travel_in_the_table() -> None:
    table = trusting.cross_fitted(answers(), SETTINGS)
    names = ("a|b", r"c\d", "no_tumor", "e")
    table = replace(table, names=names, labels=tuple("e" for _ in table.ids))
    again = PredictionTable.joined([table.take([0, 1]), table.take(range(2, len(table)))])
    assert again.sets is not None
    assert (again.sets == table.sets).all()


def test_sets_travel_in_a_file(tmp_path) -> None:  # type: ignore[no-untyped-def]
    table = trusting.cross_fitted(answers(), SETTINGS)
    names = ("a|b", "c", "no_tumor", "e")
    table = replace(table, names=names, labels=tuple("e" for _ in table.ids))
    table.write_csv(tmp_path / "p.csv")
    again = PredictionTable.read_csv(tmp_path / "p.csv")
    assert again.sets is not None
    assert (again.sets == table.sets).all()
    assert again.accepted == table.accepted


def test_risk_and_coverage_by_hand() -> None:
    confidence, correct = np.array([0.9, 0.8, 0.8, 0.6]), np.array([True, False, True, True])
    coverage, risk = risk_coverage(confidence, correct)
    assert coverage == pytest.approx([0.25, 0.75, 1.0])
    assert risk == pytest.approx([0.0, 1 / 3, 0.25])
    assert aurc(confidence, correct) == pytest.approx(0.25 * 0 + 0.5 / 3 + 0.25 * 0.25)


def test_the_floor_is_what_a_perfect_network_shows() -> None:
    rng = np.random.default_rng(0)
    sure = rng.uniform(0.5, 1, 600)
    assert 0.01 < ece_floor(sure) < 0.06
    assert ece_floor(np.repeat(sure, 20)) < ece_floor(sure)
