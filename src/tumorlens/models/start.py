"""Where training starts from: chance, the weights that ship with tumorlens, or an earlier run.

The shipped weights were learned from the synthetic phantom alone (``make start`` makes them), so they bring no patient
and no licence of others along, and need no download. What is taken over are the layers that find and describe; what
names the class is always learned anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from tumorlens.config import ModelSettings
from tumorlens.errors import ConfigError
from tumorlens.models.keras_setup import import_keras

PHANTOM = "phantom"
_HEAD = "logits/"
# Of the variables; less in common means another network.
_LEAST = 0.5


def ships(model: ModelSettings) -> bool:
    """Whether the shipped weights are those of this network: they are of the networks' own width and depth."""
    return model.name in ("compact", "guided") and not model.width and not model.depth and model.shortcuts


def check(start: str) -> None:
    """Refuse at once what :func:`begin` would refuse without looking inside.

    Raises:
        ConfigError: when there is no such run or file.
    """
    if start not in ("", PHANTOM) and not _file(start).is_file():
        raise ConfigError(
            f"there is nothing to start from at {start}",
            hint="train.start is empty, phantom, the folder of a finished run, or a .keras file",
        )


def begin(model: Any, start: str) -> str:
    """Give a fresh network the weights that it starts from; returns what was done, in words, or an empty string.

    Args:
        model: from :func:`tumorlens.models.registry.build`.
        start: the setting ``train.start``.

    Raises:
        ConfigError: when the weights are not there, damaged, or those of another network.
    """
    if not start:
        return ""
    check(start)
    known = _shipped() if start == PHANTOM else _of_run(_file(start))
    variables = [variable for variable in model.weights if not variable.path.startswith(_HEAD)]
    fitting = [
        variable
        for variable in variables
        if variable.path in known and known[variable.path].shape == tuple(variable.shape)
    ]
    if len(fitting) < _LEAST * len(variables):
        raise ConfigError(
            f"train.start={start} holds weights of another network: {len(fitting)} of {len(variables)} fit",
            hint="start from a run of the same network, width and depth, or set train.start to nothing",
        )
    for variable in fitting:
        variable.assign(known[variable.path].astype(np.float32))
    known_as = "those that ship, learned from drawn heads" if start == PHANTOM else f"those of {start}"
    return f"first weights: {known_as} (train.start), {len(fitting)} of {len(variables)}"


def _file(start: str) -> Path:
    path = Path(start)
    return path / "checkpoints" / "model.keras" if path.is_dir() else path


def _shipped() -> Mapping[str, np.ndarray]:
    path = resources.files("tumorlens.models").joinpath("phantom.npz")
    with resources.as_file(path) as file, np.load(file, allow_pickle=False) as stored:
        return dict(stored)


def _of_run(path: Path) -> Mapping[str, np.ndarray]:
    keras = import_keras()
    try:
        model = keras.models.load_model(path, compile=False, safe_mode=True)
    except Exception as error:
        # zipfile, h5py, json and Keras each raise their own for a file that is none.
        raise ConfigError(f"{path} is no Keras model: {error}", hint="name a finished run's folder") from error
    return {variable.path: np.asarray(variable) for variable in model.weights}
