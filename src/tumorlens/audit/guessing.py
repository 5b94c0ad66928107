"""Cheap out-of-fold guesses for the probes. scikit-learn is imported only when one is made."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import numpy as np

from tumorlens.audit.scoring import FOLDS, Task
from tumorlens.io.guard import extra, quiet

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

    def guess(train: np.ndarray, test: np.ndarray) -> np.ndarray:
        forest = ExtraTreesClassifier(
            _TREES, min_samples_leaf=5, class_weight="balanced", random_state=seed, n_jobs=1
        ).fit(seen[train], given.codes[train])
        shares = 2 * forest.predict_proba(seen[test]) + _linear(seen[train], given.codes[train], seen[test])
        return np.asarray(forest.classes_[shares.argmax(axis=1)])

    return _out_of_fold(given, guess, np.zeros(len(seen), np.int64), progress)


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

    def guess(train: np.ndarray, test: np.ndarray) -> np.ndarray:
        forest: Any = ExtraTreesClassifier(2 * _TREES, min_samples_leaf=3, random_state=seed, n_jobs=1)
        line: Any = LogisticRegression(C=0.1, max_iter=100)
        found = np.zeros((len(test), len(given.classes)))
        for model in (forest, line):
            with quiet():  # 100 rounds are meant: further ones change no answer that matters here
                model.fit(seen[train], given.codes[train])
            found[:, model.classes_] += model.predict_proba(seen[test]) / 2
        return found

    return _out_of_fold(given, guess, np.zeros((len(seen), len(given.classes))), progress)


def by_tree(seen: np.ndarray, given: Task) -> np.ndarray:
    """Class of each row int64 (M,) from few columns, by one small tree.

    Raises:
        MissingExtraError: without scikit-learn.
    """
    with extra("scikit-learn", "audit"):
        from sklearn.tree import DecisionTreeClassifier

    def guess(train: np.ndarray, test: np.ndarray) -> np.ndarray:
        tree = DecisionTreeClassifier(max_leaf_nodes=16, min_samples_leaf=3, class_weight="balanced", random_state=0)
        return np.asarray(tree.fit(seen[train], given.codes[train]).predict(seen[test]))

    return _out_of_fold(given, guess, np.zeros(len(seen), np.int64))


def by_nearest(seen: np.ndarray, given: Task) -> np.ndarray:
    """Class int64 (M,) of the most similar row of another fold; ``seen`` holds unit vectors float32 (M, F)."""

    def guess(train: np.ndarray, test: np.ndarray) -> np.ndarray:
        return np.asarray(given.codes[train][(seen[test] @ seen[train].T).argmax(axis=1)])

    return _out_of_fold(given, guess, np.zeros(len(seen), np.int64))


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


def _out_of_fold(
    given: Task,
    guess: Callable[[np.ndarray, np.ndarray], np.ndarray],
    found: np.ndarray,
    progress: Progress | None = None,
) -> np.ndarray:
    """``found`` with every fold guessed by what learnt from the others; folds in threads, which change no guess."""
    folds = [
        (np.flatnonzero(given.folds != fold), np.flatnonzero(given.folds == fold))
        for fold in range(FOLDS)
        if (given.folds == fold).any()
    ]
    from threadpoolctl import threadpool_limits  # comes with scikit-learn

    # Threads of BLAS under threads of ours would take turns at waiting for each other.
    with threadpool_limits(1), ThreadPoolExecutor(max_workers=min(len(folds), os.cpu_count() or 1)) as pool:
        guesses = pool.map(guess, *zip(*folds, strict=True))
        for done, ((_, test), guessed) in enumerate(zip(folds, guesses, strict=True), start=1):
            found[test] = guessed
            if progress:
                progress(done, len(folds))
    return found
