"""Running an ONNX network with OpenVINO, in single precision or bfloat16. Extra ``openvino``."""

from __future__ import annotations

import importlib
import sys
import threading
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from tumorlens.errors import MissingExtraError, ModelError

_MAKING = threading.Lock()


def import_openvino() -> Any:
    """OpenVINO, without the package that reports each import of it to its maker.

    Raises:
        MissingExtraError: when it is not installed.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type] # OpenVINO goes on without it
    try:
        return importlib.import_module("openvino")
    except ImportError:
        raise MissingExtraError("OpenVINO", "openvino") from None


def openvino_core() -> Any:
    """The one ``openvino.Core`` of this process; it is never dropped.

    Its processor plugin gives the thread that loads it a stack for signals, and takes that away when it goes. Of two
    plugins of which the older goes first, the younger puts back a stack that no longer exists: the process then dies of
    its next signal (seen with OpenVINO 2026.4 at the first Ctrl-C).

    Raises:
        MissingExtraError: when OpenVINO is not installed.
    """
    with _MAKING:  # two threads would make one each
        return _core(import_openvino())


@cache
def _core(openvino: Any) -> Any:
    return openvino.Core()


class OpenVinoEngine:
    """A loaded network, asked as :class:`tumorlens.inference.engine.Engine` is, by any number of threads.

    Args:
        model: ONNX file content, or the path of an OpenVINO ``.xml`` with its ``.bin`` beside it.
        threads: for one call; 0 lets the runtime choose.
        precision: ``f32``, or ``bf16`` where the processor has instructions for it.

    Raises:
        MissingExtraError: when OpenVINO is not installed.
        ModelError: when it is not a network that OpenVINO can run.
    """

    def __init__(self, model: bytes | Path, threads: int = 0, precision: str = "f32") -> None:
        core = openvino_core()
        options: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": precision,
            "NUM_STREAMS": "1",
            **({"INFERENCE_NUM_THREADS": str(threads)} if threads else {}),
        }
        try:
            self._network = core.compile_model(
                core.read_model(BytesIO(model) if isinstance(model, bytes) else model), "CPU", options
            )
        except Exception as error:
            # OpenVINO raises RuntimeError for everything, all meaning the same to the user.
            raise ModelError(
                f"OpenVINO cannot run this network: {_first_line(error)}",
                hint="use --engine onnxruntime, which runs every bundle",
                code="not_runnable",
            ) from error
        # A network keeps one request, inputs and outputs in it: of two threads at once, one got the other's answer. A
        # request for each thread answers no sooner, as there is one stream.
        self._asking = threading.Lock()
        self.outputs: tuple[str, ...] = tuple(output.get_any_name() for output in self._network.outputs)

    def run(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """All outputs for images float32 (N, S, S, 1) in [0, 1]: name → float32 (N, …)."""
        with self._asking:
            found = self._network(np.ascontiguousarray(images))  # its arrays are copies
        return {
            name: np.array(found[output], np.float32)
            for name, output in zip(self.outputs, self._network.outputs, strict=True)
        }


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
