"""``plain``: the classic of the field: convolution and max-pooling stacks, flatten, dense, dropout, softmax.

The network this project began from. Depth (stacks) and width are settings, so that "more layers made it worse" can be
tried again: ``tumorlens train DATA --model plain --set model.depth=5``.
"""

from __future__ import annotations

from typing import Any

from tumorlens.config import ModelSettings
from tumorlens.models.head import assemble
from tumorlens.models.keras_setup import import_keras

_WIDTH, _DEPTH = 32, 3


def build(settings: ModelSettings, size: int, classes: int) -> Any:
    """A Keras model from float32 (N, size, size, 1) to logits, probabilities and embedding (no map).

    Stack k has ``width · 2^k`` filters, at most 128, as the notebooks of this field do; with the default width 32 and
    depth 3 that is 32-64-128 and, at 128 pixels, a dense layer of 128 units on 32768 features.
    """
    layers = import_keras().layers
    width, depth = settings.width or _WIDTH, settings.depth or _DEPTH
    image = import_keras().Input((size, size, 1), name="image")
    x = image
    for stack in range(depth):
        filters = max(width, min(width * 2**stack, 128))
        x = layers.Conv2D(filters, 3, padding="same", activation="relu", name=f"conv{stack + 1}")(x)
        x = layers.MaxPooling2D(2, name=f"pool{stack + 1}")(x)
    x = layers.Flatten(name="flatten")(x)
    embedding = layers.Dense(settings.dense, activation="relu", dtype="float32", name="embedding")(x)
    dropped = layers.Dropout(settings.dropout, dtype="float32", name="dropout")(embedding)
    logits = layers.Dense(classes, dtype="float32", name="logits")(dropped)
    return assemble(image, {"logits": logits, "embedding": embedding}, "plain")
