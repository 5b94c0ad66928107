"""tumorlens beside two recipes that people start from: figshare, official fold 1, 30 minutes each, from scratch.

Commands, each with the same machine to itself:
``python benchmarks/others.py tumorlens INDEX OUT``; ``… kerasio INDEX OUT``; ``… monai INDEX OUT`` in an environment
with ``pip install torch==2.13.0 monai`` beside tumorlens; then ``… draw OUT`` for the figure.

*monai*: the 2-D classification recipe of MONAI's tutorials: DenseNet121, intensities scaled to 0..1, random rotation by
15 degrees, flip and zoom by 10 %, Adam at 1e-4, batch 32, 128 pixels. *kerasio*: the network and settings of keras.io's
"Image classification from scratch": a small Xception, 180 pixels, flip and rotation by 10 %, batch 128, Adam at 3e-4,
with a softmax over three classes. *tumorlens*: what ``tumorlens train`` plans for these data. All learn from folds 2 to
5; accuracy on fold 1 is looked at after every epoch for the figure alone, and the clock stops while it is.
"""

from __future__ import annotations

import argparse
import csv
import os
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from tumorlens.io.atomic import write_text

MINUTES = 30.0
CLASSES = ("glioma", "meningioma", "pituitary")
# Colour, and what the line is called.
LINES = {
    "tumorlens": ("#0072b2", "tumorlens train"),
    "monai": ("#d55e00", "MONAI, DenseNet121"),
    "kerasio": ("#7f7f7f", "keras.io, small Xception"),
}


class Clock:
    """Minutes of training, and the accuracy at each look."""

    def __init__(self, name: str, out: Path) -> None:
        self.path, self.rows, self.spent, self.since = out / f"{name}.csv", [], 0.0, time.monotonic()
        signal.signal(signal.SIGTSTP, self._stand)

    def _stand(self, *_: object) -> None:
        stopped = time.monotonic()
        os.kill(os.getpid(), signal.SIGSTOP)
        self.since += time.monotonic() - stopped

    def look(self, accuracy: Callable[[], float]) -> bool:
        """Note the accuracy; whether there is time left."""
        self.spent += time.monotonic() - self.since
        self.rows.append(f"{self.spent / 60:.2f},{accuracy():.4f}")
        write_text(self.path, "\n".join(["minutes,accuracy", *self.rows]) + "\n")
        print(self.rows[-1], flush=True)
        self.since = time.monotonic()
        return self.spent < MINUTES * 60


