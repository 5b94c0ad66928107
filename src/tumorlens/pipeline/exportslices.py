"""Which slices a form of a network is made from, and which it is compared on.

The ranges of 8-bit integers come from slices that the network learned from, and from no others: a slice that a model
is tested on must not shape it. Which those are, the run around a bundle tells; of a bundle on its own only one that was
made by a cross-validation, whose predictions name every slice that its network learned from by hash.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from tumorlens import io
from tumorlens.bundle import Bundle
from tumorlens.bundle.info import slice_hash
from tumorlens.data.manifest import Manifest
from tumorlens.errors import DataError, InputError
from tumorlens.evaluation.table import PredictionTable
from tumorlens.io import cache_dir
from tumorlens.pipeline.dataset import Data, read
from tumorlens.pipeline.reporter import Reporter
from tumorlens.preprocess.cache import Standardised, standardise_all

# Slices that a form is compared on, and that the ranges of 8-bit integers come from.
COMPARED, CALIBRATED = 64, 256
TRAIN = "train"
_HELD_OUT = ("test", "val")
_CHANCE = 9
_HINT = "name the run folder that it was trained in, or its training slices with --data DATA"


@dataclass(frozen=True, eq=False)
class Chosen:
    """Slices for an export, uint8 (N, S, S) each.

    Attributes:
        compared: what the form is compared on.
        calibrated: what the ranges come from; empty for forms that need none.
        facts: what the bundle says of them.
    """

    compared: np.ndarray
    calibrated: np.ndarray
    facts: dict[str, Any]


def to_compare(loaded: Bundle, data: Data | None, tell: Reporter) -> Chosen:
    """Any slices: those of DATA, or some that the run was trained on.

    Raises:
        DataError: when there is none.
    """
    manifest = read(data, reporter=tell) if data is not None else _of_split(_run(loaded), TRAIN)
    images = _some(loaded, manifest)
    if not len(images):
        raise DataError(f"none of the {len(manifest)} slices can be read", hint="look at the files", code="empty")
    return Chosen(images, images[:0], {})


def to_calibrate(loaded: Bundle, data: Data | None, tell: Reporter) -> Chosen:
    """Slices that the network learned from, and others to compare on: held out from training where the run has such.

    ``facts`` has ``calibrated_on`` (slices), ``split`` of those that are compared, and ``overlap``: how many of these
    the ranges come from, too, because there are no others.

    Raises:
        DataError: when it is not known what the network learned from, or none of that is at hand.
    """
    run = None if _alone(loaded) else _run(loaded)
    predicted = set(PredictionTable.of_bundle(loaded).ids)
    # Of a network that learned from all slices, these are the answers of others of its recipe.
    every = bool(json.loads(loaded.read("metrics.json")).get("out_of_fold"))
    if run is None:
        if not every:
            raise DataError(
                f"{loaded.where} is a bundle on its own, which does not say what its network was trained on; 8-bit "
                "ranges come from training slices alone",
                hint="name the run folder that it was trained in; --data may then say where the slices are now",
                code="not_trained_on",
            )
        if data is None:
            raise DataError(
                f"{loaded.where} is a bundle on its own: there are no slices beside it to take ranges from",
                hint=_HINT,
                code="no_data",
            )
        named, known = read(data, reporter=tell), predicted
    elif data is None:
        named, known = _of_split(run, TRAIN), None
    else:
        named, known = read(data, reporter=tell), predicted if every else _hashes(_of_split(run, TRAIN))
    fresh, looked = _accepted(loaded, named, known, set() if every else predicted)
    if not len(fresh):
        raise DataError(
            f"none of the {looked} slices that can be read is one that the model was trained on; 8-bit ranges come "
            "from training slices alone",
            hint=_HINT,
            code="not_trained_on",
        )
    if data is not None and looked > len(fresh):
        tell.note(f"{looked - len(fresh)} of {looked} slices are left out: not trained on, or copies of others")
    return _divided(fresh, None if run is None or every else _held_out(loaded, run))


def _divided(fresh: np.ndarray, others: tuple[np.ndarray, str] | None) -> Chosen:
    """Training slices to calibrate on, and slices to compare on."""
    if others is not None and len(others[0]):
        compared, split = others
        calibrated, overlap = fresh[:CALIBRATED], 0
    else:
        # Of few, three quarters make the ranges.
        spare = min(COMPARED, len(fresh) // 4)
        compared, calibrated, split = fresh[:spare], fresh[spare : spare + CALIBRATED], TRAIN
        overlap = 0 if spare else len(fresh)
        compared = compared if spare else fresh
    return Chosen(compared, calibrated, {"calibrated_on": len(calibrated), "split": split, "overlap": overlap})


def _accepted(
    loaded: Bundle, named: Manifest, known: Collection[str] | None, held_out: Collection[str]
) -> tuple[np.ndarray, int]:
    """Different slices that were trained on, uint8 (N, S, S), as many as are wanted; how many were looked at.

    Args:
        loaded: for its recipe.
        named: slices.
        known: hashes of those that were trained on; None where all are.
        held_out: hashes of those that the network was validated or tested on: copies of them are no training slices.
    """
    wanted, size = CALIBRATED + COMPARED, loaded.info.recipe.size
    parts, taken, looked = [np.zeros((0, size, size), np.uint8)], set(held_out), 0
    for ready in _drawn(loaded, named, wanted):
        good = []
        for i, (row, digest) in enumerate(zip(ready.manifest, ready.digests, strict=True)):
            name = slice_hash(digest, row.frame)
            looked += 1
            if (known is None or name in known) and name not in taken:
                taken.add(name)
                good.append(i)
        parts.append(np.asarray(ready.images[good]))
        if sum(map(len, parts)) >= wanted:
            break
    return np.concatenate(parts)[:wanted], looked


def _held_out(loaded: Bundle, run: Manifest) -> tuple[np.ndarray, str] | None:
    """Slices of the run that the network has not learned from, and their split."""
    for split in _HELD_OUT:
        images = _some(loaded, _of_split(run, split))
        if len(images):
            return images, split
    return None


def _some(loaded: Bundle, manifest: Manifest) -> np.ndarray:
    """The first slices, in random order, that can be read."""
    for ready in _drawn(loaded, manifest, 2 * COMPARED):
        if len(ready.manifest):
            return np.asarray(ready.images[:COMPARED])
    size = loaded.info.recipe.size
    return np.zeros((0, size, size), np.uint8)


def _drawn(loaded: Bundle, manifest: Manifest, step: int) -> Iterator[Standardised]:
    """The slices in random order, some at a time."""
    order = np.random.default_rng(_CHANCE).permutation(len(manifest))
    for start in range(0, len(manifest), step):
        part = manifest.with_rows(manifest.rows[i] for i in order[start : start + step])
        yield standardise_all(part, loaded.info.recipe, cache_dir() / "images")


def _alone(loaded: Bundle) -> bool:
    return loaded.where.name != "bundle" or not (loaded.where.parent / "manifest.csv").is_file()


def _run(loaded: Bundle) -> Manifest:
    """The slices of the run around the bundle."""
    if _alone(loaded):
        raise DataError(
            f"{loaded.where} is a bundle on its own: there are no slices beside it to compare on",
            hint="name some with --data DATA, or name the run folder",
            code="no_data",
        )
    return read(str(loaded.where.parent / "manifest.csv"))


def _of_split(run: Manifest, split: str) -> Manifest:
    """The slices of a part; where nothing is divided (the last network of a cross-validation), all are for training."""
    divided = any(row.split for row in run)
    return run.where(lambda row: row.split == split if divided else split == TRAIN)


def _hashes(manifest: Manifest) -> set[str]:
    """The names in a bundle of slices whose files can be read."""
    digests: dict[str, str] = {}
    for path in dict.fromkeys(row.path for row in manifest):
        try:
            digests[path] = io.digest(path)
        except InputError:
            continue
    return {slice_hash(digests[row.path], row.frame) for row in manifest if row.path in digests}
