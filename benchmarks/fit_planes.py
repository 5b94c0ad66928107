"""Fits the guess of a slice's plane and says how often it is right; ``src/tumorlens/preprocess/plane.npz``.

Command: ``python benchmarks/fit_planes.py PATH/TO/data`` (half a minute on two cores).
Planes of ``figshare`` and ``mixed_web`` were told by eye, with the help of clusters (``planes.csv``: a axial,
c coronal, s sagittal); ``br35h_no``, ``brain_tumor_progression`` and ``dicom/t1w_head`` are axial; the volumes of
``nifti`` are sliced in all three.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import cv2
import nibabel
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold

from tumorlens.data.manifest import Manifest
from tumorlens.pipeline.dataset import read, standardised
from tumorlens.pipeline.reporter import Reporter
from tumorlens.preprocess.plane import features
from tumorlens.preprocess.recipe import Recipe, standardise

LETTERS = "acs"
COPIES = 3
OUT = Path(__file__).resolve().parents[1] / "src" / "tumorlens" / "preprocess" / "plane.npz"


def pictures(manifest: Manifest) -> np.ndarray:
    """uint8 (N, 128, 128)."""
    ready = standardised(manifest, Recipe(), Reporter())
    return np.asarray(ready.images[np.arange(len(ready.manifest))])


def by_eye(data: Path, name: str, source: Manifest) -> np.ndarray:
    """The plane of each slice of a data set, from the table."""
    with (Path(__file__).with_name("planes.csv")).open(newline="") as file:
        known = {row["file"]: LETTERS.index(row["plane"]) for row in csv.DictReader(file) if row["set"] == name}
    return np.array([known["/".join(Path(row.path).parts[-2:])] for row in source])


def cut(path: Path) -> tuple[list[np.ndarray], list[int]]:
    """The middle of a volume in the three planes."""
    volume = nibabel.as_closest_canonical(nibabel.load(path)).get_fdata().astype(np.float32).squeeze()
    found, planes = [], []
    for axis, plane in ((2, 0), (1, 1), (0, 2)):
        count = volume.shape[axis]
        for index in range(count // 5, count * 4 // 5, 3):
            found.append(standardise(np.rot90(np.take(volume, index, axis)).copy(), Recipe()))
            planes.append(plane)
    return found, planes


def varied(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Features of the images, their mirror images and a few that were turned, scaled and moved."""
    made = [features(images), features(images[:, :, ::-1])]
    for _ in range(COPIES):
        moved = []
        for image in images:
            matrix = cv2.getRotationMatrix2D((63.5, 63.5), rng.uniform(-12, 12), rng.uniform(0.88, 1.12))
            matrix[:, 2] += rng.uniform(-6, 6, 2)
            turned = cv2.warpAffine(image, matrix, (128, 128))
            moved.append(turned[:, ::-1] if rng.random() < 0.5 else turned)
        made.append(features(np.stack(moved)))
    return np.concatenate(made)


def fitted(features_: np.ndarray, planes: np.ndarray) -> LogisticRegression:
    """The model."""
    return LogisticRegression(C=0.3, max_iter=400).fit(features_, planes)


def right(model: LogisticRegression, images: np.ndarray, planes: np.ndarray) -> np.ndarray:
    """Whether the guess is right, bool (N,)."""
    both = model.decision_function(features(images)) + model.decision_function(features(images[:, :, ::-1]))
    return np.asarray(both.argmax(axis=1) == planes)


def main() -> None:
    """Fit, test, write."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    data = parser.parse_args().data
    rng = np.random.default_rng(0)

    figshare = read(data / "figshare" / "index.csv")
    images, planes = pictures(figshare), by_eye(data, "figshare", figshare)
    patients = np.array([row.patient for row in figshare])
    web = read(data / "mixed_web")
    web_images, web_planes = pictures(web), by_eye(data, "mixed_web", web)

    axial = [
        pictures(read(f"no_tumor={data / 'br35h_no'}"))[::3],
        pictures(read(f"mask:glioma={data / 'brain_tumor_progression'}")),
        pictures(read(data / "dicom" / "t1w_head")),
    ]
    volumes = [cut(path) for path in sorted((data / "nifti").glob("*.nii.gz"))]
    more = np.concatenate([*axial, *(np.stack(found) for found, _ in volumes)])
    more_planes = np.concatenate([np.zeros(sum(map(len, axial)), int), *(np.array(which) for _, which in volumes)])

    repeats = COPIES + 2
    x, own = varied(images, rng), np.tile(np.arange(len(images)), repeats)
    x_more, y_more = varied(more, rng), np.tile(more_planes, repeats)
    hits = np.zeros(len(images), bool)
    for train, test in GroupKFold(5).split(images, planes, patients):
        chosen = np.isin(own, train)
        model = fitted(np.vstack([x[chosen], x_more]), np.r_[planes[own[chosen]], y_more])
        hits[test] = right(model, images[test], planes[test])
    print(f"figshare, five folds by patient: {hits.mean():.1%} of {len(hits)}")
    model = fitted(np.vstack([x, x_more]), np.r_[planes[own], y_more])
    print(f"mixed_web, not trained on: {right(model, web_images, web_planes).mean():.1%} of {len(web_planes)}")
    x_web = varied(web_images, rng)
    model = fitted(np.vstack([x, x_more, x_web]), np.r_[planes[own], y_more, np.tile(web_planes, repeats)])
    np.savez_compressed(OUT, weights=model.coef_.T.astype(np.float16), bias=model.intercept_.astype(np.float32))


if __name__ == "__main__":
    main()
