"""Everything a run must remember to continue as if it had never stopped, in one file that is replaced atomically."""

from __future__ import annotations

import json
import zipfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tumorlens.errors import ModelError
from tumorlens.io.atomic import atomic_writer
from tumorlens.models.keras_setup import import_keras


@dataclass
class Progress:
    """Where a run stands, besides its arrays.

    Attributes:
        epoch: epochs completed.
        step: steps completed of the epoch after that.
        loss_sum: sum of the batch losses of the epoch in hand.
        accuracy_sum: likewise of the batch accuracies.
        mask_loss_sum: likewise of the losses of the predicted masks.
        edits: twins, transplants and decoys in the batches learned from: kind → how many were tried, and came off.
        drawn: digest of the drawn slices that are learned from; empty for none.
        history: one row per completed epoch.
        best_epoch: number (from 1) of the epoch with the lowest validation loss; 0 before the first.
        best_loss: that loss.
        seconds: time spent training, over all sittings.
        finished: whether training ended (last epoch, or early).
    """

    epoch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    accuracy_sum: float = 0.0
    mask_loss_sum: float = 0.0
    edits: dict[str, list[int]] = field(default_factory=dict)
    drawn: str = ""
    history: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = 0
    best_loss: float = float("inf")
    seconds: float = 0.0
    finished: bool = False


def save(path: Path, progress: Progress, arrays: dict[str, list[np.ndarray]]) -> None:
    """Write progress and arrays (``{"model": [...], "optimizer": [...], …}``), atomically."""
    named = {f"{group}/{i}": array for group, members in arrays.items() for i, array in enumerate(members)}
    text = np.frombuffer(json.dumps(asdict(progress)).encode(), np.uint8)
    with atomic_writer(path) as file:
        np.savez(file, allow_pickle=False, progress=text, **named)  # type: ignore[arg-type]


def load(path: Path) -> tuple[Progress, dict[str, list[np.ndarray]]]:
    """Read what :func:`save` wrote.

    Raises:
        ModelError: for a file that is not a whole checkpoint.
    """
    groups: dict[str, dict[int, np.ndarray]] = {}
    try:
        with np.load(path, allow_pickle=False) as file:
            progress = Progress(**json.loads(bytes(file["progress"])))
            for name in file.files:
                group, slash, number = name.partition("/")
                if slash:
                    groups.setdefault(group, {})[int(number)] = file[name]
    except (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise ModelError(f"{path} is not a whole checkpoint: {error}", hint="start the training again") from error
    return progress, {group: [members[i] for i in sorted(members)] for group, members in groups.items()}


def assign(variables: list[Any], values: list[np.ndarray], what: str) -> None:
    """Put saved arrays into Keras variables.

    Raises:
        ModelError: when they do not fit, because the settings or the library version changed.
    """
    if len(variables) != len(values) or any(tuple(v.shape) != a.shape for v, a in zip(variables, values, strict=True)):
        raise ModelError(
            f"the checkpoint's {what} does not fit this network",
            hint="resume with the same version of tumorlens and Keras, or start the training again",
        )
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def read(variables: list[Any]) -> list[np.ndarray]:
    """Keras variables as arrays."""
    convert = import_keras().ops.convert_to_numpy
    return [convert(variable) for variable in variables]
