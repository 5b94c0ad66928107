"""Importing Keras quietly, once, with the backend and device that were asked for."""

from __future__ import annotations

import importlib.util
import os
from typing import Any

from tumorlens.errors import EnvironmentFailure, MissingExtraError


def import_keras() -> Any:
    """Keras 3 on the backend of ``KERAS_BACKEND`` (TensorFlow when unset).

    Raises:
        MissingExtraError: when Keras or its backend is not installed.
    """
    backend = os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    # TensorFlow greets on stderr with what it was compiled for; errors still show.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    for package in ("keras", backend):
        if importlib.util.find_spec(package) is None:
            raise MissingExtraError(package, "train")
    import keras

    return keras


def prepare(device: str, precision: str, deterministic: bool, seed: int) -> str:
    """Make Keras ready for a run and return the name of the device it will use.

    Args:
        device: ``auto``, ``cpu``, ``gpu`` or ``gpu:N``.
        precision: ``float32`` or ``bfloat16`` (computation; variables stay float32).
        deterministic: forbid operations whose result depends on timing.
        seed: for the initial weights and dropout.

    Raises:
        EnvironmentFailure: when the device does not exist.
    """
    keras = import_keras()
    keras.utils.set_random_seed(seed)
    keras.config.set_dtype_policy("mixed_bfloat16" if precision == "bfloat16" else "float32")
    if keras.backend.backend() == "tensorflow":
        return _tensorflow_device(device, deterministic)
    return _other_device(keras, device)


def _tensorflow_device(device: str, deterministic: bool) -> str:
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    kind, _, number = device.partition(":")
    if kind == "gpu":
        chosen = int(number or 0)
        if chosen >= len(gpus):
            raise _no_device(device, len(gpus))
        gpus = [gpus[chosen]]
    elif kind == "cpu":
        gpus = []
    elif kind != "auto":
        raise _no_device(device, len(gpus))
    try:
        tf.config.set_visible_devices(gpus, "GPU")
    except RuntimeError:
        # TensorFlow was used in this process before; the devices it has are the ones it keeps.
        gpus = tf.config.get_visible_devices("GPU")
    if deterministic and gpus:
        # On a CPU TensorFlow's kernels repeat bit for bit as they are (shown by tests/training/test_resume.py), and
        # this switch would only slow them down; see docs/experiments.md.
        tf.config.experimental.enable_op_determinism()
    return "gpu" if gpus else "cpu"


def _other_device(keras: Any, device: str) -> str:
    found = (
        keras.distribution.list_devices() if keras.backend.backend() == "jax" else ["gpu" if _torch_gpu() else "cpu"]
    )
    has_gpu = any("cpu" not in name for name in found)
    if device.startswith("gpu") and not has_gpu:
        raise _no_device(device, 0)
    return "gpu" if has_gpu and device != "cpu" else "cpu"


def _torch_gpu() -> bool:
    import torch

    return bool(torch.cuda.is_available())


def _no_device(device: str, gpus: int) -> EnvironmentFailure:
    return EnvironmentFailure(
        f"there is no device {device!r}; found the CPU and {gpus} GPU(s)",
        hint="use --device auto, or install a GPU build with: pip install 'tumorlens[train-gpu]'",
        code="no_device",
    )
