"""A network that has learned nothing: the same one with its weights shuffled."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np


def reordered(kernels: Sequence[np.ndarray], seed: int) -> list[np.ndarray]:
    """The values of each kernel in another order; sizes and value ranges stay.

    Args:
        kernels: float32, of any shapes.
        seed: of the order, which is another one for other values: an order may by chance light up one place in every
            picture, and the folds of a cross-validation must not all have that one.
    """
    total = 0
    for values in kernels:
        total = zlib.crc32(np.ascontiguousarray(values).data, total)
    rng = np.random.default_rng([seed, total])
    return [rng.permutation(values.ravel()).reshape(values.shape) for values in kernels]


def shuffled(model: bytes, seed: int) -> bytes:
    """The ONNX network with its kernels :func:`reordered`.

    Adebayo J et al. Sanity checks for saliency maps. NeurIPS 2018: a map that looks as good for such a network as for
    the learned one says nothing of what was learned.

    Args:
        model: an ONNX file's content.
        seed: of the order.

    Returns:
        Another one's.
    """
    import onnx
    from onnx import numpy_helper

    proto = onnx.load_from_string(model)
    every = [(tensor, numpy_helper.to_array(tensor)) for tensor in proto.graph.initializer]
    kernels = [(tensor, values) for tensor, values in every if values.ndim >= 2 and values.dtype == np.float32]
    for (tensor, _), mixed in zip(kernels, reordered([values for _, values in kernels], seed), strict=True):
        tensor.CopyFrom(numpy_helper.from_array(mixed, tensor.name))
    return bytes(proto.SerializeToString())
