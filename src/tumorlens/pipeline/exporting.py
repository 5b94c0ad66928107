"""Bundles with the network in another form, and how far that form differs.

An export is a bundle as before, with one file more and an entry in ``exports`` of ``bundle.json``: what is deployed
stays one thing that can be checked.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from tumorlens import bundle
from tumorlens.bundle import Bundle
from tumorlens.bundle.info import INT8, slice_hash
from tumorlens.data.manifest import Manifest
from tumorlens.errors import DataError, MissingExtraError, ModelError, UsageError
from tumorlens.evaluation.table import PredictionTable
from tumorlens.inference.engine import Engine
from tumorlens.inference.engines import Runs
from tumorlens.inference.openvino_engine import OpenVinoEngine, import_openvino
from tumorlens.io import cache_dir
from tumorlens.pipeline.dataset import Data, read
from tumorlens.pipeline.reporter import Reporter
from tumorlens.preprocess import to_input
from tumorlens.preprocess.cache import standardise_all
from tumorlens.training.export import TOLERANCE, compare

KERAS, LITERT, OPENVINO = "model.keras", "model.tflite", ("model.xml", "model.bin")
# Slices that a form is compared on, and that the ranges of 8-bit integers come from.
COMPARED, CALIBRATED = 64, 256
_CHANCE = 9
_ENOUGH = 0.97


def export(
    model: str | os.PathLike[str],
    kind: str,
    out: str | os.PathLike[str],
    *,
    data: Data | None = None,
    reporter: Reporter | None = None,
) -> dict[str, Any]:
    """Write a bundle that holds the network in another form, too.

    Args:
        model: MODEL.
        kind: ``onnx`` (the bundle as it is), ``openvino`` (``model.xml`` and ``model.bin``), ``keras``
            (``model.keras``, of a run folder), ``litert`` (``model.tflite``, of a run folder, for phones and small
            computers), or ``int8`` (``model.int8.onnx``, for the engines of that name).
        out: folder of the new bundle; must not exist, or be empty.
        data: slices to compare on; those that the run of MODEL was trained on when None. For ``int8`` they must be
            slices that it was trained on: what it was validated or tested on is left out.
        reporter: told how it goes.

    Returns:
        The entry of ``exports``: ``n`` slices, and the largest differences to ``model.onnx``.

    Raises:
        UsageError: for an unknown kind, an ``out`` that is in use, or a package that is not installed.
        DataError: when there is no slice to compare on.
        ModelError: when there is no such model, or the form differs by more than 1e-4 (not for ``int8``).
    """
    if kind not in KINDS:
        raise UsageError(f"there is no form {kind!r}", hint=f"forms are {', '.join(KINDS)}")
    target = Path(out)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UsageError(f"{target} exists", hint="name a folder that does not exist yet")
    loaded = bundle.load(model)
    tell = reporter or Reporter()
    images = _slices(loaded, data, CALIBRATED if kind == "int8" else COMPARED, tell)
    files, runs = _FORMS[kind](loaded, images)
    found = _compared(loaded, runs, images[:COMPARED])
    worst = max(found["max_relative_difference"], found["max_probability_difference"])
    if kind != "int8" and not worst <= TOLERANCE:
        raise ModelError(
            f"the network as {kind} differs from model.onnx by {worst:.2g}; at most {TOLERANCE:g} is accepted",
            hint="please report this with the bundle's bundle.json",
            code="parity",
        )
    if found["same_class"] < _ENOUGH:
        tell.warn(f"only {found['same_class']:.0%} of the slices get the class that model.onnx names")
    kept = {name: loaded.read(name) for name in loaded.info.files}
    info = msgspec.structs.replace(loaded.info, exports={**loaded.info.exports, kind: found})
    bundle.write_bundle(target, info, {**kept, **files})
    return found


_Form = Callable[[Bundle, np.ndarray], tuple[dict[str, bytes], Runs]]


def _onnx(loaded: Bundle, images: np.ndarray) -> tuple[dict[str, bytes], Runs]:
    return {}, Engine(loaded.model)


def _openvino(loaded: Bundle, images: np.ndarray) -> tuple[dict[str, bytes], Runs]:
    openvino = import_openvino()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / OPENVINO[0]
        openvino.save_model(openvino.Core().read_model(BytesIO(loaded.model)), path, compress_to_fp16=False)
        # What is compared is what was written.
        return {name: (Path(folder) / name).read_bytes() for name in OPENVINO}, OpenVinoEngine(path)


def _int8(loaded: Bundle, images: np.ndarray) -> tuple[dict[str, bytes], Runs]:
    from tumorlens.training.quantising import quantised

    network = quantised(loaded.model, images)
    return {INT8: network}, Engine(network)


def _keras(loaded: Bundle, images: np.ndarray) -> tuple[dict[str, bytes], Runs]:
    path = _fitted(loaded)
    return {KERAS: path.read_bytes()}, _KerasEngine(path)


def _litert(loaded: Bundle, images: np.ndarray) -> tuple[dict[str, bytes], Runs]:
    path = _fitted(loaded)
    try:
        from tumorlens.training.litert import LiteRtEngine, to_litert
    except ImportError:
        raise MissingExtraError("LiteRT", "train") from None
    network = to_litert(path)
    return {LITERT: network}, LiteRtEngine(network)


def _fitted(loaded: Bundle) -> Path:
    """The Keras network that the bundle was made from."""
    path = loaded.where.parent / "checkpoints" / KERAS
    if not path.is_file():
        path = loaded.where.parent / "final" / "checkpoints" / KERAS  # of a cross-validation
    if not path.is_file():
        raise ModelError(
            f"{loaded.where} has no Keras network beside it", hint="name the run folder that it was trained in"
        )
    return path


class _KerasEngine:
    """A Keras network, asked as engines are."""

    def __init__(self, path: Path) -> None:
        try:
            from tumorlens.models.keras_setup import import_keras

            self._model = import_keras().models.load_model(path, compile=False, safe_mode=True)
        except ImportError:
            raise MissingExtraError("Keras", "train") from None
        self.outputs: tuple[str, ...] = tuple(self._model.output)

    def run(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """All outputs for images float32 (N, S, S, 1)."""
        return {name: np.asarray(value) for name, value in self._model.predict_on_batch(images).items()}


_FORMS: dict[str, _Form] = {"onnx": _onnx, "openvino": _openvino, "keras": _keras, "litert": _litert, "int8": _int8}
KINDS = tuple(_FORMS)


def _compared(loaded: Bundle, runs: Runs, images: np.ndarray) -> dict[str, Any]:
    """How far a form's outputs differ from those of ``model.onnx`` in ONNX Runtime."""
    inputs = to_input(images)
    expected, found = Engine(loaded.model).run(inputs), runs.run(inputs)
    same = expected["logits"].argmax(axis=1) == found["logits"].argmax(axis=1)
    return {"n": len(images), **compare(expected, found), "same_class": float(same.mean())}


