"""The answer for a series: which slices it stands on, and laws that hold for any answers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tumorlens.config import EvaluateSettings
from tumorlens.evaluation import PredictionTable
from tumorlens.inference import Prediction
from tumorlens.inference.result import BLANK
from tumorlens.inference.series import SeriesSum
from tumorlens.inference.trust import Conformal, Trust
from tumorlens.inference.trust.series import SHARES, SeriesTrust, combined
from tumorlens.pipeline import serial
from tumorlens.report import trust

NAMES = ("glioma", "no_tumor", "pituitary")


def answer(i: int, probabilities: list[float], **more: object) -> Prediction:
    known = dict(zip(NAMES, probabilities, strict=True))
    base = {"id": f"v#{i}", "path": "v", "frame": i, "predicted": "glioma", "model": {}, "ms": 0.0, "series": "v"}
    return Prediction(**{**base, "probabilities": known, "position": float(i), **more})  # type: ignore[arg-type]


def series(answers: list[Prediction], trust: SeriesTrust | None = None) -> SeriesSum:
    made = SeriesSum(answers[0], trust)
    for one in answers:
        made.add(one)
    return made


CLEAR, TUMOUR = [0.05, 0.9, 0.05], [0.7, 0.1, 0.2]


def test_one_slice_with_a_tumour_among_many_is_found_by_all_rules_but_the_mean() -> None:
    answers = [answer(i, TUMOUR if i == 5 else CLEAR) for i in range(12)]
    assert series(answers).answer().predicted == "no_tumor"
    found = series(answers, SeriesTrust(share=0.0)).answer()
    assert found.predicted == "glioma"
    assert found.supporting == ("v#5",)
    assert len(found.slices) == 12
    entry = found.as_dict()
    assert entry["supporting"] == ["v#5"]
    assert entry["set"] is entry["verdict"] is None


def test_single_slices_accepted_as_another_tumour_make_an_unmeasured_series_uncertain() -> None:
    other = answer(3, [0.02, 0.01, 0.97], predicted="pituitary", verdict="accepted")
    sure = answer(4, TUMOUR, predicted="glioma", verdict="accepted")
    healthy = answer(5, CLEAR, predicted="no_tumor", verdict="accepted")
    calm = [answer(i, CLEAR) for i in range(3)]
    found = series([*calm, healthy, other]).answer()
    assert (found.predicted, found.verdict) == ("no_tumor", "uncertain")
    assert found.reason == "1 of its slices are accepted as pituitary, not as no_tumor"
    # A head with a tumour has slices without one.
    unmeasured = series([healthy, sure], SeriesTrust(share=0.5)).answer()
    assert unmeasured.verdict == "uncertain"
    assert unmeasured.reason == "too few series were known to say when an answer for a series is sure enough"


def test_slices_are_named_where_they_lie_not_when_they_came() -> None:
    answers = [answer(i, TUMOUR if i in (2, 4) else CLEAR) for i in (4, 0, 3, 2, 1, 5, 6, 7)]
    found = series(answers, SeriesTrust(share=0.25)).answer()
    assert found.slices == tuple(f"v#{i}" for i in range(8))
    assert found.supporting == ("v#2", "v#4")


def test_blank_slices_and_what_was_computed_from_others_are_set_aside_and_counted() -> None:
    blank = [answer(i, CLEAR, verdict="not_brain_mri", reason=BLANK, predicted=None) for i in (0, 9)]
    originals = [answer(i, CLEAR) for i in (2, 3, 4)]
    computed = [answer(i, TUMOUR, derived=True) for i in (5, 6)]
    found = series([*blank, *originals, *computed]).answer()
    assert found.predicted == "no_tumor"
    assert found.answered == ("v#2", "v#3", "v#4")
    assert len(found.slices) == 7
    assert found.as_dict()["aside"] == {"blank": 2, "derived": 2}
    alone = series([*blank, *computed]).answer()
    assert alone.predicted == "glioma"
    assert alone.aside == {"blank": 2}
    assert series(blank).answer().verdict == "not_brain_mri"


@given(st.integers(1, 30), st.sampled_from(SHARES), st.integers(0, 2**32 - 1))
@settings(max_examples=80, deadline=None)
def test_the_answer_is_the_mean_over_the_most_suspicious(n: int, share: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    made = rng.dirichlet(np.ones(3), n)
    mean, chosen = combined(made, NAMES, share)
    assert mean.sum() == pytest.approx(1)
    assert len(chosen) == max(1, int(np.ceil(share * n)))
    rest = np.setdiff1d(np.arange(n), chosen)
    assert not len(rest) or made[chosen, 1].max() <= made[rest, 1].min()
    np.testing.assert_allclose(mean, made[chosen].mean(axis=0))
    order = rng.permutation(n)
    np.testing.assert_allclose(combined(made[order], NAMES, share)[0], mean)


def patients(count: int, slices: int, seed: int) -> PredictionTable:
    """Half of the patients have a tumour on a quarter of their slices, seen by an honest, noisy network."""
    rng = np.random.default_rng(seed)
    rows = []
    for k in range(count):
        for i in range(slices):
            ill = k % 2 == 0 and i < slices // 4
            strength = rng.normal(2.0 if ill else -2.0, 0.8)
            tumour = 1 / (1 + np.exp(-strength))
            rows.append((f"s{k}_{i}", "glioma" if ill else "no_tumor", f"p{k}", tumour))
    ids, labels, names, odds = zip(*rows, strict=True)
    known = np.array([[one * 0.9, 1 - one, one * 0.1] for one in odds])
    return PredictionTable.build(NAMES, ids, labels, known, patients=names, groups=names, splits=["test"] * len(ids))


def test_a_patient_with_a_tumour_on_some_slices_is_ill() -> None:
    made = serial.cases(patients(6, 8, 0), 1.0)
    assert made.labels == ("glioma", "no_tumor") * 3
    assert made.patients == tuple(f"p{k}" for k in range(6))


def of_two_classes(table: PredictionTable) -> PredictionTable:
    """The answers of a network that knows the two classes that occur."""
    known = table.probabilities[:, :2] / table.probabilities[:, :2].sum(axis=1, keepdims=True)
    return replace(table, names=NAMES[:2], probabilities=known)


def test_of_a_class_without_patients_no_series_is_free_and_none_is_accepted() -> None:
    """The network may name it, and nobody knows how often wrongly."""
    found = serial.fitted(patients(80, 12, 1), EvaluateSettings(bootstrap=200))
    assert found.trust.temperature is not None
    assert found.trust.selective is None
    fresh = serial.judged(patients(80, 12, 2), found)
    assert fresh.sets is not None
    assert fresh.sets[:, NAMES.index("pituitary")].all()
    held = fresh.sets[np.arange(80), [NAMES.index(label) for label in fresh.labels]]
    assert held.mean() >= 0.85
    assert 0.4 <= fresh.sets[:, 0].mean() <= 0.7  # the class is still ruled out where it may be
    said = series([answer(i, TUMOUR) for i in range(4)], found).answer()
    assert said.set is not None
    assert "pituitary" in said.set
    assert said.verdict == "uncertain"
    assert said.reason == "too few series of pituitary were known to say when an answer for a series is sure enough"
    assert SeriesTrust.read(found.fields("validation"), NAMES) == found
    scores = serial.scored(fresh, patients(80, 12, 2), EvaluateSettings(bootstrap=200), 0)
    assert scores["always"] == ["pituitary"]
    assert scores["coverage"] is None
    (line,) = [line for line in trust.lines({"test": {}, "series": scores}) if line[0].startswith("Their sets")]
    assert line[2].endswith("in every set: Pituitary tumour")


def test_a_series_unlike_all_that_were_measured_says_so() -> None:
    """A class that no set rules out must not hide that no other fits."""
    limits = Conformal(0.05, {"glioma": 0.1, "no_tumor": 0.1, "pituitary": 1.0}, {})
    said = series([answer(0, [0.55, 0.3, 0.15])], SeriesTrust(1.0, Trust(None, limits, None))).answer()
    assert (said.predicted, said.set, said.verdict) == ("glioma", ("pituitary",), "uncertain")
    assert said.reason is not None
    assert said.reason.startswith("unlike the series of every class that could be measured; too few series of pitu")


def test_where_slices_are_judged_and_series_are_not_a_series_is_uncertain() -> None:
    found = serial.fitted(patients(30, 12, 1), EvaluateSettings(bootstrap=200))
    assert found == SeriesTrust(found.share)  # fewer than fifty
    calm = [answer(i, CLEAR, predicted="no_tumor", verdict="accepted") for i in range(3)]
    said = series(calm, found).answer()
    assert (said.set, said.verdict) == (None, "uncertain")
    assert said.reason == "too few series were known to say when an answer for a series is sure enough"
    assert series([answer(i, CLEAR) for i in range(3)], found).answer().verdict is None  # nothing is judged at all


def test_shares_of_accepted_series_are_those_of_all_folds_or_of_none() -> None:
    """Of twelve patients of a class, one fold leaves eleven to the others, and the other fold one."""
    table = of_two_classes(patients(160, 8, 3))
    number = np.array([int(name[1:]) for name in table.patients])
    kept = table.where((number % 2 == 1) | (number < 24))
    number = np.array([int(name[1:]) for name in kept.patients])
    folds = np.where((number % 2 == 0) & (number > 0) | (number % 4 == 1), "2", "1")
    kept = replace(kept, folds=tuple(folds.tolist()))
    settings = EvaluateSettings(bootstrap=200)
    known = [serial.fitted(kept.where(folds != fold), settings).trust for fold in "12"]
    assert [one.selective is None for one in known] == [False, True]
    answers = serial.cross_fitted(kept, {}, settings)
    assert set(answers.accepted) == {None}


def test_the_rule_is_chosen_and_beats_the_mean_on_other_patients() -> None:
    chosen = EvaluateSettings(bootstrap=200)
    found = serial.fitted(of_two_classes(patients(80, 12, 1)), chosen)
    assert found.share == 0.25
    assert found.trust.temperature is not None
    fresh = of_two_classes(patients(80, 12, 2))
    scores = serial.scored(serial.judged(fresh, found), fresh, chosen, 0)
    assert scores["n"] == 80
    assert scores["accuracy"] > scores["rules"]["mean"]["accuracy"] + 0.2
    assert scores["nll"] <= min(rule["nll"] for rule in scores["rules"].values()) + 0.02
    assert SeriesTrust.read(found.fields("validation"), NAMES[:2]) == found


def test_too_few_patients_leave_the_mean() -> None:
    assert serial.fitted(patients(6, 8, 0), EvaluateSettings()) == SeriesTrust()
    assert serial.fitted(patients(80, 8, 0), EvaluateSettings(calibrate=False)) == SeriesTrust()
    alone = patients(80, 1, 0)
    assert serial.scored(serial.judged(alone, SeriesTrust()), alone, EvaluateSettings(), 0) == {}


def test_refused_slices_have_no_part_and_odd_patients_are_left_out() -> None:
    table = patients(2, 8, 0)
    refused = replace(table, refused=(True,) * 7 + (False,) * 9)
    assert serial.cases(refused, 1.0).patients == ("p1",)
    two = replace(table, labels=("glioma", "pituitary", *table.labels[2:]))
    assert serial.cases(two, 1.0).patients == ("p1",)


@pytest.mark.parametrize("stored", [{}, {"share": 2}, {"share": "all"}])
def test_a_bundle_that_says_something_else_is_refused(stored: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="share"):
        SeriesTrust.read(stored, NAMES)
