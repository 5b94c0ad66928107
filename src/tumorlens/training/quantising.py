"""A network in 8-bit integers.

Static quantisation after training (Jacob B et al. Quantization and training of neural networks for efficient
integer-arithmetic-only inference. CVPR 2018) of all convolutions but the first, a scale for each filter, ranges that
leave out the furthest hundred-thousandth of the values, with ONNX Runtime's tools; both ONNX Runtime and OpenVINO run
the result. What comes after the last convolution stays as it is, so the class-activation map stays exact.
"""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tumorlens.errors import MissingExtraError
from tumorlens.inference.engine import Engine
from tumorlens.preprocess import to_input
from tumorlens.training.canonical import canonical

_BATCH = 16


def quantised(model: bytes, images: np.ndarray) -> bytes:
    """The same network with its convolutions in 8-bit integers.

    Args:
        model: ONNX, float32.
        images: uint8 (N, S, S), standardised slices that were trained on: the ranges of values come from them.

    Raises:
        MissingExtraError: without the ``train`` extra.
    """
    try:
        import onnx  # noqa: F401 - the tools need it, and say so less clearly
        from onnxruntime import quantization
        from onnxruntime.quantization.shape_inference import quant_pre_process
    except ImportError:
        raise MissingExtraError("onnx", "train") from None
    outputs = list(Engine(model).outputs)
    size = min(_BATCH, len(images))
    # The tools want batches of one size.
    batches = (to_input(images[start : start + size]) for start in range(0, len(images) - size + 1, size))
    logger = logging.getLogger()
    level = logger.level
    logger.setLevel(logging.ERROR)  # the tools advise on steps that were taken, and print what they do
    try:
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
            before, after = Path(folder) / "before.onnx", Path(folder) / "after.onnx"
            before.write_bytes(model)
            ready = Path(folder) / "ready.onnx"
            quant_pre_process(str(before), str(ready), skip_symbolic_shape=True)
            quantization.quantize_static(
                str(ready),
                str(after),
                _Reader(_input_name(model), batches),
                quant_format=quantization.QuantFormat.QDQ,
                op_types_to_quantize=["Conv"],
                nodes_to_exclude=_first_convolution(ready),
                calibrate_method=quantization.CalibrationMethod.Percentile,
                per_channel=True,
                activation_type=quantization.QuantType.QUInt8,
                weight_type=quantization.QuantType.QInt8,
            )
            return canonical(after.read_bytes(), outputs)
    finally:
        logger.setLevel(level)


class _Reader:
    """Hands the calibration batches to ONNX Runtime's tools."""

    def __init__(self, name: str, batches: Iterator[np.ndarray]) -> None:
        self._name, self._batches = name, batches

    def get_next(self) -> dict[str, Any] | None:
        """The next batch, or None."""
        batch = next(self._batches, None)
        return None if batch is None else {self._name: batch}


def _first_convolution(path: Path) -> list[str]:
    """The name of the one that sees the picture: it costs little, and the finest greys pass through it."""
    import onnx

    return [node.name for node in onnx.load(str(path)).graph.node if node.op_type == "Conv"][:1]


def _input_name(model: bytes) -> str:
    import onnx

    return str(onnx.load_from_string(model).graph.input[0].name)
