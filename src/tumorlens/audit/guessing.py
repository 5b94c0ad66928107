"""Cheap out-of-fold guesses for the probes. scikit-learn is imported only when one is made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np

from tumorlens.audit.scoring import FOLDS, Task
from tumorlens.io.guard import extra

_TREES: Final = 40

Progress = Callable[[int, int], None]


def by_table(seen: np.ndarray, given: Task, seed: int, progress: Progress | None = None) -> np.ndarray:
    """Class of each row from a table float32 (M, F): a forest and a linear model together.

    The forest finds thresholds (one image size per class), the linear model small shifts spread over many columns.

    Args:
        seen: the table.
        given: what is to be guessed from it.
        seed: of the forest.
        progress: called with (folds done, of how many).

    Returns:
        int64 (M,), each row guessed by models that saw no row of its fold.

    Raises:
        MissingExtraError: without scikit-learn.
    """
    with extra("scikit-learn", "audit"):
        from sklearn.ensemble import ExtraTreesClassifier

    seen = varying(seen)
    found = np.zeros(len(seen), np.int64)
    folds = _folds(given)
    for done, (train, test) in enumerate(folds, start=1):
        forest = ExtraTreesClassifier(
            _TREES, min_samples_leaf=5, class_weight="balanced", random_state=seed, n_jobs=1
        ).fit(seen[train], given.codes[train])
        shares = 2 * forest.predict_proba(seen[test]) + _linear(seen[train], given.codes[train], seen[test])
        found[test] = forest.classes_[shares.argmax(axis=1)]
        if progress:
            progress(done, len(folds))
    return found


def probabilities(seen: np.ndarray, given: Task, seed: int, progress: Progress | None = None) -> np.ndarray:
    """Out-of-fold probability of each class, float64 (M, classes), from a table float32 (M, F).

    Logistic regression and a forest averaged: the first is calibrated, the second sees what is not linear.
    ``progress`` is called with (folds done, of how many).

    Raises:
        MissingExtraError: without scikit-learn.
    """
    with extra("scikit-learn", "audit"):
        from sklearn.ensemble import ExtraTreesClassifier
        from sklearn.linear_model import LogisticRegression

    seen = varying(seen)
    seen = (seen - seen.mean(axis=0)) / (seen.std(axis=0) + 1e-6)
    found = np.zeros((len(seen), len(given.classes)))
    folds = _folds(given)
    for done, (train, test) in enumerate(folds, start=1):
        forest: Any = ExtraTreesClassifier(2 * _TREES, min_samples_leaf=3, random_state=seed, n_jobs=1)
        line: Any = LogisticRegression(C=0.1, max_iter=100)
        for model in (forest, line):
            model.fit(seen[train], given.codes[train])
            found[np.ix_(test, model.classes_)] += model.predict_proba(seen[test]) / 2
        if progress:
            progress(done, len(folds))
    return found


def by_tree(seen: np.ndarray, given: Task) -> np.ndarray:
    """Class of each row int64 (M,) from few columns, by one small tree.

    Raises:
        MissingExtraError: without scikit-learn.
    """
    with extra("scikit-learn", "audit"):
        from sklearn.tree import DecisionTreeClassifier

    found = np.zeros(len(seen), np.int64)
    for train, test in _folds(given):
        tree = DecisionTreeClassifier(max_leaf_nodes=16, min_samples_leaf=3, class_weight="balanced", random_state=0)
        found[test] = tree.fit(seen[train], given.codes[train]).predict(seen[test])
    return found


def by_nearest(seen: np.ndarray, given: Task) -> np.ndarray:
    """Class int64 (M,) of the most similar row of another fold; ``seen`` holds unit vectors float32 (M, F)."""
    found = np.zeros(len(seen), np.int64)
    for train, test in _folds(given):
        found[test] = given.codes[train][(seen[test] @ seen[train].T).argmax(axis=1)]
    return found


def varying(table: np.ndarray) -> np.ndarray:
    """The columns that are not the same everywhere; one column of zeros when there is none."""
    kept = table[:, np.ptp(table, axis=0) > 0]
    return kept if kept.shape[1] else np.zeros((len(table), 1), np.float32)


def _linear(train: np.ndarray, codes: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Probabilities of classes assumed equally frequent, by discriminant analysis with a shrunken covariance."""
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    many = len(np.unique(codes))
    spread = train.std(axis=0) + 1e-6
    model: Any = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto", priors=[1 / many] * many)
    return np.asarray(model.fit(train / spread, codes).predict_proba(test / spread))


def _folds(given: Task) -> list[tuple[np.ndarray, np.ndarray]]:
    """Row numbers to learn from and to guess, for each fold that holds anything."""
    return [
        (np.flatnonzero(given.folds != fold), np.flatnonzero(given.folds == fold))
        for fold in range(FOLDS)
        if (given.folds == fold).any()
    ]
