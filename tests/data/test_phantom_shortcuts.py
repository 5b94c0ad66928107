"""No shortcut to the phantom's classes: what does not see the tumour must stay near chance."""

from __future__ import annotations

from math import sqrt

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from tumorlens.data.phantom import PhantomSlice, make_slices

pytest.importorskip("sklearn")

COUNT = 320
CHANCE = 0.25


@pytest.fixture(scope="module")
def slices() -> list[PhantomSlice]:
    return list(make_slices(COUNT, seed=11))


def header(s: PhantomSlice) -> NDArray[np.floating]:
    h, w = s.image.shape
    return np.array((h, w, h / w, len(cv2.imencode(".png", s.image)[1])), float)


def border(s: PhantomSlice) -> NDArray[np.floating]:
    sides = (s.image[:4], s.image[-4:], s.image[:, :4].T, s.image[:, -4:].T)
    lines = [cv2.resize(np.ascontiguousarray(a), (16, 1), interpolation=cv2.INTER_AREA)[0] for a in sides]
    return np.concatenate(lines).astype(float)


def histogram(s: PhantomSlice) -> NDArray[np.floating]:
    return np.bincount(s.image.ravel() // 8, minlength=32) / s.image.size


def thumbnail(s: PhantomSlice, side: int) -> NDArray[np.floating]:
    small = cv2.resize(s.image, (side, side), interpolation=cv2.INTER_AREA).ravel().astype(float)
    return (small - small.mean()) / (small.std() + 1e-6)


def grouped_score(kind: str, features: NDArray[np.floating], slices: list[PhantomSlice]) -> float:
    """Balanced accuracy of 5-fold predictions that keep a patient's slices in one fold."""
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.metrics import balanced_accuracy_score
    from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
    from sklearn.neighbors import KNeighborsClassifier

    labels = np.array([s.label for s in slices])
    groups = np.array([s.patient for s in slices])
    models = {
        "forest": RandomForestClassifier(60, min_samples_leaf=3, random_state=0),
        "nearest": KNeighborsClassifier(1),
    }
    folds = StratifiedGroupKFold(5, shuffle=True, random_state=0)
    return float(
        balanced_accuracy_score(labels, cross_val_predict(models[kind], features, labels, groups=groups, cv=folds))
    )


@pytest.mark.parametrize("probe", ["header", "border", "histogram", "thumbnail 16", "thumbnail 32"])
def test_probe_stays_near_chance(probe: str, slices: list[PhantomSlice]) -> None:
    views = {
        "header": header,
        "border": border,
        "histogram": histogram,
        "thumbnail 16": lambda s: thumbnail(s, 16),
        "thumbnail 32": lambda s: thumbnail(s, 32),
    }
    features = np.array([views[probe](s) for s in slices])
    score = grouped_score("nearest" if probe.startswith("thumbnail") else "forest", features, slices)
    # 10 points over chance is the promise. A patient's slices are right or wrong together, so the sampling
    # error is that of the number of patients, not of slices: two standard errors on top.
    patients = len({s.patient for s in slices})
    slack = 2 * sqrt(CHANCE * (1 - CHANCE) / patients)
    assert score <= CHANCE + 0.10 + slack
