"""Networks by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tumorlens.config import ModelSettings
from tumorlens.models import backbone, compact, guided, plain

_OWN: dict[str, Callable[[ModelSettings, int, int], Any]] = {
    "compact": compact.build,
    "guided": guided.build,
    "plain": plain.build,
}


def check(settings: ModelSettings) -> None:
    """Refuse at once what :func:`build` would refuse. Keras is imported only for a backbone.

    Raises:
        ConfigError: for a name that is neither ours nor a ``keras.applications`` backbone, or no such weights file.
    """
    if settings.name not in _OWN:
        backbone.check(settings)


def learns_from_masks(settings: ModelSettings) -> bool:
    """Whether :func:`build` gives a network that learns from tumour masks, the data's own or drawn ones."""
    return settings.name == "guided"


def build(settings: ModelSettings, size: int, classes: int) -> Any:
    """The Keras model that the settings name.

    Args:
        settings: name, width, depth, …
        size: height and width of the input in pixels.
        classes: how many classes.

    Returns:
        A ``keras.Model`` from ``image`` float32 (N, size, size, 1) in [0, 1] to a dictionary of ``logits``,
        ``probabilities`` (N, classes), ``embedding`` (N, D) and, but for ``plain``, ``cam`` (N, h, w, classes);
        ``guided`` also gives ``mask`` and ``mask_logits`` (N, h, w, 1).

    Raises:
        ConfigError: for a name that is neither ours nor a ``keras.applications`` backbone.
    """
    return _OWN.get(settings.name, backbone.build)(settings, size, classes)
