"""Running an ONNX network with ONNX Runtime."""

from __future__ import annotations

from typing import Any

import numpy as np

from tumorlens.errors import ModelError


class Engine:
    """A loaded network.

    Args:
        model: ONNX file content. Loaded from memory, so it cannot refer to other files.
        threads: for one call; 0 lets the runtime choose.

    Raises:
        ModelError: when it is not a network that this version can run.
    """

    def __init__(self, model: bytes, threads: int = 0) -> None:
        import onnxruntime

        onnxruntime.disable_telemetry_events()  # where the variable came too late, or this is Windows
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as error:
            # ONNX Runtime raises many kinds, all meaning the same to the user.
            raise ModelError(
                f"a network of the bundle cannot be run: {error}", hint="export the bundle again", code="not_runnable"
            ) from error
        self._input = self._session.get_inputs()[0].name
        self.outputs: tuple[str, ...] = tuple(output.name for output in self._session.get_outputs())

    def run(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """All outputs for images float32 (N, S, S, 1) in [0, 1]: name → float32 (N, …)."""
        values: list[Any] = self._session.run(None, {self._input: images})
        return dict(zip(self.outputs, values, strict=True))
