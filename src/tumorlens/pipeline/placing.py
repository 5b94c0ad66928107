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
from tumorlens.pipeline.explaining import Explains
from tumorlens.preprocess.cache import Standardised
from tumorlens.preprocess.head import head_mask
from tumorlens.preprocess.outlines import Outlines

# The shuffled network is there to fail, which a few hundred slices show.
_SHUFFLED = 300
# A predicted mask is near 1 all over the tumour, so its highest point is chance; smoothed, it is the middle. In sizes.
_SMOOTH = 1 / 24
_CHANCE = 8


def place(
    tested: Standardised,
    outlines: Outlines,
    outputs: Outputs,
    settings: Settings,
    shuffled: Callable[[], Predictor] | None,
    explainers: Sequence[Explains],
) -> list[Place]:
    """Where the maps lie, for slices with an outline; nothing where no map can be made.

    The class map is that of the class which was answered.

    Args:
        tested: slices that were not trained on.
        outlines: theirs.
        outputs: of the network, for them.
        settings: of the run.
        shuffled: makes the same network with its weights shuffled; called where there is a mask. None where that
            cannot be done.
        explainers: make the maps of a network that has none of its own.
    """
    own_map = outputs.activation is not None or outputs.mask is not None
    if not own_map and not explainers:
        return []
    outlined = {i: outlines.of([i])[0] > 127 for i in np.flatnonzero(outlines.place >= 0).tolist()}
    tumours = {i: tumour for i, tumour in outlined.items() if tumour.any()}
    known = list(tumours)
    if not known:
        return []
    ids = [row.id for row in tested.manifest]
    order = np.random.default_rng([settings.seed, _CHANCE]).permutation(known).tolist()
    few = sorted(order[:_SHUFFLED])
    found = []
    for index in known:
        head = head_mask(np.asarray(tested.images[index]).astype(np.float32))
        found += _maps(ids[index], "", outputs, index, tumours[index])
        found += baselines(ids[index], tumours[index], head)
    if own_map and shuffled is not None:
        random = shuffled().run(np.asarray(tested.images[few]))
        for number, index in enumerate(few):
            found += _maps(ids[index], "_shuffled", random, number, tumours[index])
    if not own_map:
        codes = outputs.probabilities.argmax(axis=1)
        for explainer in explainers:
            asked, control = sorted(order[: explainer.most]), sorted(order[: min(_SHUFFLED, explainer.most)])
            for explain, suffix, chosen in ((explainer, "", asked), (explainer.shuffled, "_shuffled", control)):
                made = explain(np.asarray(tested.images[chosen]), codes[chosen])
                if made is not None:
                    what = f"{explainer.what}{suffix}"
                    each = zip(chosen, made, strict=True)
                    found += [_class_map(ids[index], what, one, tumours[index]) for index, one in each]
    return found


def _maps(name: str, suffix: str, outputs: Outputs, index: int, tumour: np.ndarray) -> list[Place]:
    found = []
    if outputs.activation is not None:
        activation = outputs.activation[index, :, :, int(outputs.probabilities[index].argmax())]
        found.append(_class_map(name, f"class{suffix}", activation, tumour))
    if outputs.mask is not None:
        mask, size = outputs.mask[index], len(tumour)
        peak = _peak(mask, size, _SMOOTH)
        found.append(place_of(name, f"mask{suffix}", maps.enlarge(mask, size), peak, tumour))
    return found


def _class_map(name: str, what: str, activation: np.ndarray, tumour: np.ndarray) -> Place:
    size = len(tumour)
    return place_of(name, what, maps.normalise(activation, size), _peak(activation, size), tumour)


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
    shown = next(found[what] for what in ("mask", "class", "gradcam", "occlusion") if what in found)
    return {
        "hit_rate": shown["hit_rate"],
        "baseline": max(found["centre"]["hit_rate"], found["head"]["hit_rate"]),
        "n": shown["n"],
    }
