from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import onnx
import pytest

from tumorlens import bundle
from tumorlens.inference.engine import Engine
from tumorlens.training.canonical import canonical

NAMES = ("logits", "embedding", "cam")


def scrambled(content: bytes, seed: int) -> bytes:
    """The same network with other names and another order of nodes and constants, as another process would write it."""
    chance = random.Random(seed)
    model = onnx.load_from_string(content)
    graph = model.graph
    kept = {value.name for value in (*graph.input, *graph.output)}
    names = {name: name for name in kept}
    for node in graph.node:
        node.name = f"x{chance.random()}"
        for tensors in (node.input, node.output):
            tensors[:] = [names.setdefault(name, f"y{chance.random()}") for name in tensors]
    constants = list(graph.initializer)
    for constant in constants:
        constant.name = names[constant.name]
    chance.shuffle(constants)
    del graph.initializer[:]
    graph.initializer.extend(constants)
    # Any topological order: repeatedly take a random node whose inputs are there.
    there = {value.name for value in graph.input} | {constant.name for constant in constants} | {""}
    waiting, ordered = list(graph.node), []
    while waiting:
        node = chance.choice([node for node in waiting if set(node.input) <= there])
        waiting.remove(node)
        ordered.append(node)
        there |= set(node.output)
    fresh = onnx.helper.make_graph(ordered, "other", list(graph.input), list(graph.output), constants)
    model.graph.CopyFrom(fresh)
    onnx.checker.check_model(model)
    return model.SerializeToString()


@pytest.mark.parametrize("seed", range(5))
def test_names_and_order_do_not_matter_and_answers_stay(seed: int, finished_run: Path) -> None:
    content = bundle.load(finished_run).model
    other = scrambled(content, seed)
    assert other != content
    assert canonical(other, NAMES) == canonical(content, NAMES) == content
    images = np.random.default_rng(seed).random((2, 48, 48, 1), dtype=np.float32)
    for name, value in Engine(content).run(images).items():
        assert Engine(canonical(other, NAMES)).run(images)[name] == pytest.approx(value, abs=1e-6)


def test_outputs_that_an_exporter_has_numbered_get_their_names_back(finished_run: Path) -> None:
    content = bundle.load(finished_run).model
    model = onnx.load_from_string(content)
    # As PyTorch's exporter writes them: in the order of their names, which are gone.
    values = sorted(model.graph.output, key=lambda value: value.name)
    for number, value in enumerate(values):
        for node in model.graph.node:
            for tensors in (node.input, node.output):
                tensors[:] = [str(number) if name == value.name else name for name in tensors]
        value.name = str(number)
    del model.graph.output[:]
    model.graph.output.extend(values)
    renamed = canonical(model.SerializeToString(), NAMES)
    images = np.random.default_rng(0).random((2, 48, 48, 1), dtype=np.float32)
    expected, found = Engine(content).run(images), Engine(renamed).run(images)
    assert {name: value.shape for name, value in found.items()} == {n: v.shape for n, v in expected.items()}
    assert all(found[name] == pytest.approx(value, abs=1e-6) for name, value in expected.items())
