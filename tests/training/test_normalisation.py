from __future__ import annotations

import numpy as np
import pytest

from tumorlens.models.keras_setup import import_keras, prepare
from tumorlens.training.normalisation import settle


def test_statistics_are_the_means_over_the_batches() -> None:
    prepare("cpu", "float32", True, 0)
    keras = import_keras()
    layer = keras.layers.BatchNormalization(momentum=0.99)
    inner = keras.Sequential([keras.Input((4, 4, 2)), layer])
    model = keras.Sequential([keras.Input((4, 4, 2)), inner])
    batches = [np.random.default_rng(i).normal(i, 1 + i, (8, 4, 4, 2)).astype(np.float32) for i in range(5)]
    layer.moving_mean.assign([99.0, 99.0])
    settle(model, batches)
    means = np.mean([batch.mean(axis=(0, 1, 2)) for batch in batches], axis=0)
    variances = np.mean([batch.var(axis=(0, 1, 2)) for batch in batches], axis=0)
    assert keras.ops.convert_to_numpy(layer.moving_mean) == pytest.approx(means, rel=1e-4)
    assert keras.ops.convert_to_numpy(layer.moving_variance) == pytest.approx(variances, rel=1e-4)
    assert layer.momentum == 0.99


def test_frozen_layers_and_networks_without_any_are_left_alone() -> None:
    keras = import_keras()
    layer = keras.layers.BatchNormalization()
    layer.trainable = False
    model = keras.Sequential([keras.Input((4, 4, 2)), layer])
    settle(model, [np.ones((8, 4, 4, 2), np.float32)])
    assert keras.ops.convert_to_numpy(layer.moving_mean).tolist() == [0, 0]
    settle(keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]), [])
