"""What every network ends in: embedding, logits, probabilities and where possible an exact class-activation map."""

from __future__ import annotations

from typing import Any

from tumorlens.models.keras_setup import import_keras


def pooled_head(features: Any, classes: int, dropout: float) -> dict[str, Any]:
    """Global average pooling and one linear layer, whose class-activation map is exact.

    The map of class c is the linear layer applied at each position, bias included: its mean over the positions *is* the
    logit of c (Zhou et al., "Learning deep features for discriminative localization", CVPR 2016).

    Args:
        features: Keras tensor (N, h, w, channels).
        classes: how many.
        dropout: share of the embedding dropped while training.

    Returns:
        Keras tensors ``logits`` (N, classes), ``embedding`` (N, channels), ``cam`` (N, h, w, classes), float32.
    """
    keras = import_keras()
    layers = keras.layers
    features = layers.Activation("linear", dtype="float32", name="features")(features)
    embedding = layers.GlobalAveragePooling2D(dtype="float32", name="embedding")(features)
    linear = layers.Dense(classes, dtype="float32", name="logits")
    dropped = layers.Dropout(dropout, dtype="float32", name="dropout")(embedding) if dropout else embedding
    return {"logits": linear(dropped), "embedding": embedding, "cam": linear(features)}


def assemble(keras_input: Any, outputs: dict[str, Any], name: str) -> Any:
    """The Keras model: from the image to logits, probabilities (softmax), embedding and, where there is one, map."""
    keras = import_keras()
    probabilities = keras.layers.Softmax(dtype="float32", name="probabilities")(outputs["logits"])
    return keras.Model(keras_input, {**outputs, "probabilities": probabilities}, name=name)


def right(true: Any, logits: Any) -> Any:
    """Float32 (N,): 1 where the likeliest class is the true one; 0 for a target of zeros, which has no class.

    Args:
        true: float32 (N, classes), one-hot or zeros.
        logits: float32 (N, classes).
    """
    ops = import_keras().ops
    right = ops.equal(ops.argmax(true, axis=-1), ops.argmax(logits, axis=-1))
    return ops.cast(right, "float32") * ops.sum(true, axis=-1)