def _slices(loaded: Bundle, data: Data | None, count: int, tell: Reporter) -> np.ndarray:
    """At most ``count`` slices that the network was trained on, drawn at random, uint8 (N, S, S)."""
    manifest = read(data, reporter=tell) if data is not None else _trained(loaded)
    order = np.random.default_rng(_CHANCE).permutation(len(manifest))
    chosen = manifest.with_rows(manifest.rows[i] for i in order[: 2 * count])
    ready = standardise_all(chosen, loaded.info.recipe, cache_dir() / "images")
    held = _held_out(loaded)
    fresh = [
        i
        for i, (row, digest) in enumerate(zip(ready.manifest, ready.digests, strict=True))
        if slice_hash(digest, row.frame) not in held
    ]
    if not fresh:
        raise DataError(
            "no slice is left that the model was trained on",
            hint="name the data that it learned from: tumorlens export MODEL --to KIND --out DIR --data DATA",
            code="empty",
        )
    return np.asarray(ready.images[fresh[:count]])


def _trained(loaded: Bundle) -> Manifest:
    """What the run around the bundle was trained on."""
    table = loaded.where.parent / "manifest.csv"
    if loaded.where.name != "bundle" or not table.is_file():
        raise DataError(
            f"{loaded.where} is a bundle on its own: there are no slices beside it to compare on",
            hint="name some that it learned from with --data DATA, or name the run folder",
            code="no_data",
        )
    manifest = read(str(table))
    divided = any(row.split for row in manifest)
    return manifest.where(lambda row: row.split == "train" or not divided)


def _held_out(loaded: Bundle) -> set[str]:
    """Names of the slices that the network was validated or tested on; none of a network that learned from all."""
    if json.loads(loaded.read("metrics.json")).get("out_of_fold"):
        return set()
    return set(PredictionTable.of_bundle(loaded).ids)
