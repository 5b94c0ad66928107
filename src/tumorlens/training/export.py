"""From a fitted Keras model to ONNX, checked slice by slice."""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from tumorlens.config import Settings
from tumorlens.errors import ModelError
from tumorlens.inference.engine import Engine
from tumorlens.models import registry
from tumorlens.models.keras_setup import import_keras
from tumorlens.preprocess import to_input
from tumorlens.training.canonical import canonical

# Law 2 of the design: Keras and ONNX agree to this.
TOLERANCE = 1e-4
#: What a network is asked in service, where it has it.
OUTPUTS = ("logits", "embedding", "cam", "mask")


def in_float32(model: Any, settings: Settings, classes: int) -> Any:
    """The same network computing in float32, whatever precision it was trained in."""
    keras = import_keras()
    if keras.config.dtype_policy().name == "float32":
        return model
    keras.config.set_dtype_policy("float32")
    # The weights come from the fitted model, so nothing needs to be downloaded again.
    copy = registry.build(msgspec.structs.replace(settings.model, weights="none"), settings.preprocess.size, classes)
    copy.set_weights(model.get_weights())
    return copy


def to_onnx(model: Any, check: np.ndarray) -> tuple[bytes, dict[str, Any]]:
    """The network as ONNX with outputs ``logits``, ``embedding`` and, where there are, ``cam`` and ``mask``.

    Args:
        model: from :func:`tumorlens.models.registry.build`, float32.
        check: uint8 (N, S, S), real slices to compare Keras and ONNX Runtime on.

    Returns:
        The file's content, and ``{"max_abs_difference", "max_relative_difference", "max_probability_difference", "n",
        "tolerance"}``.

    Raises:
        ModelError: when any output of the two differs by more than 1e-4 of its scale, or any probability by more than
            1e-4.
    """
    keras = import_keras()
    outputs = {name: model.output[name] for name in OUTPUTS if name in model.output}
    deployed = keras.Model(model.input, outputs, name="deployed")
    inputs = to_input(check)
    deployed(inputs[:1])  # with JAX, predicting leaves no trace that the export could start from
    expected = {name: np.asarray(value) for name, value in deployed.predict_on_batch(inputs).items()}
    with tempfile.TemporaryDirectory() as folder, quiet():
        path = Path(folder) / "model.onnx"
        deployed.export(str(path), format="onnx", verbose=False)
        content = canonical(path.read_bytes(), list(outputs))
    found = Engine(content).run(inputs)
    parity = compare(expected, found)
    worst = worst_of(parity)
    if not worst <= TOLERANCE:
        raise ModelError(
            f"ONNX Runtime and Keras differ by {worst:.2g} on {len(check)} slices; at most {TOLERANCE:g} is accepted",
            hint="please report this with the model's settings; the Keras weights are in the run's checkpoints",
            code="parity",
        )
    return content, {**parity, "n": len(check), "tolerance": TOLERANCE}


def compare(expected: dict[str, np.ndarray], found: dict[str, np.ndarray]) -> dict[str, float]:
    """How far two implementations of one network differ at most.

    Args:
        expected: name → float32 (N, …), with ``logits`` (N, classes).
        found: likewise.

    Returns:
        ``max_abs_difference`` of any output; ``max_relative_difference``, the same over the output's largest value
        where that is above one (float32 has seven digits, not seven decimals); ``max_probability_difference``. NaN
        where an output is no number.
    """
    absolute = {name: _largest(value - found[name]) for name, value in expected.items()}
    relative = [absolute[name] / max(1.0, _largest(value)) for name, value in expected.items()]
    probabilities = _largest(_softmax(expected["logits"]) - _softmax(found["logits"]))
    # NumPy's maximum of anything and NaN is NaN; Python's may be the other.
    return {
        "max_abs_difference": _largest(np.array(list(absolute.values()))),
        "max_relative_difference": _largest(np.array(relative)),
        "max_probability_difference": probabilities,
    }


def worst_of(differences: Mapping[str, float]) -> float:
    """The difference that counts, of :func:`compare`; NaN, which is no small one, where an output is no number."""
    return _largest(np.array([differences[key] for key in ("max_relative_difference", "max_probability_difference")]))


def _largest(values: np.ndarray) -> float:
    return float(np.abs(values).max(initial=0.0))


def _softmax(logits: np.ndarray) -> np.ndarray:
    odds = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    return np.asarray(odds / odds.sum(axis=1, keepdims=True))


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Inside, converters say nothing: their notes are about TensorFlow's graph, not about anything a user can do."""
    loggers = [logging.getLogger(name) for name in ("tf2onnx", "tensorflow", "absl")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
