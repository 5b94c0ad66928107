"""Which program runs the network of a bundle, and how precisely."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from tumorlens.bundle import Bundle
from tumorlens.bundle.info import INT8
from tumorlens.errors import ModelError, UsageError
from tumorlens.inference.engine import Engine
from tumorlens.inference.openvino_engine import OpenVinoEngine

DEFAULT = "onnxruntime"
#: Name → what it is. Those with int8 need a bundle made by ``tumorlens export --to int8``.
ENGINES = {
    DEFAULT: "ONNX Runtime, single precision: the reference",
    "onnxruntime-int8": "ONNX Runtime, 8-bit integers",
    "openvino": "OpenVINO, single precision",
    "openvino-bf16": "OpenVINO, bfloat16",
    "openvino-int8": "OpenVINO, 8-bit integers",
}


class Runs(Protocol):
    """What an engine can do."""

    outputs: tuple[str, ...]

    def run(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """All outputs for images float32 (N, S, S, 1) in [0, 1]."""


def engine_of(bundle: Bundle, name: str = DEFAULT, threads: int = 0) -> Runs:
    """The bundle's network, ready to run.

    Args:
        bundle: from :func:`tumorlens.bundle.load`.
        name: of :data:`ENGINES`.
        threads: for one call; 0 lets the runtime choose.

    Raises:
        UsageError: for an unknown name, or when OpenVINO is not installed.
        ModelError: when the network cannot be run, or the bundle has none of 8-bit integers.
    """
    if name not in ENGINES:
        raise UsageError(f"there is no engine {name!r}", hint=f"engines are {', '.join(ENGINES)}")
    program, _, precision = name.partition("-")
    network = bundle.model
    if precision == "int8":
        if INT8 not in bundle.info.files:
            raise ModelError(
                f"{bundle.where} holds no network of 8-bit integers",
                hint="make a bundle that does: tumorlens export MODEL --to int8 --out DIR",
                code="no_int8",
            )
        network = bundle.read(INT8)
    if program == "openvino":
        return OpenVinoEngine(network, threads, "bf16" if precision == "bf16" else "f32")
    return Engine(network, threads)
