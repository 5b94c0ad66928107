"""Scoring the maps of a network on slices whose tumour is outlined."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np

from tumorlens.config import Settings
from tumorlens.evaluation.localisation import Place, baselines, localisation, place_of
from tumorlens.evaluation.table import PredictionTable
from tumorlens.inference import Outputs, Predictor, maps
from tumorlens.pipeline.dataset import outlined
from tumorlens.pipeline.reporter import Reporter
from tumorlens.preprocess.cache import Standardised
from tumorlens.preprocess.recipe import head_mask

# The shuffled network is there to fail, which a few hundred slices show.
_SHUFFLED = 300
# A predicted mask is near 1 all over the tumour, so its highest point is chance; smoothed, it is the middle. In sizes.
_SMOOTH = 1 / 24
_CHANCE = 8


def place(
    tested: Standardised,
    outputs: Outputs,
    settings: Settings,
    shuffled: Callable[[], Predictor],
    tell: Reporter,
) -> list[Place]:
    """Where the maps lie, for slices with an outline; nothing for a network without a map.

    The class map is that of the class which was answered.

    Args:
        tested: slices that were not trained on.
        outputs: of the network, for them.
        settings: of the run.
        shuffled: makes the same network with its weights shuffled; called where there is a mask.
        tell: told how it goes.
    """
    if (outputs.activation is None and outputs.mask is None) or not any(row.mask for row in tested.manifest):
        return []
    outlines = outlined(tested, settings, tell)
    known = np.flatnonzero(outlines.place >= 0).tolist()
    if not known:
        return []
    ids = [row.id for row in tested.manifest]
    found = []
    for index in known:
        tumour = outlines.of([index])[0] > 127
        if not tumour.any():
            continue
        image = np.asarray(tested.images[index])
        found += _maps(ids[index], "", outputs, index, tumour)
        found += baselines(ids[index], tumour, head_mask(image.astype(np.float32)))
    rng = np.random.default_rng([settings.seed, _CHANCE])
    few = np.sort(rng.permutation(known)[:_SHUFFLED]).tolist()
    random = shuffled().run(np.asarray(tested.images[few]))
    for number, index in enumerate(few):
        tumour = outlines.of([index])[0] > 127
        if tumour.any():
            found += _maps(ids[index], "_shuffled", random, number, tumour)
    return found


def _maps(name: str, suffix: str, outputs: Outputs, index: int, tumour: np.ndarray) -> list[Place]:
    found = []
    if outputs.activation is not None:
        activation = outputs.activation[index, :, :, int(outputs.probabilities[index].argmax())]
        shown = maps.normalise(activation, len(tumour))
        found.append(place_of(name, f"class{suffix}", shown, _peak(activation, len(tumour)), tumour))
    if outputs.mask is not None:
        mask = outputs.mask[index]
        found.append(place_of(name, f"mask{suffix}", maps.enlarge(mask, len(tumour)), _peak(mask, len(tumour)), tumour))
    return found


def _peak(values: np.ndarray, size: int, smooth: float = 0.0) -> int:
    """Number of the pixel where the map is highest, smoothed or not."""
    large = cv2.resize(values.astype(np.float32), (size, size), interpolation=cv2.INTER_CUBIC)
    return int((cv2.GaussianBlur(large, (0, 0), smooth * size) if smooth else large).argmax())


def scored(places: Sequence[Place], table: PredictionTable, settings: Settings) -> dict[str, Any] | None:
    """The scores of :func:`tumorlens.evaluation.localisation.localisation`; None where no slice has an outline."""
    if not places:
        return None
    return localisation(places, table, bootstrap=settings.evaluate.bootstrap, seed=settings.seed)


def pointing_game(found: dict[str, Any] | None) -> dict[str, Any] | None:
    """The contract's entry: of the map that is shown with an answer, and the better of the two points."""
    if not found:
        return None
    shown = found["mask"] if "mask" in found else found["class"]
    return {
        "hit_rate": shown["hit_rate"],
        "baseline": max(found["centre"]["hit_rate"], found["head"]["hit_rate"]),
        "n": shown["n"],
    }
