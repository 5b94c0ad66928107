"""Giving a model its gate, where the gate knows what the model learned from."""

from __future__ import annotations

from typing import Any

import numpy as np

from tumorlens.bundle.info import GATE
from tumorlens.config import EvaluateSettings
from tumorlens.inference import gate
from tumorlens.inference.gate import Gate
from tumorlens.pipeline.reporter import Reporter
from tumorlens.preprocess.stack import Stack

# Of the slices that a model is to answer: a gate that refuses more has not seen their like.
MOST = 0.1


def gate_for(
    images: np.ndarray | Stack, size: int, settings: EvaluateSettings, tell: Reporter
) -> tuple[bytes, dict[str, Any] | None]:
    """The shipped gate's network and the bundle's ``rejection``; (b"", None) where there is to be none.

    Args:
        images: uint8 (N, S, S), slices as standardised that the model is to answer; not those it is tested on.
        size: of the network's input.
        settings: whether a gate is wanted.
        tell: told when the gate does not fit the data.
    """
    if not settings.gate:
        return b"", None
    if size < gate.SIZE:
        tell.note(f"no gate: it needs pictures of at least {gate.SIZE} pixels, so the model will answer for anything")
        return b"", None
    network, rejection = gate.shipped()
    share = float(Gate.read(network, rejection).refuses(images).mean()) if len(images) else 0.0
    if share > MOST:
        tell.warn(
            f"the gate takes {share:.0%} of the validation slices for no brain MRI, so the model gets none: it will "
            "name a class for whatever it is shown"
        )
        return b"", None
    return network, rejection


def gate_file(network: bytes) -> dict[str, bytes]:
    """The gate among the files of a bundle; none without a gate."""
    return {GATE: network} if network else {}
