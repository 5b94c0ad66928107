"""The network whose weights are in another order."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import numpy_helper

from tumorlens.inference.gate import shipped
from tumorlens.training.shuffled import shuffled


def kernels(model: bytes) -> list[np.ndarray]:
    found = map(numpy_helper.to_array, onnx.load_from_string(model).graph.initializer)
    return [values for values in found if values.ndim >= 2 and values.dtype == np.float32]


def order(values: np.ndarray, mixed: np.ndarray) -> list[int]:
    place = {value: i for i, value in enumerate(values.ravel().tolist())}
    return [place[value] for value in mixed.ravel().tolist()]


def test_every_kernel_keeps_its_values_in_an_order_that_the_seed_gives() -> None:
    network, _ = shipped()
    mixed = shuffled(network, 0)
    for before, after in zip(kernels(network), kernels(mixed), strict=True):
        assert before.shape == after.shape
        assert not np.array_equal(before, after)
        np.testing.assert_array_equal(np.sort(before, axis=None), np.sort(after, axis=None))
    assert shuffled(network, 0) == mixed
    assert shuffled(network, 1) != mixed


def test_another_network_of_the_same_kind_gets_another_order() -> None:
    """Or what one order lights up by chance would be lit up in every fold."""
    network, _ = shipped()
    proto = onnx.load_from_string(network)
    for tensor in proto.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.ndim >= 2 and values.dtype == np.float32:
            tensor.CopyFrom(numpy_helper.from_array(2 * values, tensor.name))
    other = proto.SerializeToString()
    first = order(kernels(network)[0], kernels(shuffled(network, 0))[0])
    second = order(kernels(other)[0], kernels(shuffled(other, 0))[0])
    assert first != second
