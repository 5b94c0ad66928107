"""What files of earlier versions lack, and the two rules that were others then.

Version numbers do not tell: all of this came before the first release. A document was made before when it has none of
the later scores; with some of them it is damaged.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tumorlens.config import EvaluateSettings
from tumorlens.evaluation.table import PredictionTable
from tumorlens.inference.trust import Trust, fit_selective
from tumorlens.inference.trust.series import SeriesTrust
from tumorlens.labels import LabelEncoding
from tumorlens.pipeline import trusting

NOTE = "made by an earlier version"
# What was added together: a document lacks all of it or nothing.
_LATER = (
    # Intervals of trust, and coverage averaged over patients, in every set of scores.
    re.compile(
        r"(^|\.)(ece_ci95|selective_accuracy_ci95|patient_coverage|patient_coverage_ci95|mean_set_size_ci95)$"
        r"|^(?!.*conformal\.).*(^|\.)coverage_ci95$"
        r"|conformal\.per_class\.[^.]+\.groups$"
    ),
    re.compile(r"(^|\.)clever_hans\.turned(\.|$)"),
    re.compile(r"(^|\.)series\.always$"),
)


def later(path: str) -> int | None:
    """Which addition brought a key of ``metrics.json`` (``test.ece_ci95[0]``); None: it was always there."""
    key = re.sub(r"(\[\d+\])+$", "", path)
    return next((number for number, added in enumerate(_LATER) if added.search(key)), None)


def made_before(scores: Mapping[str, Any] | None) -> bool:
    """Whether a set of scores (``test`` of ``metrics.json``) is of an earlier version."""
    return bool(scores) and "ece_ci95" not in (scores or {})


def bare(stored: Mapping[str, Any] | None) -> bool:
    """Whether ``series`` of ``bundle.json`` holds nothing but the share.

    Earlier versions fitted nothing more where patients of a class were few.
    """
    return bool(stored) and not any((stored or {}).get(part) for part in ("calibration", "conformal", "selective"))


def series_before(series: SeriesTrust, stored: Mapping[str, Any] | None) -> SeriesTrust:
    """The trust of a series by the rule of the version that made it.

    Args:
        series: fitted by the present rule.
        stored: ``series`` of the ``bundle.json`` that is checked.
    """
    return SeriesTrust(series.share) if series.trust.selective is None and bare(stored) else series


def chosen_before(trust: Trust, table: PredictionTable, settings: EvaluateSettings) -> Trust:
    """The trust with the threshold of earlier versions, for which a refused slice or an empty set could be accepted.

    Args:
        trust: fitted by the present rule.
        table: the uncalibrated answers that it was fitted to.
        settings: for the target.
    """
    if trust.selective is None or trust.temperature is None:
        return trust
    probabilities = trust.judge(trusting.logits_of(table), table.names).probabilities
    right = probabilities.argmax(axis=1) == LabelEncoding(table.names).encode(table.labels)
    return replace(trust, selective=fit_selective(probabilities.max(axis=1), right, settings.target_accuracy))
