"""Without masks, and with the network's own: what ``screen.py --drawn N --again K`` trains with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import cv2
import numpy as np

import tumorlens
from tumorlens.data.manifest import Manifest
from tumorlens.inference import Predictor
from tumorlens.pipeline import running
from tumorlens.pipeline.dataset import standardised
from tumorlens.pipeline.reporter import Reporter
from tumorlens.preprocess.outlines import Outlines

# Of the slice: a smaller region is no tumour that a mask could teach.
_LEAST = 0.002


def without_masks(manifest: Manifest) -> Manifest:
    """The slices without their masks, but for the fold ``asked``, whose masks the maps are scored on."""
    return manifest.with_rows(row if row.fold == "asked" else replace(row, mask="") for row in manifest)


@contextmanager
def own_masks(run: Path, manifest: Manifest) -> Iterator[None]:
    """Inside, slices without a mask that a network names rightly are learned from with the mask that it predicts.

    Of what it takes for a tumour the largest region counts.

    Args:
        run: of the network.
        manifest: what is trained on.
    """
    predictor = Predictor(tumorlens.bundle.load(run))
    recipe = predictor.bundle.info.recipe
    ready = standardised(manifest.where(lambda row: row.fold != "asked" and not row.mask), recipe, Reporter())
    outputs = predictor.run(np.asarray(ready.images[:]))
    assert outputs.mask is not None
    found: dict[str, np.ndarray] = {}
    for row, chances, mask in zip(ready.manifest, outputs.probabilities, outputs.mask, strict=True):
        region = _largest(cv2.resize(mask.astype(np.float32), (recipe.size, recipe.size)))
        if predictor.labels[int(chances.argmax())] == row.label and region.mean() >= _LEAST:
            found[row.id] = region.astype(np.uint8) * 255
    usual = running.outlined

    def completed(ready: Any, *others: Any) -> Outlines:
        outlines = usual(ready, *others)
        place, known, masks = outlines.place.copy(), outlines.known.copy(), list(outlines.masks)
        for number, row in enumerate(ready.manifest):
            if not known[number] and row.id in found:
                place[number], known[number] = len(masks), True
                masks.append(found[row.id])
        return replace(outlines, masks=np.stack(masks), place=place, known=known)

    with patch.object(running, "outlined", completed):
        yield


def _largest(chances: np.ndarray) -> np.ndarray:
    """bool, like ``chances``: the region of most tumour among those that are likelier than not."""
    count, labels = cv2.connectedComponents((chances > 0.5).astype(np.uint8))
    sums = [float(chances[labels == number].sum()) for number in range(1, count)]
    return np.asarray(labels == 1 + int(np.argmax(sums))) if sums else np.zeros(chances.shape, bool)
