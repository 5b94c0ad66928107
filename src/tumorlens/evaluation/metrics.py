"""Every score of one set of predictions, as the document that ``tumorlens evaluate --json`` prints."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tumorlens.errors import DataError
from tumorlens.evaluation.auroc import auroc
from tumorlens.evaluation.bootstrap import interval, quiet_mean, ratios, resample_sums
from tumorlens.evaluation.calibration_error import (
    brier_score,
    calibration_interval,
    expected_calibration_error,
    negative_log_likelihood,
)
from tumorlens.evaluation.grouping import independent_units, patient_cases
from tumorlens.evaluation.table import PredictionTable
from tumorlens.evaluation.trusting import aurc, conformal_scores, selective_scores
from tumorlens.labels import LabelEncoding


def evaluate_table(
    table: PredictionTable,
    *,
    bootstrap: int = 2000,
    seed: int = 0,
    unit: str | None = None,
    alpha: float | None = None,
) -> dict[str, Any]:
    """All metrics of labelled predictions.

    Shares are 0..1. A value that the data do not define (the sensitivity of a class without slices) is None, never
    NaN. Means over classes are over the classes that occur. Intervals are 95 % cluster-bootstrap intervals
    (:mod:`tumorlens.evaluation.bootstrap`) over the units that :func:`independent_units` finds; ``unit`` only renames
    them.

    ``brier`` is the multi-class score, a mean of sums of squares (0..2). ``ece`` uses 15 bins of equal mass of the top
    probability (its interval: :func:`tumorlens.evaluation.calibration_error.calibration_interval`). ``nll`` is in nats.
    ``patient_accuracy`` takes the mean probability over a patient's slices; a patient with mixed labels counts once per
    label. ``coverage`` is the share of accepted answers and ``selective_accuracy`` the accuracy among them, None where
    no verdict is known; ``aurc`` is the area under the risk-coverage curve; ``refused`` is the share that the gate
    takes for no brain MRI, None without a gate.
    ``conformal`` says what the sets cover (:func:`tumorlens.evaluation.trusting.conformal_scores`), None without sets.
    ``as_shipped`` and ``pointing_game`` are left None for the caller to fill.

    Args:
        table: predictions with their true labels; classes of the network that the data lack are fine.
        bootstrap: resamples behind each interval.
        seed: of the resampling.
        unit: what the groups are, if the caller knows better (``patient``, ``duplicate cluster``, ``slice``).
        alpha: error rate that the sets were made for.

    Raises:
        DataError: when there is no row, or a row has no label or one that the network does not know.
    """
    if len(table) == 0:
        raise DataError("there is no prediction to evaluate", hint="give labelled data", code="empty")
    if not all(table.labels):
        raise DataError(
            f"{sum(not label for label in table.labels)} of {len(table)} slices have no label",
            hint="evaluation needs labelled data; tumorlens predict answers without labels",
            code="unlabelled",
        )
    k = len(table.names)
    codes = LabelEncoding(table.names).encode(table.labels)
    predicted = table.predicted_codes
    correct = codes == predicted
    units, found_unit = independent_units(table)
    groups = int(units.max()) + 1
    matrix = _tally(codes * k + predicted, k * k).reshape(k, k)

    cases, patients = patient_cases(table, codes)
    case_codes, case_correct, case_units = judge_cases(table.probabilities, codes, cases, units)

    # Sufficient statistics of each unit: slices and right answers per class, patient cases and right answers.
    totals = np.column_stack(
        [
            _tally(units * k + codes, groups * k).reshape(groups, k),
            _tally((units * k + codes)[correct], groups * k).reshape(groups, k),
            _tally(case_units, groups),
            _tally(case_units[case_correct], groups),
        ]
    )
    drawn = resample_sums(totals, bootstrap, seed)
    drawn_n, drawn_right = drawn[:, :k], drawn[:, k : 2 * k]
    drawn_sensitivity = ratios(drawn_right, drawn_n)
    groups_of_class = (totals[:, :k] > 0).sum(axis=0)

    per_class = _per_class(table.probabilities, codes, matrix, table.names)
    for i, name in enumerate(table.names):
        point = per_class[name]["sensitivity"]
        per_class[name]["sensitivity_ci95"] = interval(point, drawn_sensitivity[:, i], int(groups_of_class[i]))
    accuracy = float(correct.mean())
    present = [name for name in table.names if per_class[name]["n"]]
    balanced = float(np.mean([per_class[name]["sensitivity"] for name in present]))
    patient_accuracy = float(case_correct.mean()) if case_codes.size else None
    areas = [per_class[name]["auroc"] for name in table.names if per_class[name]["auroc"] is not None]
    # With every class perfect, the rarest class limits what is known about their mean.
    rarest = int(groups_of_class[groups_of_class > 0].min())

    return {
        "n": len(table),
        "groups": groups,
        "unit": unit or found_unit,
        "accuracy": accuracy,
        "accuracy_ci95": interval(accuracy, ratios(drawn_right.sum(1), drawn_n.sum(1)), groups),
        "balanced_accuracy": balanced,
        "balanced_accuracy_ci95": interval(balanced, quiet_mean(drawn_sensitivity, 1), rarest),
        "macro_f1": _macro_f1(matrix),
        "auroc_macro": float(np.mean(areas)) if areas else None,
        "per_class": per_class,
        "confusion": {"labels": list(table.names), "matrix": matrix.tolist()},
        "ece": expected_calibration_error(table.confidence, correct),
        "ece_ci95": calibration_interval(table.confidence, correct, units, bootstrap, seed),
        "brier": brier_score(table.probabilities, codes),
        "nll": negative_log_likelihood(table.probabilities, codes),
        "patients": patients or None,
        "patient_cases": int(case_codes.size) or None,
        "patient_accuracy": patient_accuracy,
        "patient_accuracy_ci95": interval(
            patient_accuracy, ratios(drawn[:, 2 * k + 1], drawn[:, 2 * k]), len(set(case_units.tolist()))
        ),
        "as_shipped": None,
        **selective_scores(table.accepted, correct, units, bootstrap=bootstrap, seed=seed),
        "aurc": aurc(table.confidence, correct),
        "refused": _refused(table.refused),
        "conformal": conformal_scores(table, alpha, bootstrap=bootstrap, seed=seed),
        "pointing_game": None,
        "bootstrap": {"resamples": bootstrap, "seed": seed},
    }


def judge_cases(
    probabilities: NDArray[np.float64], codes: NDArray[np.int64], cases: NDArray[np.int64], units: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.int64]]:
    """For every patient case: true class, whether the mean probability names it, and its unit of chance."""
    known = cases >= 0
    n = int(cases.max()) + 1 if known.any() else 0
    mean = np.zeros((n, probabilities.shape[1]))
    np.add.at(mean, cases[known], probabilities[known])  # the sum has the same argmax as the mean
    mean = mean.round(9)  # a tie must not be decided by the order in which slices were added up
    case_codes = np.zeros(n, dtype=np.int64)
    case_codes[cases[known]] = codes[known]
    case_units = np.zeros(n, dtype=np.int64)
    case_units[cases[known]] = units[known]
    return case_codes, mean.argmax(axis=1) == case_codes if n else np.zeros(0, bool), case_units


def _per_class(
    probabilities: NDArray[np.float64], codes: NDArray[np.int64], matrix: NDArray[np.int64], names: tuple[str, ...]
) -> dict[str, dict[str, Any]]:
    """One-vs-rest scores of each class; ``matrix`` is int64 (K, K), rows true, columns predicted."""
    total = int(matrix.sum())
    scores: dict[str, dict[str, Any]] = {}
    for i, name in enumerate(names):
        true_positive = int(matrix[i, i])
        false_negative = int(matrix[i].sum()) - true_positive
        false_positive = int(matrix[:, i].sum()) - true_positive
        true_negative = total - true_positive - false_negative - false_positive
        scores[name] = {
            "sensitivity": _share(true_positive, true_positive + false_negative),
            "specificity": _share(true_negative, true_negative + false_positive),
            "ppv": _share(true_positive, true_positive + false_positive),
            "npv": _share(true_negative, true_negative + false_negative),
            "auroc": auroc(codes == i, probabilities[:, i]),
            "n": true_positive + false_negative,
        }
    return scores


def _macro_f1(matrix: NDArray[np.int64]) -> float:
    """Mean of F1 = 2·TP / (2·TP + FP + FN) over the classes that occur or were predicted (as scikit-learn does)."""
    right = np.diag(matrix)
    seen = matrix.sum(axis=0) + matrix.sum(axis=1)
    return float((2 * right[seen > 0] / seen[seen > 0]).mean())


def _refused(refused: tuple[bool | None, ...]) -> float | None:
    known = [value for value in refused if value is not None]
    return _share(sum(known), len(known))


def _tally(numbers: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """How often each of 0 .. size - 1 occurs, int64 (size,)."""
    return np.asarray(np.bincount(numbers, minlength=size), dtype=np.int64)


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