def pictures(index: str, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Images uint8 (N, size, size) as they are, stretched; class numbers; whether they are of fold 1."""
    folder = Path(index).parent
    with Path(index).open(newline="") as file:
        rows = list(csv.DictReader(file))
    images = [
        cv2.resize(cv2.imread(str(folder / r["image"]), 0), (size, size), interpolation=cv2.INTER_AREA) for r in rows
    ]
    classes = np.array([CLASSES.index(row["label"]) for row in rows])
    return np.stack(images), classes, np.array([row["official_fold"] == "1" for row in rows])


def kerasio(index: str, out: Path) -> None:
    """A small Xception on raw pictures."""
    from tumorlens.models.keras_setup import import_keras

    keras = import_keras()
    layers = keras.layers
    images, classes, test = pictures(index, 180)
    keras.utils.set_random_seed(0)
    entry = keras.Input((180, 180, 1))
    x = layers.RandomFlip("horizontal")(entry)
    x = layers.Rescaling(1 / 255)(layers.RandomRotation(0.1)(x))
    x = layers.Activation("relu")(layers.BatchNormalization()(layers.Conv2D(128, 3, strides=2, padding="same")(x)))
    for filters in (256, 512, 728):
        before = layers.Conv2D(filters, 1, strides=2, padding="same")(x)
        for _ in range(2):
            x = layers.SeparableConv2D(filters, 3, padding="same")(layers.Activation("relu")(x))
            x = layers.BatchNormalization()(x)
        x = layers.add([layers.MaxPooling2D(3, strides=2, padding="same")(x), before])
    x = layers.Activation("relu")(layers.BatchNormalization()(layers.SeparableConv2D(1024, 3, padding="same")(x)))
    x = layers.Dropout(0.25)(layers.GlobalAveragePooling2D()(x))
    model = keras.Model(entry, layers.Dense(3, activation="softmax")(x))
    model.compile(keras.optimizers.Adam(3e-4), "sparse_categorical_crossentropy", jit_compile=False)
    clock = Clock("kerasio", out)
    left = True
    while left:
        model.fit(images[~test, ..., np.newaxis], classes[~test], batch_size=128, epochs=1, verbose=0)
        left = clock.look(
            lambda: float((model.predict(images[test, ..., np.newaxis], verbose=0).argmax(1) == classes[test]).mean())
        )


def monai(index: str, out: Path) -> None:
    """DenseNet121 with MONAI's transforms."""
    import torch
    from monai.data import DataLoader, Dataset
    from monai.networks.nets import DenseNet121
    from monai.transforms import Compose, EnsureType, RandFlip, RandRotate, RandZoom, ScaleIntensity
    from monai.utils import set_determinism

    set_determinism(0)
    images, classes, test = pictures(index, 128)
    images = images[:, np.newaxis].astype(np.float32)
    change = Compose(
        [
            ScaleIntensity(),
            RandRotate(range_x=np.pi / 12, prob=0.5, keep_size=True),
            RandFlip(spatial_axis=0, prob=0.5),
            RandZoom(min_zoom=0.9, max_zoom=1.1, prob=0.5),
            EnsureType(),
        ]
    )
    still = Compose([ScaleIntensity(), EnsureType()])
    asked = torch.stack([torch.as_tensor(still(image)) for image in images[test]])
    loader = DataLoader(Learned(Dataset(list(images[~test]), change), classes[~test]), batch_size=32, shuffle=True)
    model = DenseNet121(spatial_dims=2, in_channels=1, out_channels=3)
    optimizer, loss = torch.optim.Adam(model.parameters(), 1e-4), torch.nn.CrossEntropyLoss()

    def accuracy() -> float:
        model.eval()
        with torch.no_grad():
            found = torch.cat([model(part).argmax(1) for part in asked.split(64)])
        return float((found.numpy() == classes[test]).mean())

    clock = Clock("monai", out)
    left = True
    while left:
        model.train()
        for batch, truth in loader:
            optimizer.zero_grad()
            loss(model(torch.as_tensor(batch)), truth).backward()
            optimizer.step()
        left = clock.look(accuracy)


class Learned:
    """A data set of MONAI with its class numbers."""

    def __init__(self, images: object, classes: np.ndarray) -> None:
        self.images, self.classes = images, classes

    def __len__(self) -> int:
        return len(self.classes)

    def __getitem__(self, index: int) -> tuple[object, int]:
        return self.images[index], int(self.classes[index])  # type: ignore[index]


def tumorlens(index: str, out: Path) -> None:
    """What ``tumorlens train`` plans, reading and planning included in its minutes."""
    from dataclasses import replace

    from tumorlens import config
    from tumorlens.labels import LabelEncoding
    from tumorlens.pipeline import planning, running
    from tumorlens.pipeline.auditing import looked
    from tumorlens.pipeline.dataset import read, standardised
    from tumorlens.pipeline.reporter import Reporter
    from tumorlens.preprocess import Recipe
    from tumorlens.training.loop import Loop

    clock, tell = Clock("tumorlens", out), Reporter()
    manifest = read(index, settings=config.load(None, ["data.fold_column=official_fold"]).data)
    manifest = manifest.with_rows(replace(row, split="val" if row.fold == "1" else "train") for row in manifest)
    given = {"train": {"minutes": MINUTES}}
    settings = running.with_precision(planning.plan(given, manifest, looked(manifest, tell)).settings, tell)
    ready = standardised(manifest, Recipe.from_settings(settings.preprocess), tell)
    asked = ready.part("val")
    truth = LabelEncoding.fit(manifest.labels).encode(asked.manifest.labels)
    look = Loop._validate  # after every epoch it is asked about the validation slices, which here are fold 1

    def noted(self: Loop) -> tuple[float, float]:
        found: list[tuple[float, float]] = []

        def accuracy() -> float:
            found.append(look(self))
            return found[0][1]

        clock.look(accuracy)
        return found[0]

    Loop._validate = noted  # type: ignore[method-assign]
    with tempfile.TemporaryDirectory() as folder:
        from tumorlens.pipeline import runs

        start = runs.Start("tumorlens", runs.now(), "")
        (Path(folder) / "checkpoints").mkdir()
        running.fit(Path(folder), settings, ready, running.network(settings, ready, tell), start, tell)
    print(f"{len(truth)} slices of fold 1", settings.model, settings.train)


def draw(out: Path) -> None:
    """Accuracy against minutes."""
    import matplotlib as mpl

    mpl.use("svg")
    import matplotlib.pyplot as plt

    with mpl.rc_context({"svg.hashsalt": "tumorlens", "font.size": 10}):
        figure, axes = plt.subplots(figsize=(6, 3.6), layout="constrained")
        for name, (colour, title) in LINES.items():
            table = np.loadtxt(out / f"{name}.csv", delimiter=",", skiprows=1, ndmin=2)
            table = table[table[:, 0] <= MINUTES]
            axes.plot(table[:, 0], 100 * table[:, 1], color=colour, linewidth=1.4)
            end = (table[-1, 0], 100 * table[-1, 1])
            axes.annotate(title, end, (0, -22), textcoords="offset points", color=colour, ha="right")
        axes.set(
            xlabel="minutes of training", ylabel="slices of fold 1 named rightly, %", xlim=(0, MINUTES), ylim=(35, 101)
        )
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", alpha=0.3)
        figure.savefig(out / "others.svg", metadata={"Date": None})


def main() -> None:
    """One recipe, or the figure."""
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=("tumorlens", "kerasio", "monai", "draw"))
    parser.add_argument("places", nargs="+", help="INDEX OUT, or OUT for draw")
    options = parser.parse_args()
    out = Path(options.places[-1])
    out.mkdir(parents=True, exist_ok=True)
    if options.what == "draw":
        draw(out)
    else:
        {"tumorlens": tumorlens, "kerasio": kerasio, "monai": monai}[options.what](options.places[0], out)


if __name__ == "__main__":
    main()
