"""The gate: what is not a slice of a brain MRI gets no answer.

A classifier names one of its classes for a cat, too, and is often sure of it; its embedding knows tumours better than
heads: distances in it tell foreign pictures apart with an area under the curve of 0.92 at best, and this gate with
0.996 (``docs/experiments.md``). So a small network of its own looks first, at 64 × 64 pixels of what the classifier
sees. ``scripts/gate`` makes it, ``gate.json`` says what from.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from typing import Any

import cv2
import msgspec
import numpy as np

from tumorlens.bundle.info import GATE
from tumorlens.inference.engine import Engine
from tumorlens.preprocess import to_input
from tumorlens.preprocess.stack import Stack

SIZE = 64
REASON = "this does not look like a slice of a brain MRI"
_BATCH = 256


class Rejection(msgspec.Struct, frozen=True, kw_only=True):
    """``rejection`` of ``bundle.json``.

    Attributes:
        threshold: logit above which a slice is refused.
        note: what the threshold stands for, in words.
    """

    threshold: float
    note: str = ""


@dataclass(frozen=True)
class Gate:
    """A gate that can be asked.

    Attributes:
        engine: from float32 (N, 64, 64, 1) in [0, 1] to ``logits`` float32 (N, 1).
        rejection: its threshold.
    """

    engine: Engine
    rejection: Rejection

    @classmethod
    def read(cls, network: bytes, rejection: dict[str, Any], threads: int = 0) -> Gate:
        """The gate of a bundle.

        Args:
            network: ONNX.
            rejection: of ``bundle.json``.
            threads: for one call of the network; 0 lets the runtime choose.

        Raises:
            ModelError: when the network cannot be run.
            ValueError: when ``rejection`` is not what this version understands; the message says why.
        """
        try:
            return cls(Engine(network, threads), msgspec.convert(rejection, Rejection))
        except msgspec.ValidationError as error:
            raise ValueError(f"its rejection cannot be read: {error}") from None

    def logits(self, images: np.ndarray | Stack) -> np.ndarray:
        """How little each picture looks like a slice of a brain MRI, float64 (N,).

        Args:
            images: uint8 (N, S, S), as the classifier sees them.
        """
        parts = [
            self.engine.run(to_input(small(np.asarray(images[start : start + _BATCH]))))["logits"][:, 0]
            for start in range(0, len(images), _BATCH)
        ]
        return np.concatenate(parts).astype(np.float64) if parts else np.zeros(0)

    def refuses(self, images: np.ndarray | Stack) -> np.ndarray:
        """Which pictures get no answer, bool (N,)."""
        return np.asarray(self.logits(images) > self.rejection.threshold)


def small(images: np.ndarray) -> np.ndarray:
    """Pictures of any size as the gate sees them: uint8 (N, S, S) → uint8 (N, 64, 64)."""
    way = cv2.INTER_AREA if images.shape[1] >= SIZE else cv2.INTER_LINEAR
    return np.stack([cv2.resize(one, (SIZE, SIZE), interpolation=way) for one in images])


def shipped() -> tuple[bytes, dict[str, Any]]:
    """The gate of this package: its network, and the ``rejection`` of a bundle that it goes into."""
    folder = resources.files("tumorlens.inference")
    facts = msgspec.json.decode(folder.joinpath("gate.json").read_bytes())
    return folder.joinpath(GATE).read_bytes(), {key: facts[key] for key in ("threshold", "note")}
