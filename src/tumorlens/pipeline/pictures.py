"""The figures of a run, made from its images, predictions and maps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tumorlens.config import Settings
from tumorlens.data.manifest import Manifest
from tumorlens.evaluation.looking import Look
from tumorlens.evaluation.table import PredictionTable
from tumorlens.inference import Outputs, Predictor, maps
from tumorlens.labels import NO_TUMOR
from tumorlens.pipeline import looking
from tumorlens.pipeline.explaining import Explains
from tumorlens.preprocess.cache import Standardised
from tumorlens.report import image_figures
from tumorlens.training import augment

_RANDOM, _MISTAKES, _EDITED, _ORIGINALS, _VARIANTS = 20, 8, 4, 4, 5


def draw(
    folder: Path,
    settings: Settings,
    ready: Standardised,
    manifest: Manifest,
    images: np.ndarray,
    table: PredictionTable,
    outputs: Outputs,
    predictor: Predictor,
    explainers: Sequence[Explains],
    looks: Sequence[Look],
) -> None:
    """Write ``figures/*.png`` and ``*.svg``: random test images, worst mistakes, erased tumours, augmentation.

    Args:
        folder: of the run.
        settings: of the run.
        ready: all slices.
        manifest: the held-out slices (validation and test).
        images: uint8 (N, S, S), theirs.
        table: theirs.
        outputs: theirs.
        predictor: of the bundle.
        explainers: the first makes the maps of a network that has none of its own.
        looks: at slices without their tumour.

    Raises:
        MissingExtraError: without the ``report`` extra.
    """
    rng = np.random.default_rng([settings.seed, 4])
    tested = np.array([i for i, row in enumerate(manifest) if row.split == "test"])
    random = np.sort(rng.permutation(tested)[:_RANDOM])
    true, predicted, confidence = np.array(table.labels), np.array(table.predicted), table.confidence
    image_figures.grid_figure(
        images[random], list(true[random]), list(predicted[random]), confidence[random], folder / "figures" / "grid"
    )
    wrong = tested[true[tested] != predicted[tested]]
    worst = wrong[np.argsort(-confidence[wrong], kind="stable")][:_MISTAKES]
    if len(worst):
        codes = table.predicted_codes[worst]
        if explainers:
            shown = [maps.normalise(one, images.shape[1]) for one in explainers[0](images[worst], codes)]
        else:
            shown = [_map(outputs, i, code, images.shape[1]) for i, code in zip(worst, codes, strict=True)]
        image_figures.mistakes_figure(
            images[worst],
            np.stack(shown),
            list(true[worst]),
            list(predicted[worst]),
            confidence[worst],
            folder / "figures" / "mistakes",
            tumour=outputs.mask is not None,
        )
    if looks:
        _draw_edits(folder, settings, manifest, predictor, [looks[i] for i in rng.permutation(len(looks))[:_EDITED]])
    if settings.augment.enabled:
        trained = np.array([i for i, row in enumerate(ready.manifest) if row.split == "train"])
        chosen = np.sort(rng.permutation(trained)[:_ORIGINALS])
        originals = np.asarray(ready.images[chosen])
        repeated = np.repeat(originals, _VARIANTS, axis=0)
        changed = augment.apply(repeated, augment.draw(rng, len(repeated), settings.augment))
        variants = changed.reshape(len(originals), _VARIANTS, *originals.shape[1:])
        image_figures.augmentation_figure(originals, variants, folder / "figures" / "augmentation")


def _draw_edits(
    folder: Path, settings: Settings, manifest: Manifest, predictor: Predictor, looks: Sequence[Look]
) -> None:
    rows = {row.id: row for row in manifest}
    found = [(rows[look.id], looking.ask(rows[look.id], predictor, settings.seed)) for look in looks]
    edits = [
        image_figures.Edit(
            row.label,
            asked.images,
            [predictor.labels[k] for k in asked.probabilities.argmax(axis=1)],
            asked.probabilities.max(axis=1),
        )
        for row, asked in found
        if asked is not None
    ]
    if edits:
        image_figures.edits_figure(edits, folder / "figures" / "edits", healthy=NO_TUMOR in predictor.labels)


def _map(outputs: Outputs, index: int, class_index: int, size: int) -> np.ndarray:
    """The network's own, float32 (size, size) in [0, 1]."""
    if outputs.mask is not None:
        return maps.enlarge(outputs.mask[index], size)
    return maps.normalise(np.asarray(outputs.activation)[index, :, :, class_index], size)
