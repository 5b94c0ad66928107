"""How fast each engine answers, and what it costs in accuracy.

Command: ``taskset -c 0 python benchmarks/engines.py MODEL DATA [--test-fold K --fold-column NAME]``, MODEL an int8
bundle (``tumorlens export MODEL --to int8 --out DIR``) and DATA labelled slices that it has not learned from. Rounds of
the engines are interleaved, medians over rounds; one thread. The last lines are what answers cost, in batches and one
by one: the network cut down to its logits, as it is (with embedding, and maps where it has them), the whole answer
(gate, probabilities, set, verdict, and its map at full size), and that from decoded pixels. Cost: three minutes.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np

from tumorlens import bundle, config, io
from tumorlens.inference import Prediction, Predictor
from tumorlens.inference.engine import Engine
from tumorlens.inference.engines import ENGINES
from tumorlens.pipeline.dataset import held_out, labelled, read, standardised
from tumorlens.pipeline.model import Model
from tumorlens.pipeline.reporter import Reporter
from tumorlens.preprocess import to_input
from tumorlens.training.canonical import canonical

BATCH, ROUNDS = 32, 15
BATCHES, ONES = 50, 300  # of whole answers


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
    chosen = [f"data.fold_column={options.fold_column}", f'data.test_fold="{options.test_fold}"']
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
    """What answers cost beside the network, in batches and one by one: medians of interleaved rounds."""
    model = Model(Predictor(loaded, threads=1))
    alone, full = Engine(logits_alone(loaded.model), 1), Engine(loaded.model, 1)
    item = io.read(path)[0]
    print(f"batch  rounds  {'what':40} ms median  95th percentile  times the logits")
    for size, rounds in ((BATCH, BATCHES), (1, ONES)):
        few = images[:size]
        inputs = to_input(few)
        works: dict[str, Callable[[], object]] = {
            "the network, its logits alone": lambda inputs=inputs: alone.run(inputs),
            "the network, all that it puts out": lambda inputs=inputs: full.run(inputs),
            "the whole answer with its map": lambda few=few: answered(model, few),
            f"the same from {item.pixels.shape[0]} × {item.pixels.shape[1]} decoded pixels": lambda size=size: [
                model.map(one) for one in model.predictor.predict_slices([item] * size)
            ],
        }
        times: dict[str, list[float]] = {what: [] for what in works}
        for work in works.values():
            work()  # the first time is another matter
        for _ in range(rounds):
            for what, work in works.items():
                times[what].append(seconds(work))
        least = statistics.median(next(iter(times.values())))
        for what, found in times.items():
            median, late = 1000 * statistics.median(found), 1000 * float(np.quantile(found, 0.95))
            print(f"{size:5} {rounds:7}  {what:40} {median:9.2f} {late:16.2f} {median / (1000 * least):17.2f}")


def logits_alone(network: bytes) -> bytes:
    """The network without what only its other outputs need."""
    import onnx

    model = onnx.load_from_string(network)
    kept = [output for output in model.graph.output if output.name == "logits"]
    del model.graph.output[:]
    model.graph.output.extend(kept)
    return canonical(model.SerializeToString(), ["logits"])


def answered(model: Model, images: np.ndarray) -> list[np.ndarray]:
    """Everything that is said and shown of standardised images."""
    predictor = model.predictor
    outputs = predictor.run(images)
    maps = []
    for i, image in enumerate(images):
        best = int(outputs.probabilities[i].argmax())
        answer = Prediction(
            id="",
            path="",
            frame=None,
            probabilities=dict(zip(predictor.labels, map(float, outputs.probabilities[i]), strict=True)),
            model=predictor.identity,
            ms=0.0,
            activation=None if outputs.activation is None else outputs.activation[i, :, :, best],
            mask=None if outputs.mask is None else outputs.mask[i],
            image=image,
            **predictor._judged(outputs, i),
        )
        maps.append(model.map(answer))
    return maps


if __name__ == "__main__":
    main()
