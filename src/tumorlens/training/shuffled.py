"""A network that has learned nothing: the same one with its weights shuffled."""

from __future__ import annotations

import zlib

import numpy as np


def shuffled(model: bytes, seed: int) -> bytes:
    """The ONNX network with the values of each kernel in another order; sizes and value ranges stay.

    Adebayo J et al. Sanity checks for saliency maps. NeurIPS 2018: a map that looks as good for such a network as for
    the learned one says nothing of what was learned.

    Args:
        model: an ONNX file's content.
        seed: of the order, which is another one for other weights: an order may by chance light up one place in every
            picture, and the folds of a cross-validation must not all have that one.
    """
    import onnx
    from onnx import numpy_helper

    proto = onnx.load_from_string(model)
    kernels = []
    for tensor in proto.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.ndim >= 2 and values.dtype == np.float32:
            kernels.append((tensor, values))
    rng = np.random.default_rng([seed, zlib.crc32(b"".join(values.tobytes() for _, values in kernels))])
    for tensor, values in kernels:
        mixed = rng.permutation(values.ravel()).reshape(values.shape)
        tensor.CopyFrom(numpy_helper.from_array(mixed, tensor.name))
    return bytes(proto.SerializeToString())
