"""Any ``keras.applications`` network by name, with or without ImageNet weights, under the same head as ``compact``."""

from __future__ import annotations

import difflib
import inspect
import re
from pathlib import Path
from typing import Any

from tumorlens.config import ModelSettings
from tumorlens.errors import ConfigError, EnvironmentFailure
from tumorlens.models.head import assemble, pooled_head
from tumorlens.models.keras_setup import import_keras


def names() -> dict[str, str]:
    """Every backbone: lower-case name → its name in ``keras.applications``."""
    applications = import_keras().applications
    found = [name for name, value in vars(applications).items() if inspect.isfunction(value)]
    return {name.lower(): name for name in sorted(found)}


def check(settings: ModelSettings) -> tuple[str, str]:
    """The backbone's name in lower case and in ``keras.applications``.

    Raises:
        ConfigError: for an unknown name or a weights file that is not there.
    """
    known = names()
    key = re.sub(r"[^a-z0-9]", "", settings.name.lower())
    if key not in known:
        close = difflib.get_close_matches(key, ["compact", "guided", "plain", *known], n=3)
        raise ConfigError(
            f"unknown model {settings.name!r}",
            hint=f"did you mean {' or '.join(close)}?"
            if close
            else "use compact, guided, plain or one of keras.applications",
        )
    if settings.weights not in ("imagenet", "none") and not Path(settings.weights).is_file():
        raise ConfigError(
            f"no weights file {settings.weights}",
            hint="model.weights is imagenet, none, or a file made by save_weights",
        )
    return key, known[key]


def build(settings: ModelSettings, size: int, classes: int) -> Any:
    """A Keras model from float32 (N, size, size, 1) in [0, 1] to logits, probabilities, embedding and map.

    The grey image is repeated into three channels and brought to the range that the backbone was trained on.

    Raises:
        ConfigError: for an unknown name or a weights file that does not fit.
        EnvironmentFailure: when ImageNet weights are asked for and cannot be downloaded.
    """
    keras = import_keras()
    key, name = check(settings)
    image = keras.Input((size, size, 1), name="image")
    grey = keras.layers.Rescaling(255.0, name="to_255")(image)
    colour = keras.layers.Concatenate(name="to_rgb")([grey, grey, grey])
    make = getattr(keras.applications, name)
    backbone = _make(make, name, settings.weights, size)
    ready = _input_range(make, backbone, colour)
    return assemble(image, pooled_head(backbone(ready), classes, settings.dropout), key)


def _make(make: Any, name: str, weights: str, size: int) -> Any:
    options: dict[str, Any] = {"include_top": False, "input_shape": (size, size, 3)}
    if weights == "none":
        return make(weights=None, **options)
    if weights == "imagenet":
        try:
            return make(weights="imagenet", **options)
        except Exception as error:
            # Keras raises a plain Exception with the address when a download fails.
            raise EnvironmentFailure(
                f"the ImageNet weights of {name} could not be downloaded: {_first_line(error)}",
                hint="connect once (Keras keeps them in ~/.keras/models), give a weights file with "
                "--set model.weights=FILE, or train from scratch with --set model.weights=none",
                code="no_weights",
            ) from error
    network = make(weights=None, **options)
    try:
        network.load_weights(weights)
    except Exception as error:
        # h5py, Keras and the file system each raise their own; all mean that the file does not fit this network.
        raise ConfigError(
            f"{weights} does not hold weights of {name} without its top: {_first_line(error)}",
            hint="make it with keras.applications' model(include_top=False).save_weights(FILE)",
        ) from error
    return network


def _input_range(make: Any, backbone: Any, colour: Any) -> Any:
    """Scale as the backbone expects; newer backbones do it themselves (``include_preprocessing``)."""
    if "include_preprocessing" in inspect.signature(make).parameters or make.__name__.startswith("EfficientNet"):
        return colour
    module = inspect.getmodule(make)
    preprocess = getattr(module, "preprocess_input", None)
    return preprocess(colour) if preprocess else colour


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
