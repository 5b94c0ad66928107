"""How fast a network trains on this machine, measured on a few batches of nothing."""

from __future__ import annotations

import time

import numpy as np

from tumorlens.config import Settings
from tumorlens.models import keras_setup, registry
from tumorlens.models.keras_setup import import_keras

_WARM_UP, _TIMED = 2, 6


def images_per_second(settings: Settings, classes: int) -> float:
    """Training images a second, without reading and augmenting them.

    Args:
        settings: network, size, batch, precision (``auto`` is measured, too, as a training does) and device.
        classes: how many.

    Raises:
        EnvironmentFailure: when the device does not exist.
    """
    train = settings.train
    keras_setup.prepare(train.device, "float32", train.deterministic, settings.seed)
    precision = keras_setup.faster_precision() if train.precision == "auto" else train.precision
    keras_setup.prepare(train.device, precision, train.deterministic, settings.seed)
    keras = import_keras()
    network = registry.build(settings.model, settings.preprocess.size, classes)
    learned = {name: output for name, output in network.output.items() if name in ("logits", "mask_logits")}
    model = keras.Model(network.input, learned)
    model.compile("adam", dict.fromkeys(learned, "mse"), jit_compile=False)
    size = settings.preprocess.size
    images = np.zeros((train.batch_size, size, size, 1), np.float32)
    targets = {name: np.zeros((train.batch_size, *output.shape[1:]), np.float32) for name, output in learned.items()}
    begun = 0.0
    for step in range(_WARM_UP + _TIMED):
        if step == _WARM_UP:
            begun = time.perf_counter()
        model.train_on_batch(images, targets)
    seconds = time.perf_counter() - begun
    keras.backend.clear_session()
    return _TIMED * train.batch_size / max(seconds, 1e-9)
