"""One engine, asked by several threads at once."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import tumorlens
from tumorlens.inference.engines import engine_of

THREADS, ROUNDS = 4, 12


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_every_thread_gets_the_answer_for_its_own_images(name: str) -> None:
    if name == "openvino":
        pytest.importorskip("openvino")
    bundle = tumorlens.load().predictor.bundle
    engine = engine_of(bundle, name, threads=1)
    size = bundle.info.recipe.size
    rng = np.random.default_rng(0)
    # Each thread asks for another number of images: one that took another's answer would get its shape, too.
    asked = [rng.random((1 + number, size, size, 1), np.float32) for number in range(THREADS)]
    alone = [engine.run(images) for images in asked]
    ready = threading.Barrier(THREADS)

    def together(number: int) -> list[dict[str, np.ndarray]]:
        ready.wait(60)
        return [engine.run(asked[number]) for _ in range(ROUNDS)]

    with ThreadPoolExecutor(THREADS) as pool:
        found = list(pool.map(together, range(THREADS)))
    for expected, answers in zip(alone, found, strict=True):
        for answer in answers:
            for output, values in expected.items():
                np.testing.assert_array_equal(answer[output], values)
