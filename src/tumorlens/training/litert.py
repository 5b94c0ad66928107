"""The network for LiteRT (TensorFlow Lite), and LiteRT's interpreter to check it with."""

from __future__ import annotations

import os
import tempfile
import warnings
from pathlib import Path

import numpy as np

from tumorlens.errors import ModelError
from tumorlens.models.keras_setup import import_keras
from tumorlens.training.export import OUTPUTS, quiet


def to_litert(path: str | os.PathLike[str]) -> bytes:
    """A fitted Keras network as a ``.tflite`` file.

    Its signature ``serving_default`` takes float32 (N, S, S, 1) and gives the outputs that ``model.onnx`` has.

    Args:
        path: ``model.keras``, float32.

    Raises:
        ModelError: when Keras runs on something else than TensorFlow, which alone converts.
    """
    keras = import_keras()
    if keras.backend.backend() != "tensorflow":
        raise ModelError(
            f"Keras runs on {keras.backend.backend()}, and only TensorFlow writes LiteRT",
            hint="run the command again with KERAS_BACKEND=tensorflow",
        )
    model = keras.models.load_model(path, compile=False, safe_mode=True)
    deployed = keras.Model(model.input, {name: model.output[name] for name in OUTPUTS if name in model.output})
    with tempfile.TemporaryDirectory() as folder, quiet():
        file = Path(folder) / "model.tflite"
        deployed.export(str(file), format="litert", verbose=False)
        return file.read_bytes()


class LiteRtEngine:
    """A LiteRT network, asked as engines are."""

    def __init__(self, network: bytes) -> None:
        import tensorflow

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that the interpreter will move to a package of its own
            self._signature = tensorflow.lite.Interpreter(model_content=network).get_signature_runner()
        (self._input,) = self._signature.get_input_details()
        self.outputs: tuple[str, ...] = tuple(self._signature.get_output_details())

    def run(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """All outputs for images float32 (N, S, S, 1)."""
        return dict(self._signature(**{self._input: images}))
