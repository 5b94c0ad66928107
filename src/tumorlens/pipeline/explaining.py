"""Maps of networks that have none of their own: by Grad-CAM where Keras is at hand, and by occlusion everywhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np

from tumorlens.inference import Predictor, maps

# A map by occlusion asks the network 65 times.
_OCCLUDED = 100


class Explains(Protocol):
    """Makes maps of a network's answers, and of those of the same network with its weights shuffled.

    Attributes:
        what: name of its maps, of :data:`tumorlens.evaluation.localisation.MAPS`.
        most: slices that are worth asking it about for a score.
    """

    what: str
    most: int

    def __call__(self, images: np.ndarray, classes: np.ndarray) -> np.ndarray:
        """Maps float32 (N, h, w) of images uint8 (N, S, S) for a class each, int (N,)."""

    def shuffled(self, images: np.ndarray, classes: np.ndarray) -> np.ndarray | None:
        """The same of shuffled weights; None where they cannot be shuffled."""


class ByOcclusion:
    """The fall of the logit when a square of the slice is covered: what an answer of such a network is shown with.

    Args:
        predictor: of the network.
        mixed: makes the same network with its weights shuffled; None where that cannot be done.
    """

    what, most = "occlusion", _OCCLUDED

    def __init__(self, predictor: Predictor, mixed: Callable[[], Predictor] | None = None) -> None:
        self._predictor, self._mixed = predictor, mixed

    def __call__(self, images: np.ndarray, classes: np.ndarray) -> np.ndarray:
        """See :class:`Explains`."""
        return _occluded(self._predictor, images, classes)

    def shuffled(self, images: np.ndarray, classes: np.ndarray) -> np.ndarray | None:
        """See :class:`Explains`."""
        return None if self._mixed is None else _occluded(self._mixed(), images, classes)


def _occluded(predictor: Predictor, images: np.ndarray, classes: np.ndarray) -> np.ndarray:
    each = [maps.occlusion(image, int(chosen), predictor.logits) for image, chosen in zip(images, classes, strict=True)]
    return np.stack(each) if each else np.zeros((0, 1, 1), np.float32)
