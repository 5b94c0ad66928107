"""How fast each engine answers, and what it costs in accuracy.

Command: ``taskset -c 0 python benchmarks/engines.py MODEL DATA [--test-fold K --fold-column NAME]``, MODEL an int8
bundle (``tumorlens export MODEL --to int8 --out DIR``) and DATA labelled slices that it has not learned from. Rounds of
the engines are interleaved, medians over rounds; one thread. The last lines are the cost of a whole answer
(probabilities, set, verdict, map, gate) over the bare network, and of one slice from decoded pixels. Cost: two minutes.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np

from tumorlens import bundle, config
from tumorlens.inference import Predictor
from tumorlens.inference.engine import Engine
from tumorlens.inference.engines import ENGINES
from tumorlens.io.slice import Slice
from tumorlens.pipeline.dataset import held_out, labelled, read, standardised
from tumorlens.pipeline.reporter import Reporter
from tumorlens.preprocess import to_input

BATCH, ROUNDS = 32, 15


def seconds(work: Callable[[], object]) -> float:
    """By the clock."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def main() -> None:
    """The table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("data", nargs="+")
    parser.add_argument("--fold-column", default="")
    parser.add_argument("--test-fold", default="")
    options = parser.parse_args()
    loaded = bundle.load(options.model)
    chosen = [f"data.fold_column={options.fold_column}", f"data.test_fold={options.test_fold}"]
    settings = config.load(None, chosen)
    manifest = held_out(labelled(read(options.data, settings=settings.data)), settings.data)
    part = "test" if any(row.split == "test" for row in manifest) else ""
    ready = standardised(manifest.split(part) if part else manifest, loaded.info.recipe, Reporter())
    images, labels = np.asarray(ready.images[:]), np.array(ready.manifest.labels)
    predictors = {name: Predictor(loaded, threads=1, engine=name) for name in ENGINES}
    batch = to_input(images[:BATCH])
    times: dict[str, list[float]] = {name: [] for name in ENGINES}
    ones: dict[str, list[float]] = {name: [] for name in ENGINES}
    for _ in range(ROUNDS):
        for name, predictor in predictors.items():
            times[name].append(seconds(lambda run=predictor._engine.run: run(batch)))
            ones[name].append(
                statistics.median(seconds(lambda run=predictor._engine.run: run(batch[:1])) for _ in range(5))
            )
    base = statistics.median(times["onnxruntime"])
    exact = predictors["onnxruntime"].run(images)
    print(f"{len(images)} slices; images/s in batches of {BATCH}, times as fast, ms for one, accuracy %, same class %")
    for name, predictor in predictors.items():
        found = predictor.run(images).probabilities
        right = np.array(loaded.info.labels)[found.argmax(axis=1)] == labels
        same = (found.argmax(axis=1) == exact.probabilities.argmax(axis=1)).mean()
        median = statistics.median(times[name])
        print(
            f"{name:18} {BATCH / median:7.0f} {base / median:6.2f} {1000 * statistics.median(ones[name]):7.2f} "
            f"{100 * right.mean():7.2f} {100 * same:7.2f}"
        )
    whole(loaded, images, manifest.rows[0].path)


def whole(loaded: bundle.Bundle, images: np.ndarray, path: str) -> None:
    """What the answer costs beside the network, and one slice from its decoded pixels."""
    from tumorlens import io

    bare, predictor = Engine(loaded.model, 1), Predictor(loaded, threads=1)
    inputs = to_input(images[:BATCH])
    answer, network, single = [], [], []
    pixels = io.read(path)[0].pixels
    for _ in range(ROUNDS):
        network.append(seconds(lambda: bare.run(inputs)))
        answer.append(seconds(lambda: predictor.run(images[:BATCH])))
        single.append(seconds(lambda: list(predictor.predict_slices([Slice(pixels, "one")]))))
    print(f"whole answer over bare network: {statistics.median(answer) / statistics.median(network):.2f}")
    print(f"one slice from decoded pixels, {pixels.shape}: {1000 * statistics.median(single):.2f} ms")


if __name__ == "__main__":
    main()
