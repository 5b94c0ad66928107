"""Can the phantom's classes be told apart without looking at the tumour? A table of four probes, and a small
CNN.

Usage: PYTHONPATH=src python benchmarks/phantom_shortcuts.py [--count 1200] [--seed 0] [--cnn]

Each probe sees one thing only (file header, border pixels, grey-value histogram, a thumbnail's nearest
neighbour) and is scored by balanced accuracy under 5-fold cross-validation that keeps a patient's slices
together. Chance is 25 %; a probe above 35 % means the phantom gives its classes away. `--cnn` trains a small
network (needs Keras), which should land between 85 % and 99 % on patients it has not seen.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import GroupShuffleSplit, StratifiedGroupKFold, cross_val_predict
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tumorlens.data.phantom import PhantomSlice, make_slices

CLASSES = ("glioma", "meningioma", "no_tumor", "pituitary")
CHANCE = 0.25
LIMIT = 0.35


def header(items: Sequence[PhantomSlice]) -> NDArray[np.float64]:
    """Width, height, aspect ratio and encoded size, as a look at the file list would give: (n, 5)."""
    rows = []
    for s in items:
        size = len(cv2.imencode(".png", s.image, [cv2.IMWRITE_PNG_COMPRESSION, 4])[1])
        h, w = s.image.shape
        rows.append((h, w, h / w, size, size / (h * w)))
    return np.array(rows, float)


def border(items: Sequence[PhantomSlice], width: int = 4) -> NDArray[np.float64]:
    """The outermost `width` pixels of each side, as 32 values a side, with their spread: (n, 136)."""
    rows = []
    for s in items:
        sides = (s.image[:width], s.image[-width:], s.image[:, :width].T, s.image[:, -width:].T)
        lines = [cv2.resize(np.ascontiguousarray(a), (32, 1), interpolation=cv2.INTER_AREA)[0] for a in sides]
        rows.append(np.concatenate([*lines, [a.mean() for a in sides], [a.std() for a in sides]]))
    return np.array(rows, float)


def histogram(items: Sequence[PhantomSlice], bins: int = 64) -> NDArray[np.float64]:
    """Share of pixels per grey-value bin: (n, bins)."""
    return np.array([np.bincount(s.image.ravel() // (256 // bins), minlength=bins) / s.image.size for s in items])


def thumbnail(items: Sequence[PhantomSlice], side: int) -> NDArray[np.float64]:
    """A standardised thumbnail: (n, side * side)."""
    small = np.array([cv2.resize(s.image, (side, side), interpolation=cv2.INTER_AREA).ravel() for s in items], float)
    small -= small.mean(axis=1, keepdims=True)
    return small / (small.std(axis=1, keepdims=True) + 1e-6)


def grouped_score(model: ClassifierMixin, features: NDArray[np.float64], items: Sequence[PhantomSlice]) -> float:
    """Balanced accuracy of 5-fold predictions with each patient in one fold."""
    labels = np.array([s.label for s in items])
    groups = np.array([s.patient for s in items])
    folds = StratifiedGroupKFold(5, shuffle=True, random_state=0)
    return float(balanced_accuracy_score(labels, cross_val_predict(model, features, labels, groups=groups, cv=folds)))


def probe_scores(items: Sequence[PhantomSlice], trees: int = 200) -> dict[str, float]:
    """Score of every probe; forests find interactions, the linear model finds small consistent shifts."""
    forest = RandomForestClassifier(trees, min_samples_leaf=3, n_jobs=1, random_state=0)
    linear = make_pipeline(StandardScaler(), LogisticRegression(C=0.3, max_iter=400))
    nearest = KNeighborsClassifier(1)
    tables = {"header": header(items), "border": border(items), "histogram": histogram(items)}
    scores = {}
    for name, table in tables.items():
        scores[f"{name} (forest)"] = grouped_score(forest, table, items)
        scores[f"{name} (linear)"] = grouped_score(linear, table, items)
    for side in (16, 32):
        scores[f"thumbnail {side} (1-NN)"] = grouped_score(nearest, thumbnail(items, side), items)
    return scores


def augment(x: NDArray[np.float32], mirror: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.float32]:
    """Small random shifts, turns, zooms and gains of (n, side, side, 1); half of `mirror` flipped.

    Sagittal pictures always face left, so mirroring them would only teach what never occurs.
    """
    side = x.shape[1]
    out = np.empty_like(x)
    for i, picture in enumerate(x):
        turn = cv2.getRotationMatrix2D((side / 2, side / 2), rng.uniform(-8, 8), rng.uniform(0.92, 1.08))
        turn[:, 2] += rng.uniform(-0.05 * side, 0.05 * side, 2)
        moved = cv2.warpAffine(picture[..., 0], turn, (side, side))
        out[i, ..., 0] = moved[:, :: -1 if mirror[i] and rng.random() < 0.5 else 1] * rng.uniform(0.8, 1.25)
    return out


def cnn_score(items: Sequence[PhantomSlice], epochs: int = 20, side: int = 128, seed: int = 0) -> tuple[float, float]:
    """Train a small network; accuracy and balanced accuracy on unseen patients (20 %)."""
    import keras

    keras.utils.set_random_seed(seed)
    x = np.zeros((len(items), side, side, 1), np.float32)
    for i, s in enumerate(items):  # keep the aspect ratio, pad with black
        h, w = s.image.shape
        f = side / max(h, w)
        small = cv2.resize(s.image, (max(1, round(w * f)), max(1, round(h * f))), interpolation=cv2.INTER_AREA)
        top, left = (side - small.shape[0]) // 2, (side - small.shape[1]) // 2
        x[i, top : top + small.shape[0], left : left + small.shape[1], 0] = small / 255.0
    y = np.array([CLASSES.index(s.label) for s in items])
    mirror = np.array([s.plane != "sagittal" for s in items])
    groups = np.array([s.patient for s in items])
    train, test = next(GroupShuffleSplit(1, test_size=0.2, random_state=seed).split(x, y, groups))
    layers = keras.layers
    stacks = []
    for filters in (16, 32, 64):
        stacks += [layers.Conv2D(filters, 3, padding="same", activation="relu"), layers.MaxPooling2D()]
    model = keras.Sequential(
        [
            layers.Input((side, side, 1)),
            *stacks,
            layers.Flatten(),
            layers.Dropout(0.3),
            layers.Dense(64, activation="relu"),
            layers.Dense(len(CLASSES), activation="softmax"),
        ]
    )
    model.compile(keras.optimizers.Adam(1e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
    rng = np.random.default_rng(seed)
    for epoch in range(epochs):
        if epoch == epochs * 3 // 4:
            model.optimizer.learning_rate = 3e-4
        model.fit(augment(x[train], mirror[train], rng), y[train], batch_size=16, epochs=1, verbose=0)
    guess = model.predict(x[test], verbose=0).argmax(axis=1)
    return float((guess == y[test]).mean()), float(balanced_accuracy_score(y[test], guess))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark; exit status 1 when a probe is above the limit."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=1200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cnn", action="store_true", help="also train the small CNN (minutes)")
    parser.add_argument("--epochs", type=int, default=20)
    options = parser.parse_args(argv)
    start = time.perf_counter()
    items = list(make_slices(options.count, options.seed))
    out = sys.stdout.write
    out(f"{options.count} slices in {time.perf_counter() - start:.1f} s: ")
    out(f"{options.count / (time.perf_counter() - start):.0f} slices/s\n\n")
    out(f"{'probe':<24}{'balanced accuracy':>18}   (chance {CHANCE:.0%}, limit {LIMIT:.0%})\n")
    scores = probe_scores(items)
    for name, score in scores.items():
        out(f"{name:<24}{score:>18.1%}{'' if score <= LIMIT else '   above the limit'}\n")
    if options.cnn:
        start = time.perf_counter()
        accuracy, balanced = cnn_score(items, options.epochs)
        seconds = time.perf_counter() - start
        out(f"{'small CNN':<24}{balanced:>18.1%}   accuracy {accuracy:.1%}, {seconds:.0f} s\n")
    return int(max(scores.values()) > LIMIT)


if __name__ == "__main__":
    raise SystemExit(main())
