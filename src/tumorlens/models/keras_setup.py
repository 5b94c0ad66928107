"""Importing Keras quietly, once, with the backend and device that were asked for."""

from __future__ import annotations

import importlib.util
import logging
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from tumorlens.errors import EnvironmentFailure, MissingExtraError

_NAMES = {"tensorflow": "TensorFlow", "jax": "JAX", "torch": "PyTorch"}
# What Linux shows of a GPU that a backend can use: NVIDIA's driver (also Jetson's, and WSL's), AMD's, a TPU's.
_DRIVERS = ("nvidia*", "nvhost-gpu", "nvgpu", "dxg", "kfd", "accel*")


def import_keras() -> Any:
    """Keras 3 on the backend of ``KERAS_BACKEND`` (TensorFlow when unset).

    Raises:
        MissingExtraError: when Keras or its backend is not installed.
    """
    _check_installed()
    # TensorFlow greets on stderr with what it was compiled for; errors still show.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    # A cross-validation or a search builds many networks; TensorFlow takes that for a mistake and warns.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    import keras

    return keras


def not_loaded() -> str:
    """The backend that the next import of Keras will start, which takes seconds; empty when it has been."""
    return "" if "keras" in sys.modules else _NAMES.get(_backend(), _backend())


def check(device: str) -> None:
    """Refuse at once a device that does not exist. Keras is imported only when a GPU is asked for by name.

    Raises:
        MissingExtraError: when Keras or its backend is not installed.
        EnvironmentFailure: when there is no such device, or the backend could not export what it trains.
    """
    _check_installed()
    if _backend() == "jax" and importlib.util.find_spec("jax2onnx") is None:
        raise EnvironmentFailure(
            "KERAS_BACKEND=jax trains, but the network could not be exported: jax2onnx is not installed",
            hint="pip install jax2onnx, or train with KERAS_BACKEND=torch or tensorflow",
            code="no_exporter",
        )
    if not device.startswith("gpu"):
        return
    keras = import_keras()
    if keras.backend.backend() == "tensorflow":
        _tensorflow_gpus(device)
    else:
        _other_device(keras, device)


def device_of(device: str) -> str:
    """The device that :func:`prepare` will choose, ``cpu`` or ``gpu``.

    Where the machine shows no GPU that is certain without the backend; else it is loaded, and asked.

    Args:
        device: ``auto``, ``cpu``, ``gpu`` or ``gpu:N``; one that :func:`check` lets pass.

    Raises:
        MissingExtraError: when Keras or its backend has to be asked and is not installed.
    """
    kind = device.partition(":")[0]
    if kind != "auto":
        return kind
    if not _may_have_gpu():
        return "cpu"
    keras = import_keras()
    if keras.backend.backend() == "tensorflow":
        return "gpu" if _tensorflow_gpus(device) else "cpu"
    return _other_device(keras, device)


def _may_have_gpu() -> bool:
    """False where there surely is none."""
    return sys.platform != "linux" or any(any(Path("/dev").glob(name)) for name in _DRIVERS)


def _check_installed() -> None:
    for package in ("keras", _backend()):
        if importlib.util.find_spec(package) is None:
            raise MissingExtraError(package, "train")


def _backend() -> str:
    return os.environ.setdefault("KERAS_BACKEND", "tensorflow")


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


def faster_precision() -> str:
    """``bfloat16`` when a training step is measured 1.3 times as fast in it, else ``float32``.

    Processors without bfloat16 instructions emulate it, up to ten times slower; only measuring tells.
    """
    keras = import_keras()
    seconds = {}
    for precision, policy in (("float32", "float32"), ("bfloat16", "mixed_bfloat16")):
        layer = keras.layers.Conv2D(64, 3, padding="same", dtype=policy)
        model = keras.Sequential(
            [keras.Input((32, 32, 64)), layer, keras.layers.GlobalAveragePooling2D(dtype="float32")]
        )
        model.compile("sgd", "mse", jit_compile=False)
        images, targets = np.zeros((32, 32, 32, 64), np.float32), np.zeros((32, 64), np.float32)
        model.train_on_batch(images, targets)
        begun = time.perf_counter()
        for _ in range(5):
            model.train_on_batch(images, targets)
        seconds[precision] = time.perf_counter() - begun
    return "bfloat16" if seconds["float32"] > 1.3 * seconds["bfloat16"] else "float32"


def _tensorflow_device(device: str, deterministic: bool) -> str:
    import tensorflow as tf

    gpus = _tensorflow_gpus(device)
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


def _tensorflow_gpus(device: str) -> list[Any]:
    """The GPUs to use; none for the CPU."""
    import tensorflow as tf

    gpus: list[Any] = tf.config.list_physical_devices("GPU")
    kind, _, number = device.partition(":")
    if kind == "gpu" and (number or "0").isdecimal() and int(number or 0) < len(gpus):
        return [gpus[int(number or 0)]]
    if kind not in ("auto", "cpu"):
        raise _no_device(device, len(gpus))
    return gpus if kind == "auto" else []


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
