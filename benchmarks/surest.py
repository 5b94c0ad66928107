"""Which answers are the surest, and which sets the smallest: other scores than the ones that are used.

Command: ``python benchmarks/surest.py default``, or bundles, or folders of cross-validations of the same slices, whose
probabilities are then averaged. Everything is of out-of-fold answers; what is fitted for a fold is fitted to the
others. Rivals of the top probability: how many of the surest 80 % are right, and how many answers are among the surest
of which 99.5 % are. Rivals of one minus the probability as the score of conformal sets for 95 %: mean size, and the
smallest coverage of a class. Intervals are over patients. Seconds, without a training.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from tumorlens import bundle
from tumorlens.evaluation import PredictionTable
from tumorlens.evaluation.bootstrap import clustered_rate
from tumorlens.evaluation.grouping import independent_units
from tumorlens.inference.trust.conformal import fit_conformal
from tumorlens.inference.trust.selective import accuracy_by_threshold
from tumorlens.labels import LabelEncoding

ALPHA, COVERAGE, TARGET = 0.05, 0.8, 0.995
Numbers = NDArray[np.float64]


def main() -> None:
    """Compare."""
    parser = argparse.ArgumentParser()
    parser.add_argument("of", nargs="+", help="bundles, or folders with predictions.csv")
    tables = [read(name) for name in parser.parse_args().of]
    table = tables[0]
    every = [one.probabilities[one.rows_of(table.ids, "the first")] for one in tables]
    probabilities = np.mean(every, axis=0)
    codes, folds = LabelEncoding(table.names).encode(table.labels), np.array(table.folds)
    units = independent_units(table)[0]
    correct = probabilities.argmax(axis=1) == codes
    print(f"{len(codes)} slices, {len(np.unique(units))} groups, {100 * correct.mean():.1f} % right")
    print(f"\nsurest by                        right of the surest {COVERAGE:.0%}     share with {TARGET:.1%} right")
    for name, score in surest(probabilities, correct, units, folds, every).items():
        first = np.argsort(-score, kind="stable")[: round(COVERAGE * len(score))]
        right, ci95 = clustered_rate(correct[first], units[first], 2000, 0)
        low, high = ci95 or (float("nan"),) * 2
        _, covered, accuracies = accuracy_by_threshold(score, correct)
        most = max((int(n) for n, a in zip(covered, accuracies, strict=True) if a >= TARGET), default=0)
        span = f"{100 * right:.1f} % ({100 * low:.1f} to {100 * high:.1f})"
        print(f"{name:32} {span:28} {100 * most / len(score):5.1f} %")
    print(f"\nsets for {1 - ALPHA:.0%}, by                mean size   empty   coverage   of the least covered class")
    for name, scored in SETS.items():
        sets = cross_fitted(scored(probabilities), codes, units, folds, table.names)
        covered_too = sets[np.arange(len(codes)), codes]
        least = min(float(covered_too[codes == code].mean()) for code in np.unique(codes))
        print(
            f"{name:32} {sets.sum(axis=1).mean():9.2f} {100 * (~sets.any(axis=1)).mean():6.1f} %"
            f" {100 * covered_too.mean():8.1f} % {100 * least:8.1f} %"
        )


def read(name: str) -> PredictionTable:
    """Out-of-fold answers of a bundle or a cross-validation."""
    file = Path(name) / "predictions.csv"
    if (Path(name) / "bundle.json").is_file() or not file.is_file():
        return PredictionTable.of_bundle(bundle.load(name))
    return PredictionTable.read_csv(file)


def surest(
    probabilities: Numbers,
    correct: NDArray[np.bool_],
    units: NDArray[np.int64],
    folds: NDArray[np.str_],
    every: list[Numbers],
) -> dict[str, Numbers]:
    """Scores that are high for sure answers."""
    ordered = np.sort(probabilities, axis=1)[:, ::-1]
    top, margin = ordered[:, 0], ordered[:, 0] - ordered[:, 1]
    entropy = -(probabilities * np.log(np.maximum(probabilities, 1e-12))).sum(axis=1)
    said = probabilities.argmax(axis=1)
    # Of the other slices of the patient, too: what they say on average of the class that this one is given.
    totals = np.zeros((int(units.max()) + 1, probabilities.shape[1]))
    np.add.at(totals, units, probabilities)
    together = (totals / np.bincount(units)[:, np.newaxis])[units, said]
    facts = np.column_stack(
        [np.log(np.maximum(1 - top, 1e-6)), np.log(np.maximum(margin, 1e-6)), entropy, np.eye(totals.shape[1])[said]]
    )
    learned, with_others = np.zeros(len(top)), np.zeros(len(top))
    for fold in np.unique(folds):
        for into, columns in ((learned, facts), (with_others, np.column_stack([facts, together, together * top]))):
            mine = folds == fold
            into[mine] = (
                LogisticRegression(max_iter=5000).fit(columns[~mine], correct[~mine]).decision_function(columns[mine])
            )
    found = {
        "top probability (used)": top,
        "margin to the second": margin,
        "entropy": -entropy,
        "learned from these and the class": learned,
        "the patient's slices together": together,
        "learned, with them": with_others,
    }
    if len(every) > 1:
        found["least sure of the networks"] = np.min([one[np.arange(len(said)), said] for one in every], axis=0)
    return found


def one_minus(probabilities: Numbers) -> Numbers:
    """Of Sadinle et al., as used."""
    return 1 - probabilities


def behind_the_first(probabilities: Numbers) -> Numbers:
    """How far a class lies behind the most probable other one, 0..1."""
    best = np.sort(probabilities, axis=1)
    others = np.where(probabilities == best[:, -1:], best[:, -2:-1], best[:, -1:])
    return (1 + others - probabilities) / 2


def cumulative(probabilities: Numbers, penalty: float = 0.0) -> Numbers:
    """Adaptive sets (Romano et al., NeurIPS 2020) without chance: the probability of all that are as likely or more.

    With a penalty for each rank after the first: RAPS (Angelopoulos et al., ICLR 2021).
    """
    order = np.argsort(-probabilities, axis=1, kind="stable")
    rank = np.argsort(order, axis=1)
    total = np.take_along_axis(np.cumsum(np.take_along_axis(probabilities, order, axis=1), axis=1), rank, axis=1)
    return np.asarray((total + penalty * rank) / (1 + penalty * (probabilities.shape[1] - 1)))


def before(probabilities: Numbers) -> Numbers:
    """The probability of all classes that are likelier."""
    return np.maximum(cumulative(probabilities) - probabilities, 0)


SETS: dict[str, Callable[[Numbers], Numbers]] = {
    "one minus probability (used)": one_minus,
    "distance behind the first": behind_the_first,
    "cumulative (APS)": cumulative,
    "cumulative, ranks cost (RAPS)": lambda probabilities: cumulative(probabilities, 0.2),
    "probability of likelier classes": before,
}


def cross_fitted(
    scores: Numbers, codes: NDArray[np.int64], units: NDArray[np.int64], folds: NDArray[np.str_], names: tuple[str, ...]
) -> NDArray[np.bool_]:
    """Sets of each fold, with the quantiles of the others."""
    sets = np.zeros(scores.shape, bool)
    for fold in np.unique(folds):
        own = folds == fold
        sets[own] = fit_conformal(1 - scores[~own], codes[~own], units[~own], names, ALPHA).sets(1 - scores[own], names)
    return sets


if __name__ == "__main__":
    main()
