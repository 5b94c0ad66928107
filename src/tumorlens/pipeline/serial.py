"""The answers for all slices of a patient together: fitted, judged and scored.

A patient's slices of a data set stand for a series. Where they have different labels, some free of a tumour, the
patient's label is the tumour's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from tumorlens.config import EvaluateSettings
from tumorlens.evaluation.grouping import independent_units
from tumorlens.evaluation.metrics import evaluate_table
from tumorlens.evaluation.table import PredictionTable
from tumorlens.inference.trust import softmax
from tumorlens.inference.trust.series import SHARES, SeriesTrust, combined, mostly_refused
from tumorlens.inference.trust.temperature import fit_temperature
from tumorlens.labels import NO_TUMOR, LabelEncoding
from tumorlens.pipeline import trusting

#: What the shares that are tried are called in scores.
RULES = dict(zip(("mean", "half", "quarter", "max"), SHARES, strict=True))
_KEPT = ("n", "groups", "unit", "accuracy", "accuracy_ci95", "balanced_accuracy", "ece", "nll", "coverage")
_LEAST = 2  # slices
# Patients of each class: with fewer nothing is known of how often a series of that class is taken for another.
_LEAST_OF_CLASS = 10


def cases(table: PredictionTable, share: float) -> PredictionTable:
    """A row for each patient with two slices or more and one kind of tumour at most; nothing of it calibrated as such.

    Refused slices have no part, and patients of whom more than half are refused have none either.

    Args:
        table: calibrated answers for slices.
        share: of the slices that an answer stands on (see :func:`tumorlens.inference.trust.series.combined`).
    """
    units = independent_units(table)[0]
    rows, labels, answers = [], [], []
    for every in _of_patients(table).values():
        own = [i for i in every if not table.refused[i]]
        tumours = {table.labels[i] for i in every} - {NO_TUMOR}
        if len(every) >= _LEAST and len(tumours) <= 1 and not mostly_refused(len(every) - len(own), len(every)):
            rows.append(own[0])
            labels.append(next(iter(tumours), NO_TUMOR))
            answers.append(combined(table.probabilities[own], table.names, share)[0])
    kept = table.take(rows)
    return PredictionTable.build(
        table.names,
        kept.ids,
        labels,
        np.array(answers).reshape(-1, len(table.names)),
        patients=kept.patients,
        groups=[f"{fold}/{unit}" for fold, unit in zip(kept.folds, units[rows], strict=True)],
        sources=kept.sources,
        splits=kept.splits,
        folds=kept.folds,
    )


def _of_patients(table: PredictionTable) -> dict[tuple[str, str, str], list[int]]:
    """The labelled slices of each patient of a source, by number."""
    slices: dict[tuple[str, str, str], list[int]] = {}
    for i, key in enumerate(zip(table.sources, table.patients, table.folds, strict=True)):
        if key[1] and table.labels[i]:
            slices.setdefault(key, []).append(i)
    return slices


def fitted(table: PredictionTable, settings: EvaluateSettings) -> SeriesTrust:
    """The share with the least log loss, by class, on patients that were not trained on, and trust in what it gives.

    With fewer than ten patients of any class nothing is known of how often its series are taken for another: there is
    no threshold, so that no series is accepted; and every patient counts the same for the share, so that a class of two
    patients does not decide it. Sets rule a class out only where enough of its patients are known, whatever else is.

    Args:
        table: calibrated answers.
        settings: whether to fit, and how. With too few patients on the whole it is the mean.
    """
    every = cases(table, 1.0)
    known = Counter(every.labels)
    if not settings.calibrate or len(every) < _LEAST_OF_CLASS:
        return SeriesTrust()
    rare = min(known[name] for name in table.names) < _LEAST_OF_CLASS
    loss = _plain_loss if rare else _loss
    share = min(SHARES, key=lambda one: loss(cases(table, one)))
    trust = trusting.fitted(cases(table, share), settings)
    return SeriesTrust(share, replace(trust, selective=None) if rare else trust)


def _plain_loss(made: PredictionTable) -> float:
    """Log loss as it is."""
    codes = LabelEncoding(made.names).encode(made.labels)
    return round(float(-np.log(np.maximum(made.probabilities[np.arange(len(codes)), codes], 1e-12)).mean()), 9)


def _loss(made: PredictionTable) -> float:
    """Log loss at the best temperature, every class counting the same: few data sets hold many healthy series."""
    codes, logits = LabelEncoding(made.names).encode(made.labels), trusting.logits_of(made)
    temperature = fit_temperature(logits, codes, np.arange(len(made))).value
    lost = -np.log(np.maximum(softmax(logits, temperature)[np.arange(len(codes)), codes], 1e-12))
    return round(float(np.mean([lost[codes == code].mean() for code in np.unique(codes)])), 9)


def judged(table: PredictionTable, series: SeriesTrust) -> PredictionTable:
    """The answer for each patient, from calibrated answers for slices."""
    return trusting.judged(cases(table, series.share), series.trust)


def scored(answers: PredictionTable, table: PredictionTable, settings: EvaluateSettings, seed: int) -> dict[str, Any]:
    """Scores of answers for patients, beside those of every rule that was tried.

    Args:
        answers: of :func:`judged` or :func:`cross_fitted`.
        table: calibrated answers for the slices that they are made of.
        settings: bootstrap, error rate of the sets.
        seed: of the bootstrap.

    Returns:
        ``n`` patients and their scores; ``conformal``, as for slices; ``always``: classes that are in the set of every
        patient; ``rules``: accuracy and log loss of each rule without calibration; ``refused``: patients of whom more
        than half of the slices are. Empty where no patient has two slices.
    """
    if not len(answers):
        return {}
    found = evaluate_table(answers, bootstrap=settings.bootstrap, seed=seed, alpha=settings.alpha)
    kept = {key: found[key] for key in (*_KEPT, "selective_accuracy", "conformal", "per_class")}
    rules = {}
    for name, share in RULES.items():
        one = evaluate_table(cases(table, share), bootstrap=100, seed=seed)
        rules[name] = {"accuracy": one["accuracy"], "nll": one["nll"]}
    refused = sum(
        len(own) >= _LEAST and mostly_refused(sum(bool(table.refused[i]) for i in own), len(own))
        for own in _of_patients(table).values()
    )
    sets = np.zeros((1, len(answers.names)), bool) if answers.sets is None else answers.sets
    always = [name for code, name in enumerate(answers.names) if sets[:, code].all()]
    return {**kept, "always": always, "rules": rules, "refused": refused}


def cross_fitted(
    raw: PredictionTable, temperatures: Mapping[str, float], settings: EvaluateSettings, bare: bool = False
) -> PredictionTable:
    """Out-of-fold answers for patients; each fold with the rule and trust that the other folds give.

    None is accepted or not where not every fold has a threshold: shares would be those of some folds.

    Args:
        raw: uncalibrated out-of-fold answers for slices.
        temperatures: of each fold, from the answers of the others; 1 where one is missing.
        settings: whether to fit, and how.
        bare: whether nothing but the share is fitted where there is no threshold, as earlier versions did.
    """
    folds = np.array(raw.folds)
    parts, thresholds = [], []
    for fold in dict.fromkeys(raw.folds):
        own = at_temperature(raw, temperatures.get(fold, 1.0))
        one = fitted(own.where(folds != fold), settings)
        thresholds.append(one.trust.selective is not None)
        one = SeriesTrust(one.share) if bare and not thresholds[-1] else one
        parts.append(judged(own.where(folds == fold), one))
    if not parts:
        return cases(raw, 1.0)
    joined = PredictionTable.joined(parts)
    return joined if all(thresholds) else replace(joined, accepted=(None,) * len(joined))


def at_temperature(raw: PredictionTable, temperature: float) -> PredictionTable:
    """Uncalibrated answers with their probabilities at a temperature."""
    return replace(raw, probabilities=softmax(trusting.logits_of(raw), temperature))
