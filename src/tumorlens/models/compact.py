"""``compact``: a small residual network ending in global average pooling and one linear layer.

One forward pass gives probabilities, an embedding and an exact class-activation map. Pre-activation residual blocks
(He et al., "Identity mappings in deep residual networks", ECCV 2016) keep depth harmless where ``plain`` suffers.
"""

from __future__ import annotations

from typing import Any

from tumorlens.config import ModelSettings
from tumorlens.models.head import assemble, pooled_head
from tumorlens.models.keras_setup import import_keras

_STAGES = 3
WIDTH, DEPTH = 24, 1  # where the settings say 0


def build(settings: ModelSettings, size: int, classes: int) -> Any:
    """A Keras model from float32 (N, size, size, 1) to logits, probabilities, embedding and map.

    A stem at half the size, then three stages of ``depth`` residual blocks with ``width · (2, 4, 8)`` filters at 1/4,
    1/8 and 1/16 of the size, which is the map's resolution. Blocks at half the size cost as much
    time as all others together and were left out.
    """
    image = import_keras().Input((size, size, 1), name="image")
    return assemble(image, pooled_head(trunk(image, settings)[-1], classes, settings.dropout), "compact")


def trunk(image: Any, settings: ModelSettings) -> list[Any]:
    """What the stages give: features at 1/4, 1/8 and 1/16 of the size; the last is normalised and rectified."""
    layers = import_keras().layers
    width, depth = settings.width or WIDTH, settings.depth or DEPTH
    x = layers.Conv2D(width, 5, strides=2, padding="same", use_bias=False, name="stem")(image)
    given = []
    for stage in range(_STAGES):
        for block in range(depth):
            stride = 2 if block == 0 else 1
            name = f"s{stage + 1}b{block + 1}"
            x = _block(x, width * 2 ** (stage + 1), stride, name, shortcut=settings.shortcuts)
        given.append(x)
    x = layers.BatchNormalization(name="last_norm")(x)
    given[-1] = layers.ReLU(name="last_relu")(x)
    return given


def _block(x: Any, filters: int, stride: int, name: str, *, shortcut: bool) -> Any:
    layers = import_keras().layers
    y = layers.BatchNormalization(name=f"{name}_norm1")(x)
    y = layers.ReLU(name=f"{name}_relu1")(y)
    if shortcut and (stride > 1 or x.shape[-1] != filters):
        # Average pooling before a 1×1 convolution looks at every pixel; a strided 1×1 would drop three in four.
        odd = y.shape[1] % stride != 0
        pool = layers.AveragePooling2D(stride, padding="same" if odd else "valid", name=f"{name}_pool")
        skip = pool(y) if stride > 1 else y
        x = layers.Conv2D(filters, 1, use_bias=False, name=f"{name}_skip")(skip)
    y = layers.Conv2D(filters, 3, strides=stride, padding="same", use_bias=False, name=f"{name}_conv1")(y)
    y = layers.BatchNormalization(name=f"{name}_norm2")(y)
    y = layers.ReLU(name=f"{name}_relu2")(y)
    y = layers.Conv2D(filters, 3, padding="same", use_bias=False, name=f"{name}_conv2")(y)
    return layers.Add(name=f"{name}_add")([x, y]) if shortcut else y
