"""The same CNN trained the notebook way and ours: seconds per epoch and peak memory, each in a process of its own.

Notebook way: float32 RGB arrays in memory and Keras's ``ImageDataGenerator.flow`` (in Keras 3 only at a private path).
Command: ``python benchmarks/notebook_way.py PATH/TO/index.csv [--epochs 2]``
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import numpy as np


def network(keras: Any, channels: int, classes: int) -> Any:
    """The classic: three convolution and max-pooling stacks, flatten, dense, dropout, softmax."""
    layers = keras.layers
    stack: list[Any] = [keras.Input((128, 128, channels))]
    for filters in (32, 64, 128):
        stack += [layers.Conv2D(filters, 3, padding="same", activation="relu"), layers.MaxPooling2D(2)]
    stack += [
        layers.Flatten(),
        layers.Dense(128, activation="relu"),
        layers.Dropout(0.3),
        layers.Dense(classes, activation="softmax"),
    ]
    model = keras.Sequential(stack)
    model.compile(keras.optimizers.Adam(1e-4), "categorical_crossentropy", metrics=["accuracy"], jit_compile=False)
    return model


def notebook(index: str, epochs: int) -> Iterator[tuple[float, float]]:
    """Seconds and training accuracy of each epoch."""
    import cv2

    from tumorlens import data
    from tumorlens.labels import LabelEncoding
    from tumorlens.models.keras_setup import import_keras

    keras = import_keras()
    from keras.src.legacy.preprocessing.image import ImageDataGenerator

    manifest = data.read(index)
    images = np.array([cv2.resize(cv2.imread(row.path), (128, 128)) for row in manifest], np.float32) / 255
    encoding = LabelEncoding.fit(manifest.labels)
    targets = encoding.one_hot(manifest.labels)
    generator = ImageDataGenerator(
        rotation_range=20,
        zoom_range=0.2,
        width_shift_range=0.3,
        height_shift_range=0.3,
        horizontal_flip=True,
        vertical_flip=True,
    )
    model = network(keras, 3, len(encoding.names))
    for _ in range(epochs):
        begun = time.perf_counter()
        history = model.fit(generator.flow(images, targets, batch_size=32), epochs=1, verbose=0)
        yield time.perf_counter() - begun, history.history["accuracy"][0]


def ours(index: str, epochs: int) -> Iterator[tuple[float, float]]:
    """Seconds and training accuracy of each epoch."""
    from tumorlens import data
    from tumorlens.config import AugmentSettings
    from tumorlens.io import cache_dir
    from tumorlens.labels import LabelEncoding
    from tumorlens.models.keras_setup import import_keras, prepare
    from tumorlens.preprocess.cache import standardise_all
    from tumorlens.preprocess.recipe import Recipe
    from tumorlens.training.batches import TrainingBatches

    prepare("cpu", "float32", True, 0)
    ready = standardise_all(data.read(index), Recipe(kind="plain", size=128), cache_dir() / "images")
    encoding = LabelEncoding.fit(ready.manifest.labels)
    augment = AugmentSettings(
        rotation=20, zoom=0.2, shift=0.3, horizontal_flip=True, vertical_flip=True, gamma=0, brightness=0, contrast=0
    )
    batches = TrainingBatches(
        ready.images, encoding.one_hot(ready.manifest.labels), np.ones(len(ready.images), np.float32), 32, augment, 0
    )
    model = network(import_keras(), 1, len(encoding.names))
    for epoch in range(epochs):
        begun = time.perf_counter()
        model.reset_metrics()
        right = 0.0
        for images, targets, weights in batches.epoch(epoch):
            model.reset_metrics()
            right += float(model.train_on_batch(images, targets, sample_weight=weights, return_dict=True)["accuracy"])
        yield time.perf_counter() - begun, right / batches.steps


def main() -> None:
    """Measure both and print a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("index")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--way", choices=["notebook", "ours"])
    options = parser.parse_args()
    if options.way:
        epochs = list({"notebook": notebook, "ours": ours}[options.way](options.index, options.epochs))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps({"seconds": [s for s, _ in epochs], "accuracy": [a for _, a in epochs], "peak_mb": peak}))
        return
    found = {}
    for way in ("notebook", "ours"):
        command = [sys.executable, __file__, options.index, "--epochs", str(options.epochs), "--way", way]
        lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
        found[way] = json.loads(lines[-1])
        best = min(found[way]["seconds"])
        print(
            f"{way:10} {best:7.1f} s per epoch (best of {options.epochs})   peak memory {found[way]['peak_mb']:6.0f} MB"
        )
    speed = min(found["notebook"]["seconds"]) / min(found["ours"]["seconds"])
    memory = found["ours"]["peak_mb"] / found["notebook"]["peak_mb"]
    print(f"ours is {speed:.2f}× as fast and needs {memory:.2f} of the memory")


if __name__ == "__main__":
    main()
