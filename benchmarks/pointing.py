"""Where the map's highest point is taken from, and what is left of it with shuffled weights.

Command: ``python benchmarks/pointing.py DATA MODEL [MODEL …] [--fold 2] [--every 1] [--shuffles 0]``. DATA has masks;
of it the slices of one official fold are asked, less those of patients that lie in others, too; or those of every fold.
MODEL is a bundle, a run folder or ``default``; several are also averaged. Printed is how often each way of reading a
point off the maps hits the tumour, with intervals over patients; the ways are compared, not chosen, here. With
``--shuffles N`` the weights of the first model are shuffled with N seeds (``training/shuffled.py``). About 250 slices a
second on two cores.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from tumorlens import bundle, config
from tumorlens.audit.grouping import variants
from tumorlens.evaluation.bootstrap import clustered_rate
from tumorlens.inference import Outputs, Predictor
from tumorlens.pipeline.dataset import outlined, read, standardised
from tumorlens.pipeline.reporter import Reporter
from tumorlens.training.shuffled import shuffled

Maps = NDArray[np.float32]


def main() -> None:
    """Ask, read off, score."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data")
    parser.add_argument("models", nargs="+")
    parser.add_argument("--fold")
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--shuffles", type=int, default=0)
    options = parser.parse_args()
    settings = config.load(None, ["data.fold_column=official_fold"])
    manifest = read(options.data, settings=settings.data)
    base = {row.patient: row.patient for row in manifest}
    base |= {name: key for key, names in variants(base).items() for name in names}
    elsewhere = {base[row.patient] for row in manifest if options.fold not in (None, row.fold)}
    manifest = manifest.where(
        lambda row: bool(row.mask) and options.fold in (None, row.fold) and base[row.patient] not in elsewhere
    )
    manifest = manifest.with_rows([*manifest][:: options.every])
    predictors = [Predictor(bundle.load(name)) for name in options.models]
    recipe = predictors[0].bundle.info.recipe
    if any(one.bundle.info.recipe != recipe or "mask" not in one.bundle.info.outputs for one in predictors):
        parser.error("the models must have a mask, and the same preprocessing")
    ready = standardised(manifest, recipe, Reporter())
    tumours = outlined(ready, recipe, Reporter()).of(list(range(len(ready.manifest)))) > 127
    known = [i for i, tumour in enumerate(tumours) if tumour.any()]
    images, tumours = np.asarray(ready.images[:])[known], tumours[known]
    units = np.unique([ready.manifest.groups[i] for i in known], return_inverse=True)[1]
    print(f"{len(known)} slices of {len(set(units))} groups")
    every = [predictor.run(images) for predictor in predictors]
    for name, predictor, outputs in zip(options.models, predictors, every, strict=True):
        turned = predictor.run(images[:, :, ::-1])
        print(name)
        for way, points in ways(outputs, turned, len(tumours[0])).items():
            report(way, points, tumours, units)
    if len(every) > 1:
        mean = np.mean([grown(one.mask, len(tumours[0])) for one in every], axis=0)
        print("all of them")
        report("mean of the masks, smoothed", [smoothed(one) for one in mean], tumours, units)
    loaded = predictors[0].bundle
    for seed in range(options.shuffles):
        outputs = Predictor(replace(loaded, model=shuffled(loaded.model, seed))).run(images)
        large = grown(outputs.mask, len(tumours[0]))
        told = f"shuffled, seed {seed}: mask's mean {large.mean():.3f}, highest {large.max():.3f}"
        report(told, [smoothed(one) for one in large], tumours, units)


def grown(maps: Maps | None, size: int) -> Maps:
    """Maps at the size of the picture, cubic, as the product does it before it looks for the point."""
    assert maps is not None
    return np.stack(
        [cv2.resize(np.asarray(one, np.float32), (size, size), interpolation=cv2.INTER_CUBIC) for one in maps]
    )


def smoothed(one: Maps, share: float = 1 / 24) -> int:
    """The highest pixel of the map, smoothed by a share of the picture's side."""
    return int(cv2.GaussianBlur(one, (0, 0), share * len(one)).argmax())


def middle(one: Maps, at: float = 0.5) -> int:
    """The pixel of the largest region above ``at`` of the highest value that lies deepest in it."""
    region = (one >= at * one.max()).astype(np.uint8)
    count, marks, stats, _ = cv2.connectedComponentsWithStats(region)
    largest = 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax()) if count > 1 else 0
    return int(cv2.distanceTransform((marks == largest).astype(np.uint8), cv2.DIST_L2, 5).argmax())


def ways(outputs: Outputs, turned: Outputs, size: int) -> dict[str, list[int]]:
    """Points, by how they are read off."""
    said = outputs.probabilities.argmax(axis=1)
    rows = np.arange(len(said))
    mask = grown(outputs.mask, size)
    found = {"mask, highest": [int(one.argmax()) for one in mask]}
    for parts in (48, 24, 12):
        name = f"mask, smoothed by 1/{parts}" + (" (used)" if parts == 24 else "")
        found[name] = [smoothed(one, 1 / parts) for one in mask]
    found["mask, deepest of its largest region"] = [middle(one) for one in mask]
    mirrored = (mask + grown(turned.mask, size)[:, :, ::-1]) / 2
    found["mean with the mirror image, smoothed"] = [smoothed(one) for one in mirrored]
    if outputs.activation is not None:
        cam = grown(np.moveaxis(outputs.activation, 3, 1)[rows, said], size)
        low, high = (cam.min(axis=(1, 2), keepdims=True), cam.max(axis=(1, 2), keepdims=True))
        scaled = (cam - low) / np.maximum(high - low, 1e-6)
        found["class map, highest (used)"] = [int(one.argmax()) for one in cam]
        found["class map, smoothed by 1/24"] = [smoothed(one) for one in cam]
        found["mask times class map, smoothed"] = [smoothed(one) for one in mask * scaled]
    return found


def report(name: str, points: list[int], tumours: NDArray[np.bool_], units: NDArray[np.int64]) -> None:
    """How often a point lies in the tumour."""
    flat = tumours.reshape(len(tumours), -1)
    hits = np.array([flat[i, point] for i, point in enumerate(points)])
    rate, ci95 = clustered_rate(hits, units, 2000, 0)
    low, high = ci95 or (float("nan"),) * 2
    print(f"  {name:44} {100 * rate:5.1f} % ({100 * low:.1f} to {100 * high:.1f})", flush=True)


if __name__ == "__main__":
    main()
