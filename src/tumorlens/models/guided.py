"""``guided``: ``compact`` that learns from tumour masks where to look.

A small U-shaped decoder (Ronneberger, Fischer and Brox, "U-Net", MICCAI 2015) predicts the tumour mask at a quarter of
the input's size. What the trunk sees is pooled twice, evenly and weighted by that map, so that the answer follows the
tumour however small it is. Masks are needed in training only, and not for every slice.
"""

from __future__ import annotations

from typing import Any

from tumorlens.config import ModelSettings
from tumorlens.models import compact
from tumorlens.models.head import assemble, pooled_head
from tumorlens.models.keras_setup import import_keras

# Keeps the weighted pooling of a slice whose map is empty near zero: about two thirds of a cell at 128 pixels.
_LEAST_SHARE = 0.01


def build(settings: ModelSettings, size: int, classes: int) -> Any:
    """A Keras model from float32 (N, size, size, 1) to logits, probabilities, embedding and two maps.

    ``cam`` is the exact class-activation map of both poolings together; ``mask`` float32 (N, size/4, size/4, 1) is the
    probability of tumour at each place, and ``mask_logits`` what it is computed from.
    """
    keras = import_keras()
    layers = keras.layers
    image = keras.Input((size, size, 1), name="image")
    fine, middle, coarse = compact.trunk(image, settings)
    x = _up(coarse, middle, "up1")
    x = _up(x, fine, "up2")
    mask_logits = layers.Conv2D(1, 1, dtype="float32", bias_initializer=_rare(), name="mask_logits")(x)
    mask = layers.Activation("sigmoid", dtype="float32", name="mask")(mask_logits)

    features = layers.Activation("linear", dtype="float32", name="trunk")(coarse)
    edge = "same" if mask.shape[1] % 4 else "valid"  # "same" gives what "valid" does where nothing is left over
    weights = layers.AveragePooling2D(4, padding=edge, dtype="float32", name="attention")(mask)
    share = layers.GlobalAveragePooling2D(keepdims=True, dtype="float32", name="attended_share")(weights)
    # The mean of `attended` over the positions is the mean of the features weighted by the map.
    attended = layers.Multiply(dtype="float32", name="attended")([features, weights / (share + _LEAST_SHARE)])
    parts = [features, attended, *([_peak(mask_logits, edge)] if settings.peak else [])]
    both = layers.Concatenate(dtype="float32", name="both")(parts)
    outputs = pooled_head(both, classes, settings.dropout)
    return assemble(image, {**outputs, "mask": mask, "mask_logits": mask_logits}, "guided")


def _peak(mask_logits: Any, edge: str) -> Any:
    """(N, h, w, 1), whose mean over the positions is a soft maximum of the map's logits; so the map stays exact.

    Averages hardly move for a small tumour; its highest point does, and says that there is one at all.
    """
    layers = import_keras().layers
    peaks = layers.MaxPooling2D(4, padding=edge, dtype="float32", name="peaks")(mask_logits)
    height, width = peaks.shape[1], peaks.shape[2]
    flat = layers.Reshape((height * width,), dtype="float32", name="peaks_flat")(peaks)
    share = layers.Softmax(dtype="float32", name="peaks_share")(flat)
    # Logits run to ten and more; the other features are near one.
    sure = layers.Multiply(dtype="float32", name="peaks_sure")([share, flat]) * (height * width / 4.0)
    return layers.Reshape((height, width, 1), dtype="float32", name="peak")(sure)


def mask_loss(true: Any, logits: Any) -> Any:
    """Binary cross-entropy and soft Dice, (N,): one number for each slice.

    Dice as in Milletari et al. ("V-Net", 3DV 2016), but with plain sums below the line, where V-Net squares them.

    Args:
        true: float32 (N, h, w, 1), share of each cell that is tumour.
        logits: float32 (N, h, w, 1).
    """
    ops = import_keras().ops
    places = (1, 2, 3)
    entropy = ops.mean(ops.relu(logits) - logits * true + ops.log1p(ops.exp(-ops.abs(logits))), axis=places)
    predicted = ops.sigmoid(logits)
    overlap = ops.sum(predicted * true, axis=places)
    total = ops.sum(predicted, axis=places) + ops.sum(true, axis=places)
    return entropy + 1 - (2 * overlap + 1) / (total + 1)


def _up(x: Any, finer: Any, name: str) -> Any:
    """Half the filters at twice the resolution, beside what the trunk saw there."""
    layers = import_keras().layers
    filters = finer.shape[-1]
    x = layers.Conv2D(filters // 2, 1, use_bias=False, name=f"{name}_squeeze")(x)
    x = layers.UpSampling2D(2, name=f"{name}_double")(x)
    surplus = x.shape[1] - finer.shape[1]  # of an odd size
    if surplus:
        x = layers.Cropping2D(((0, surplus), (0, surplus)), name=f"{name}_crop")(x)
    x = layers.Concatenate(name=f"{name}_join")([x, finer])
    x = layers.Conv2D(filters // 2, 3, padding="same", use_bias=False, name=f"{name}_conv")(x)
    x = layers.BatchNormalization(name=f"{name}_norm")(x)
    return layers.ReLU(name=f"{name}_relu")(x)


def _rare() -> Any:
    """Tumour is a few hundredths of a slice: a decoder that begins there need not learn it first."""
    return import_keras().initializers.Constant(-3.5)
