"""The answers for all slices of a patient together: fitted, judged and scored.

A patient's slices of a data set stand for a series. Where they have different labels, some free of a tumour, the
patient's label is the tumour's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from tumorlens.config import EvaluateSettings
from tumorlens.evaluation.metrics import evaluate_table
from tumorlens.evaluation.table import PredictionTable
from tumorlens.inference.trust import softmax
from tumorlens.inference.trust.series import SHARES, SeriesTrust, combined
from tumorlens.inference.trust.temperature import fit_temperature
from tumorlens.labels import NO_TUMOR, LabelEncoding
from tumorlens.pipeline import trusting

#: What the shares that are tried are called in scores.
RULES = dict(zip(("mean", "half", "quarter", "max"), SHARES, strict=True))
_KEPT = ("n", "groups", "unit", "accuracy", "accuracy_ci95", "balanced_accuracy", "ece", "nll", "coverage")
_LEAST = 2  # slices


def cases(table: PredictionTable, share: float) -> PredictionTable:
    """A row for each patient with two slices or more and one kind of tumour at most; nothing of it calibrated as such.

    Args:
        table: calibrated answers for slices; those refused have no part.
        share: of the slices that an answer stands on (see :func:`tumorlens.inference.trust.series.combined`).
    """
    slices: dict[tuple[str, str, str], list[int]] = {}
    for i, key in enumerate(zip(table.sources, table.patients, table.folds, strict=True)):
        if key[1] and table.labels[i] and not table.refused[i]:
            slices.setdefault(key, []).append(i)
    rows, labels, answers = [], [], []
    for own in slices.values():
        tumours = {table.labels[i] for i in own} - {NO_TUMOR}
        if len(own) >= _LEAST and len(tumours) <= 1:
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
        groups=kept.groups,
        sources=kept.sources,
        splits=kept.splits,
        folds=kept.folds,
    )


def fitted(table: PredictionTable, settings: EvaluateSettings) -> SeriesTrust:
    """The share with the least log loss, by class, on patients that were not trained on, and trust in what it gives.

    Args:
        table: calibrated answers.
        settings: whether to fit, and how. Too few patients leave the mean, uncalibrated.
    """
    if not settings.calibrate or not len(cases(table, 1.0)):
        return SeriesTrust()
    if trusting.fitted(cases(table, 1.0), settings).temperature is None:
        return SeriesTrust()
    share = min(SHARES, key=lambda one: _loss(cases(table, one)))
    return SeriesTrust(share, trusting.fitted(cases(table, share), settings))


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
        ``n`` patients and their scores; ``conformal``, as for slices; ``rules``: accuracy and log loss of each rule
        without calibration. Empty where no patient has two slices.
    """
    if not len(answers):
        return {}
    found = evaluate_table(answers, bootstrap=settings.bootstrap, seed=seed, alpha=settings.alpha)
    kept = {key: found[key] for key in (*_KEPT, "selective_accuracy", "conformal", "per_class")}
    rules = {}
    for name, share in RULES.items():
        one = evaluate_table(cases(table, share), bootstrap=100, seed=seed)
        rules[name] = {"accuracy": one["accuracy"], "nll": one["nll"]}
    return {**kept, "rules": rules}


def cross_fitted(
    raw: PredictionTable, temperatures: Mapping[str, float], settings: EvaluateSettings
) -> PredictionTable:
    """Out-of-fold answers for patients; each fold with the rule and trust that the other folds give.

    Args:
        raw: uncalibrated out-of-fold answers for slices.
        temperatures: of each fold, from the answers of the others; 1 where one is missing.
        settings: whether to fit, and how.
    """
    folds = np.array(raw.folds)
    parts = []
    for fold in dict.fromkeys(raw.folds):
        own = at_temperature(raw, temperatures.get(fold, 1.0))
        parts.append(judged(own.where(folds == fold), fitted(own.where(folds != fold), settings)))
    return PredictionTable.joined(parts)


def at_temperature(raw: PredictionTable, temperature: float) -> PredictionTable:
    """Uncalibrated answers with their probabilities at a temperature."""
    return replace(raw, probabilities=softmax(trusting.logits_of(raw), temperature))
