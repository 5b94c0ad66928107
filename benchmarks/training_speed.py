"""Images per second: the whole training pipeline, the bare model step, and the same net in plain PyTorch.

Command: ``python benchmarks/training_speed.py RUN [--seconds 20] [--rounds 3]``, RUN a finished run of ``compact``.
PyTorch is used where it is installed (``pip install torch``), in float32 and bfloat16, channels last.
Expected: pipeline at least 90 % of the bare step.
"""

from __future__ import annotations

import argparse
import importlib.util
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from tumorlens.config import Settings
from tumorlens.io import cache_dir
from tumorlens.labels import LabelEncoding
from tumorlens.models import registry
from tumorlens.models.compact import DEPTH, WIDTH
from tumorlens.models.keras_setup import import_keras, prepare
from tumorlens.pipeline import runs
from tumorlens.preprocess import to_input
from tumorlens.preprocess.cache import standardise_all
from tumorlens.preprocess.recipe import Recipe
from tumorlens.training.batches import Batch, TrainingBatches
from tumorlens.training.optimizer import make_optimizer


def keras_step(settings: Settings, classes: int, steps: int) -> Callable[[Batch], object]:
    """One step of training, as the loop does it."""
    keras = import_keras()
    model = registry.build(settings.model, settings.preprocess.size, classes)
    fitted = keras.Model(model.input, model.output["logits"])
    loss = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=settings.train.label_smoothing)
    fitted.compile(
        make_optimizer(settings.train, steps),
        loss,
        metrics=[keras.metrics.CategoricalAccuracy(name="accuracy")],
        jit_compile=False,
    )

    def step(batch: Batch) -> object:
        fitted.reset_metrics()
        return fitted.train_on_batch(batch[0], batch[1], sample_weight=batch[2], return_dict=True)

    return step


def torch_step(width: int, depth: int, classes: int, bfloat16: bool) -> Callable[[Batch], object]:
    """The network of ``compact`` in plain PyTorch."""
    import torch
    from torch import nn
    from torch.nn import functional as f

    class Block(nn.Module):
        def __init__(self, inside: int, filters: int, stride: int) -> None:
            super().__init__()
            self.stride = stride
            self.norm1, self.norm2 = nn.BatchNorm2d(inside), nn.BatchNorm2d(filters)
            self.conv1 = nn.Conv2d(inside, filters, 3, stride, 1, bias=False)
            self.conv2 = nn.Conv2d(filters, filters, 3, 1, 1, bias=False)
            self.skip = nn.Conv2d(inside, filters, 1, bias=False) if stride > 1 or inside != filters else None

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = f.relu(self.norm1(x))
            if self.skip is not None:
                x = self.skip(f.avg_pool2d(y, self.stride) if self.stride > 1 else y)
            return x + self.conv2(f.relu(self.norm2(self.conv1(y))))

    layers: list[nn.Module] = [nn.Conv2d(1, width, 5, 2, 2, bias=False)]
    inside = width
    for stage in range(3):
        for block in range(depth):
            layers.append(Block(inside, width * 2 ** (stage + 1), 2 if block == 0 else 1))
            inside = width * 2 ** (stage + 1)
    layers += [
        nn.BatchNorm2d(inside),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Dropout(0.3),
        nn.Linear(inside, classes),
    ]
    model = nn.Sequential(*layers).to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3, weight_decay=0.02)

    def step(batch: Batch) -> object:
        images = torch.from_numpy(batch[0]).permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)
        targets = torch.from_numpy(batch[1])
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            loss = f.cross_entropy(model(images), targets, label_smoothing=0.1)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def same_batch(batches: TrainingBatches) -> Iterator[Batch]:
    """A few batches already in memory, over and over."""
    chosen = np.arange(batches.size * 4)
    images = to_input(np.asarray(batches.images[chosen]))
    ready = [
        (
            images[i : i + batches.size],
            batches.targets[chosen][i : i + batches.size],
            batches.weights[chosen][i : i + batches.size],
        )
        for i in range(0, len(chosen), batches.size)
    ]
    while True:
        yield from ready


def all_epochs(batches: TrainingBatches) -> Iterator[Batch]:
    """What training sees."""
    epoch = 0
    while True:
        yield from batches.epoch(epoch)
        epoch += 1


def rate(step: Callable[[Batch], object], source: Iterator[Batch], size: int, seconds: float) -> float:
    """Images per second."""
    for _ in range(3):
        step(next(source))
    count, begun = 0, time.perf_counter()
    while time.perf_counter() - begun < seconds:
        step(next(source))
        count += size
    return count / (time.perf_counter() - begun)


def main() -> None:
    """Measure, interleaved, and print a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("run", type=Path)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    settings, manifest, _ = runs.reopen(options.run)
    prepare("cpu", "float32", True, 0)
    ready = standardise_all(manifest, Recipe.from_settings(settings.preprocess), cache_dir() / "images")
    chosen = [i for i, row in enumerate(ready.manifest) if row.split == "train"]
    labels = [ready.manifest.rows[i].label for i in chosen]
    encoding = LabelEncoding.fit(labels)
    batches = TrainingBatches(
        ready.images.choose(chosen),
        encoding.one_hot(labels),
        np.ones(len(chosen), np.float32),
        settings.train.batch_size,
        settings.augment,
        0,
    )
    classes = len(encoding.names)
    step = keras_step(settings, classes, batches.steps)
    contestants: dict[str, tuple[Callable[[Batch], object], Callable[[], Iterator[Batch]]]] = {
        "bare Keras step, data in memory": (step, lambda: same_batch(batches)),
        "whole pipeline": (step, lambda: all_epochs(batches)),
    }
    if importlib.util.find_spec("torch"):
        for name, low in (("float32", False), ("bfloat16", True)):
            contestants[f"plain PyTorch {name}, data in memory"] = (
                torch_step(settings.model.width or WIDTH, settings.model.depth or DEPTH, classes, low),
                lambda: same_batch(batches),
            )
    rates: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(options.rounds):
        for name, (each, source) in contestants.items():
            rates[name].append(rate(each, source(), batches.size, options.seconds))
    bare = rates["bare Keras step, data in memory"]
    for name, values in rates.items():
        ratio = statistics.median(v / b for v, b in zip(values, bare, strict=True))
        print(f"{name:40} {statistics.median(values):7.1f} images/s   {ratio:5.2f} of the bare step")


if __name__ == "__main__":
    main()
