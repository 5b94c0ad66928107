"""``bundle.json``: what a bundle says of itself."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from tumorlens.errors import ModelError
from tumorlens.preprocess.recipe import ALGORITHMS, Recipe

# Raise when an older program could misread a newer bundle.
SCHEMA = 1
#: The gate's network in a bundle.
GATE = "gate.onnx"
#: The network in 8-bit integers, where a bundle was exported with one.
INT8 = "model.int8.onnx"
SYNTHETIC = "this model learned from the synthetic phantom only; its answers about real images mean nothing"


class BundleInfo(msgspec.Struct, frozen=True, kw_only=True):
    """The contents of ``bundle.json``.

    Attributes:
        schema: version of this layout.
        name: of the model; the run's name unless given.
        version: of the model.
        created: UTC time, ISO 8601.
        labels: class names in the order of the logits; stored, never derived again.
        recipe: how a slice becomes the input.
        outputs: names of the network's outputs: ``logits``, ``embedding`` and, where there are, ``cam`` and ``mask``.
        flip_average: whether answers average a slice and its mirror image.
        calibration: fitted temperature and what it was fitted on, or None.
        rejection: threshold of the gate that refuses what is not a brain MRI, or None without a gate.
        conformal: quantiles of the conformal sets, or None.
        selective: threshold under which an answer is uncertain, or None.
        series: how the answer for a series is made of those for its slices, or None for their mean.
        data: fingerprint, public sources and counts of the data it learned from; never a path or a patient.
        training: architecture, parameters, epochs, seconds, seed, …
        parity: largest differences between Keras and ONNX Runtime (of any output, of any output relative to its scale,
            of any probability), and on how many slices.
        exports: forms of the network that were added, each with how far it differs from ``model.onnx``.
        versions: of the programs that made it.
        files: SHA-256 of every other file of the bundle.
    """

    name: str
    version: str
    created: str
    labels: tuple[str, ...]
    recipe: Recipe
    outputs: tuple[str, ...]
    schema: int = SCHEMA
    flip_average: bool = False
    calibration: dict[str, Any] | None = None
    rejection: dict[str, Any] | None = None
    conformal: dict[str, Any] | None = None
    selective: dict[str, Any] | None = None
    series: dict[str, Any] | None = None
    data: dict[str, Any] = {}
    training: dict[str, Any] = {}
    parity: dict[str, Any] = {}
    exports: dict[str, dict[str, Any]] = {}
    versions: dict[str, str] = {}
    files: dict[str, str] = {}

    @property
    def caution(self) -> str:
        """What must be said whenever this model answers, or an empty string."""
        return SYNTHETIC if self.data.get("sources") == ["phantom"] else ""


def decode(content: bytes, where: str) -> BundleInfo:
    """Read ``bundle.json``.

    Raises:
        ModelError: for another schema version, a recipe of another algorithm, or a damaged file.
    """
    try:
        schema = msgspec.json.decode(content, type=dict[str, Any]).get("schema")
    except msgspec.MsgspecError as error:
        raise ModelError(f"{where}: bundle.json is damaged: {error}", hint="copy or export the bundle again") from None
    if schema != SCHEMA:
        newer = isinstance(schema, int) and schema > SCHEMA
        raise ModelError(
            f"{where} has bundle schema {schema!r}; this version of tumorlens reads schema {SCHEMA}",
            hint="update tumorlens: pip install -U tumorlens" if newer else "export the model again with this version",
            code="unknown_schema",
        )
    try:
        info = msgspec.json.decode(content, type=BundleInfo)
    except msgspec.MsgspecError as error:
        raise ModelError(f"{where}: bundle.json is not complete: {error}", hint="export the bundle again") from None
    if info.recipe.algorithm not in ALGORITHMS:
        raise ModelError(
            f"{where} was made with preprocessing {info.recipe.algorithm}; this version of tumorlens knows "
            + ", ".join(map(str, ALGORITHMS)),
            hint="train the model again, or use the version of tumorlens in its bundle.json",
            code="unknown_recipe",
        )
    return info


def encode(info: BundleInfo) -> bytes:
    """``bundle.json`` as bytes."""
    return msgspec.json.format(msgspec.json.encode(info), indent=2) + b"\n"


def sha256(content: bytes) -> str:
    """SHA-256 as lower-case hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def slice_hash(digest: str, frame: int | None) -> str:
    """The name of a slice in a bundle's ``predictions.csv``: 16 hex digits over its file's SHA-256 and its frame."""
    return hashlib.sha256(f"{digest}#{frame}".encode()).hexdigest()[:16]
