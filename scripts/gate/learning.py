"""The gate's network and how it learns."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from pictures import Pictures

from tumorlens.config import AugmentSettings
from tumorlens.inference.gate import SIZE
from tumorlens.models.keras_setup import import_keras
from tumorlens.preprocess import to_input
from tumorlens.training import augment

_CHANGES = AugmentSettings(
    rotation=20, zoom=0.2, shift=0.08, horizontal_flip=True, gamma=0.6, contrast=0.3, brightness=0.15
)
_ROUGH = AugmentSettings(
    rotation=90, zoom=0.5, shift=0.2, horizontal_flip=True, vertical_flip=True, gamma=0.6, contrast=0.3
)
_BATCH, _FILTERS = 64, (16, 32, 48, 64)


def network() -> Any:
    """Four convolutions with pooling, 47,000 parameters, from float32 (N, 64, 64, 1) to ``logits`` (N, 1)."""
    keras = import_keras()
    layers = keras.layers
    image = keras.Input((SIZE, SIZE, 1), name="image")
    x = image
    for filters in _FILTERS:
        x = layers.Conv2D(filters, 3, padding="same", use_bias=False)(x)
        x = layers.BatchNormalization(momentum=0.9)(x)
        x = layers.ReLU()(x)
        x = layers.MaxPooling2D(2)(x)
    both = layers.Concatenate()([layers.GlobalAveragePooling2D()(x), layers.GlobalMaxPooling2D()(x)])
    x = layers.Dropout(0.3)(both)
    return keras.Model(image, {"logits": layers.Dense(1, name="logits")(x)}, name="gate")


def learned(pictures: Pictures, steps: int, seed: int) -> Any:
    """A network that has learned from the pictures; half of each batch brain MR, every kind as often as any other."""
    keras = import_keras()
    keras.utils.set_random_seed(seed)
    model = network()
    rate = keras.optimizers.schedules.CosineDecay(3e-3, steps)
    model.compile(
        keras.optimizers.AdamW(rate, weight_decay=0.02),
        {"logits": keras.losses.BinaryCrossentropy(from_logits=True, label_smoothing=0.02)},
    )
    rng = np.random.default_rng(seed)
    pools = [_pools(pictures, wanted) for wanted in (True, False)]
    for _ in range(steps):
        brain = _drawn(rng, pools[0], _BATCH // 2)
        other = _drawn(rng, pools[1], _BATCH // 2)
        images = np.concatenate([_changed(rng, pictures, brain, _CHANGES), _changed(rng, pictures, other, _ROUGH)])
        targets = np.repeat([[0.0], [1.0]], _BATCH // 2, axis=0).astype(np.float32)
        model.train_on_batch(to_input(images), {"logits": targets})
    _settled(model, rng, pictures, pools)
    return model


def _settled(model: Any, rng: np.random.Generator, pictures: Pictures, pools: list[list[list[np.ndarray]]]) -> None:
    """Averages of the batch normalisation from pictures as they are in service."""
    from tumorlens.training.normalisation import settle

    def batch() -> np.ndarray:
        chosen = np.concatenate([_drawn(rng, pool, 128) for pool in pools])
        return to_input(pictures.images[chosen, rng.integers(0, 2, len(chosen))])

    settle(model, (batch() for _ in range(12)))


def _pools(pictures: Pictures, brain_mr: bool) -> list[list[np.ndarray]]:
    """Numbers of the pictures by kind and, within, by group."""
    pools = []
    for kind in sorted(set(pictures.kinds[pictures.brain_mr == brain_mr])):
        rows = np.flatnonzero(pictures.kinds == kind)
        groups = pictures.groups[rows]
        pools.append([rows[groups == group] for group in sorted(set(groups))])
    return pools


def _drawn(rng: np.random.Generator, pools: list[list[np.ndarray]], count: int) -> np.ndarray:
    chosen = []
    for kind in rng.integers(0, len(pools), count):
        group = pools[kind][rng.integers(len(pools[kind]))]
        chosen.append(group[rng.integers(len(group))])
    return np.array(chosen)


def _changed(rng: np.random.Generator, pictures: Pictures, rows: np.ndarray, settings: AugmentSettings) -> np.ndarray:
    """Pictures in either recipe, moved, recoloured, now and then blurred or noisy."""
    images = pictures.images[rows, (rng.random(len(rows)) < 0.25).astype(int)]
    images = augment.apply(images, augment.draw(rng, len(images), settings))
    for index in np.flatnonzero(rng.random(len(images)) < 0.3):
        if rng.integers(2):
            images[index] = cv2.GaussianBlur(images[index], (0, 0), float(rng.uniform(0.4, 1.2)))
        else:
            noisy = images[index] + rng.normal(0, rng.uniform(2, 12), images[index].shape)
            images[index] = np.clip(noisy, 0, 255).astype(np.uint8)
    return images
