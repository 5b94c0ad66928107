"""Foreign pictures told by distances in the classifier's embedding, as beside the gate: area under the ROC curve.

Command: ``python benchmarks/gate_rivals.py PATH/TO/data [--model default]``. Distances are to slices of half of the
groups (patients, else copies) of figshare, ``mixed_web`` and ``br35h_no``; asked are the other half and every kind of
``not_brain_mri``. Mahalanobis: one covariance, the nearest class mean (Lee K et al. NeurIPS 2018); neighbour: the
fifth nearest among unit vectors (Sun Y et al. ICML 2022). Nothing foreign is learned from, so for the shipped gate,
which learned from these kinds, ``scripts/gate --measure`` is the fair figure; the gate stands here for orientation.
Cost: two minutes on two cores.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tumorlens import io
from tumorlens.config import Settings
from tumorlens.errors import InputError
from tumorlens.evaluation.auroc import auroc
from tumorlens.inference import Predictor
from tumorlens.inference.gate import Gate, shipped
from tumorlens.pipeline import load
from tumorlens.pipeline.dataset import read, standardised
from tumorlens.pipeline.dividing import examined
from tumorlens.pipeline.reporter import Reporter
from tumorlens.preprocess import standardise


def mahalanobis(known: np.ndarray, labels: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """The squared distance to the nearest class mean, under the covariance that the classes share."""
    names = sorted(set(labels.tolist()))
    means = np.stack([known[labels == name].mean(axis=0) for name in names])
    within = known - means[np.searchsorted(names, labels)]
    inverse = np.linalg.pinv(np.cov(within.T) + 1e-6 * np.eye(known.shape[1]))

    def of(asked: np.ndarray) -> np.ndarray:
        away = asked[:, None] - means[None]
        return np.asarray(np.einsum("nkd,de,nke->nk", away, inverse, away).min(axis=1))

    return of


def fifth_neighbour(known: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """One less the cosine of the angle to the fifth nearest."""
    directions = known / np.linalg.norm(known, axis=1, keepdims=True)

    def of(asked: np.ndarray) -> np.ndarray:
        own = asked / np.linalg.norm(asked, axis=1, keepdims=True)
        return np.asarray(1 - np.partition(own @ directions.T, -5, axis=1)[:, -5])

    return of


def foreign(data: Path, predictor: Predictor) -> tuple[np.ndarray, np.ndarray]:
    """Pictures as the network sees them, uint8 (N, S, S), and of which kind each is."""
    images, kinds = [], []
    for path in sorted((data / "not_brain_mri").rglob("*")):
        if path.is_file():
            try:
                pixels = io.read_slice(str(path)).pixels
            except InputError:
                continue
            images.append(standardise(pixels, predictor.bundle.info.recipe))
            kinds.append(path.parent.name)
    return np.stack(images), np.array(kinds)


def main() -> None:
    """Print the areas."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", default="default")
    options = parser.parse_args()
    predictor = load(options.model).predictor
    sources = [str(options.data / "figshare" / "index.csv"), str(options.data / "mixed_web")]
    sources.append(f"no_tumor={options.data / 'br35h_no'}")
    _, found = examined(read(sources), Settings(), Reporter())
    ready = standardised(found.manifest, predictor.bundle.info.recipe, Reporter())
    groups = np.array(ready.manifest.groups)
    names = np.random.default_rng(0).permutation(np.unique(groups))
    learned = np.isin(groups, names[: len(names) // 2])
    inside = predictor.run(ready.images).embedding
    images, kinds = foreign(options.data, predictor)
    outside = predictor.run(images).embedding
    known, labels = inside[learned], np.array(ready.manifest.labels)[learned]
    gate = Gate.read(*shipped())
    scores = {
        "Mahalanobis": [mahalanobis(known, labels)(part) for part in (inside[~learned], outside)],
        "5th neighbour": [fifth_neighbour(known)(part) for part in (inside[~learned], outside)],
        "gate": [gate.logits(np.asarray(part)) for part in (ready.images[np.flatnonzero(~learned)], images)],
    }
    print(f"{int((~learned).sum())} slices against {len(images)} foreign pictures; learned from {int(learned.sum())}")
    print("                  all  " + "  ".join(f"{kind:>10}" for kind in sorted(set(kinds.tolist()))))
    for name, (mr, other) in scores.items():
        print(f"{name:15} {area(mr, other):.3f}  ", end="")
        print("  ".join(f"{area(mr, other[kinds == kind]):10.3f}" for kind in sorted(set(kinds.tolist()))), flush=True)


def area(mr: np.ndarray, other: np.ndarray) -> float:
    """Under the curve, foreign against MR."""
    truth = np.repeat([False, True], [len(mr), len(other)])
    return float(auroc(truth, np.concatenate([mr, other])) or 0.0)


if __name__ == "__main__":
    main()
