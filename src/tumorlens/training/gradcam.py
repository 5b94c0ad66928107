"""Grad-CAM for Keras models that have no exact map: ``plain``, and models made elsewhere.

Selvaraju RR et al. Grad-CAM: Visual explanations from deep networks via gradient-based localization. ICCV 2017. The
layer may lie inside a nested model, and the model may be Sequential or come from a file: nothing is rebuilt, what the
layer puts out is caught while the model runs.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from tumorlens.errors import UsageError
from tumorlens.models.keras_setup import import_keras
from tumorlens.preprocess import to_input
from tumorlens.training.shuffled import reordered

_BATCH = 32


class Explainer:
    """Grad-CAM of one network, for slices as they are standardised.

    Args:
        model: as for :func:`grad_cam`.
        seed: of the order in which weights are shuffled.
    """

    what, most = "gradcam", sys.maxsize

    def __init__(self, model: Any, seed: int) -> None:
        self._model, self._seed = model, seed

    def __call__(self, images: np.ndarray, classes: np.ndarray) -> np.ndarray:
        """Maps float32 (N, h, w) of images uint8 (N, S, S) for a class each, int (N,)."""
        return grad_cam(self._model, to_input(images), classes)

    def shuffled(self, images: np.ndarray, classes: np.ndarray) -> np.ndarray:
        """The same from the network with the values of each kernel in another order (see ``shuffled.py``)."""
        kept = self._model.get_weights()
        mixed = iter(reordered([one for one in kept if one.ndim >= 2], self._seed))
        self._model.set_weights([next(mixed) if one.ndim >= 2 else one for one in kept])
        try:
            return self(images, classes)
        finally:
            self._model.set_weights(kept)


def grad_cam(model: Any, images: np.ndarray, classes: np.ndarray, layer: Any | None = None) -> np.ndarray:
    """Where each image speaks for a class: float32 (N, h, w), not negative, in units of the output times the features.

    Args:
        model: a Keras model whose output is (N, K), or a dictionary with ``logits`` (N, K); logits are to be preferred
            to probabilities, whose gradients vanish where the model is sure.
        images: float32 (N, …), as the model takes them.
        classes: int (N,), index of the class that is asked about.
        layer: whose output is weighted; the last with a place in the image when None.

    Raises:
        UsageError: on another backend than TensorFlow, or for a layer without places, without a part in the answer, or
            of another model.
    """
    if import_keras().backend.backend() != "tensorflow":
        raise UsageError("Grad-CAM needs Keras on TensorFlow", hint="run it with KERAS_BACKEND=tensorflow")
    target = layer if layer is not None else last_spatial_layer(model)
    parts = [
        _batch(model, images[start : start + _BATCH], classes[start : start + _BATCH], target)
        for start in range(0, len(images), _BATCH)
    ]
    return np.concatenate(parts) if parts else np.zeros((0, 1, 1), np.float32)


def _batch(model: Any, images: np.ndarray, classes: np.ndarray, layer: Any) -> np.ndarray:
    import tensorflow

    with tensorflow.GradientTape() as tape, _caught(layer, tape) as seen:
        found = model(tensorflow.convert_to_tensor(images), training=False)
        logits = found["logits"] if isinstance(found, dict) else found
        chosen = tensorflow.reduce_sum(tensorflow.gather(logits, classes.astype(np.int32), axis=1, batch_dims=1))
    if not seen:
        raise UsageError(
            f"the model {model.name!r} never asks layer {layer.name!r}", hint="name a layer of this model with layer="
        )
    features = seen[-1]
    slopes = tape.gradient(chosen, features)
    if slopes is None:
        raise UsageError(f"the answer does not depend on layer {layer.name!r}", hint="name another with layer=")
    weights = tensorflow.reduce_mean(slopes, axis=(1, 2), keepdims=True)
    weighted = tensorflow.reduce_sum(weights * features, axis=-1)
    return np.asarray(np.maximum(weighted.numpy(), 0), np.float32)


@contextmanager
def _caught(layer: Any, tape: Any) -> Iterator[list[Any]]:
    """Inside, what the layer puts out is watched by the tape and kept."""
    seen: list[Any] = []
    original = layer.call

    def call(*arguments: Any, **named: Any) -> Any:
        made = original(*arguments, **named)
        tape.watch(made)
        seen.append(made)
        return made

    layer.call = call
    try:
        yield seen
    finally:
        layer.call = original


def last_spatial_layer(model: Any) -> Any:
    """The last layer, nested ones included, whose output is (N, h, w, channels) with more than one place.

    An input layer is none: the picture itself is not what was learned, and Keras never calls it.

    Raises:
        UsageError: when there is none.
    """
    found, entrance = None, import_keras().layers.InputLayer
    for layer in _flat(model):
        if isinstance(layer, entrance):
            continue
        shape = tuple(getattr(getattr(layer, "output", None), "shape", None) or ())
        if len(shape) == 4 and shape[1] not in (None, 1) and shape[2] not in (None, 1):
            found = layer
    if found is None:
        raise UsageError(
            f"the model {model.name!r} has no layer whose output has places in the image",
            hint="name one with layer=, or use occlusion, which works for every model",
        )
    return found


def _flat(model: Any) -> Iterator[Any]:
    """The layers in order, those of nested models in the place of the models."""
    for layer in model.layers:
        if getattr(layer, "layers", None):
            yield from _flat(layer)
        else:
            yield layer
