"""Batch-normalisation statistics that fit the weights at hand.

Adam moves every weight of a filter the same way at once, and after a ReLU all its inputs are positive, so the mean of a
feature can move by several standard deviations within ten steps. The running averages that Keras keeps lag behind: in
one run the same weights scored 33 % on validation slices with the running averages and 80 % with fresh ones, a
large part of what looked like "unstable accuracy". So before every validation the statistics are computed afresh from
a few training batches (Wu and Johnson, "Rethinking 'Batch' in BatchNorm", 2021, "precise BatchNorm"). Their images are
not augmented, because the images in service are not either: that alone gave two points more (docs/experiments.md).
Variances are means of those within batches, as training normalises by; the paper adds the spread between batches.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from tumorlens.models.keras_setup import import_keras

# Batches that the statistics are computed from.
SETTLING = 12


def settle(model: Any, batches: Iterable[np.ndarray]) -> None:
    """Replace the running statistics of every batch normalisation by plain means over the batches.

    Args:
        model: a Keras model; nothing happens when it has no batch normalisation.
        batches: training images float32 (B, S, S, 1), as the network sees them in service.
    """
    layers = list(_normalisations(model))
    if not layers:
        return
    before = [layer.momentum for layer in layers]
    try:
        for number, images in enumerate(batches):
            for layer in layers:
                # The running average with this momentum is the mean of all batches so far.
                layer.momentum = number / (number + 1)
            model(images, training=True)
    finally:
        for layer, momentum in zip(layers, before, strict=True):
            layer.momentum = momentum


def _normalisations(model: Any) -> Iterator[Any]:
    keras = import_keras()
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization) and layer.trainable:
            yield layer
        elif isinstance(layer, keras.Model):
            yield from _normalisations(layer)
