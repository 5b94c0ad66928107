"""Bundles with the network in another form, and how far that form differs.

An export is a bundle as before, with one file more and an entry in ``exports`` of ``bundle.json``: what is deployed
stays one thing that can be checked.
"""

from __future__ import annotations

import contextlib
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
from tumorlens.bundle.info import INT8
from tumorlens.errors import MissingExtraError, ModelError, UsageError
from tumorlens.inference.engine import Engine
from tumorlens.inference.engines import Runs
from tumorlens.inference.openvino_engine import OpenVinoEngine, import_openvino, openvino_core
from tumorlens.pipeline.dataset import Data
from tumorlens.pipeline.exportslices import to_calibrate, to_compare
from tumorlens.pipeline.kerasfile import KERAS, keras_file
from tumorlens.pipeline.reporter import Reporter
from tumorlens.preprocess import to_input
from tumorlens.training.export import TOLERANCE, compare, worst_of

LITERT, OPENVINO = "model.tflite", ("model.xml", "model.bin")
_ENOUGH = 0.97
# Of a form that is the file itself, with nothing else at hand to compare it with.
_COPY = {
    "n": 0,
    "max_abs_difference": 0.0,
    "max_relative_difference": 0.0,
    "max_probability_difference": 0.0,
    "same_class": 1.0,
    "copy": True,
}


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
        data: slices to compare on; those that the run of MODEL was trained on when None. For ``int8`` those among them
            that MODEL was trained on; the others are left out.
        reporter: told how it goes.

    Returns:
        The entry of ``exports``: ``n`` slices, and the largest differences to ``model.onnx``; of ``onnx``, those of
        ``model.onnx`` to the Keras network, or ``copy`` where that is not at hand. ``engines``: the same for each
        engine of ``--engine`` that runs the form, and for OpenVINO's others, where that is installed. Of ``int8`` also
        the facts of :func:`tumorlens.pipeline.exportslices.to_calibrate`.

    Raises:
        UsageError: for an unknown kind, an ``out`` that is in use, or a package that is not installed.
        DataError: when there is no slice to compare on, or for ``int8`` none that MODEL is known to be trained on.
        ModelError: when there is no such model, or the form differs by more than 1e-4 (not for ``int8``).
    """
    if kind not in KINDS:
        raise UsageError(f"there is no form {kind!r}", hint=f"forms are {', '.join(KINDS)}")
    target = Path(out)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UsageError(f"{target} exists", hint="name a folder that does not exist yet")
    loaded = bundle.load(model)
    tell = reporter or Reporter()
    files, found = _made(loaded, kind, data, tell)
    kept = {name: loaded.read(name) for name in loaded.info.files}
    info = msgspec.structs.replace(loaded.info, exports={**loaded.info.exports, kind: found})
    bundle.write_bundle(target, info, {**kept, **files})
    return found


def _made(loaded: Bundle, kind: str, data: Data | None, tell: Reporter) -> tuple[dict[str, bytes], dict[str, Any]]:
    """The files of a form, and how far it differs."""
    if kind == "onnx" and not _keras_at_hand(loaded):
        return {}, dict(_COPY)
    slices = (to_calibrate if kind == "int8" else to_compare)(loaded, data, tell)
    expected = Engine(loaded.model).run(to_input(slices.compared))
    files, engines = _FORMS[kind](loaded, slices.calibrated)
    each = {name: _compared(expected, runs, slices.compared) for name, runs in engines.items()}
    first = next(iter(each.values()))
    worst = worst_of(first)
    if kind != "int8" and not worst <= TOLERANCE:
        what = "the Keras network" if kind == "onnx" else f"the network as {kind}"
        raise ModelError(
            f"{what} differs from model.onnx by {worst:.2g}; at most {TOLERANCE:g} is accepted",
            hint="please report this with the bundle's bundle.json",
            code="parity",
        )
    for name, one in each.items():
        if one["same_class"] < _ENOUGH:
            tell.warn(f"{name}: only {one['same_class']:.0%} of the slices get the class that model.onnx names")
    found = {"n": len(slices.compared), **first, **slices.facts}
    if kind == "onnx":
        found["against"] = KERAS
    if kind in ("int8", "openvino"):
        found["engines"] = each
    return files, found


_Form = Callable[[Bundle, np.ndarray], tuple[dict[str, bytes], dict[str, Runs]]]


def _onnx(loaded: Bundle, images: np.ndarray) -> tuple[dict[str, bytes], dict[str, Runs]]:
    return {}, {"keras": _KerasEngine(_fitted(loaded))}


def _openvino(loaded: Bundle, images: np.ndarray) -> tuple[dict[str, bytes], dict[str, Runs]]:
    openvino = import_openvino()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / OPENVINO[0]
        openvino.save_model(openvino_core().read_model(BytesIO(loaded.model)), path, compress_to_fp16=False)
        # What is compared is what was written.
        engine = OpenVinoEngine(path)
        files = {name: (Path(folder) / name).read_bytes() for name in OPENVINO}
    return files, {"openvino": engine, **_bf16(loaded)}


def _int8(loaded: Bundle, images: np.ndarray) -> tuple[dict[str, bytes], dict[str, Runs]]:
    from tumorlens.training.quantising import quantised

    network = quantised(loaded.model, images)
    engines: dict[str, Runs] = {"onnxruntime-int8": Engine(network)}
    with contextlib.suppress(MissingExtraError):
        engines |= {"openvino-int8": OpenVinoEngine(network), "openvino": OpenVinoEngine(loaded.model)}
        engines |= _bf16(loaded)
    return {INT8: network}, engines


def _bf16(loaded: Bundle) -> dict[str, Runs]:
    """It needs no file of its own, so whoever compares OpenVINO compares it, too."""
    return {"openvino-bf16": OpenVinoEngine(loaded.model, precision="bf16")}


def _keras(loaded: Bundle, images: np.ndarray) -> tuple[dict[str, bytes], dict[str, Runs]]:
    path = _fitted(loaded)
    return {KERAS: path.read_bytes()}, {"keras": _KerasEngine(path)}


def _keras_at_hand(loaded: Bundle) -> bool:
    from tumorlens.models.keras_setup import import_keras

    if keras_file(loaded.where) is None:
        return False
    try:
        import_keras()
    except MissingExtraError:
        return False
    return True


def _litert(loaded: Bundle, images: np.ndarray) -> tuple[dict[str, bytes], dict[str, Runs]]:
    path = _fitted(loaded)
    try:
        from tumorlens.training.litert import LiteRtEngine, to_litert
    except ImportError:
        raise MissingExtraError("LiteRT", "train") from None
    network = to_litert(path)
    return {LITERT: network}, {"litert": LiteRtEngine(network)}


def _fitted(loaded: Bundle) -> Path:
    """The Keras network that the bundle was made from."""
    path = keras_file(loaded.where)
    if path is None:
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


def _compared(expected: dict[str, np.ndarray], runs: Runs, images: np.ndarray) -> dict[str, Any]:
    """How far a form's outputs differ from those of ``model.onnx`` in ONNX Runtime."""
    found = runs.run(to_input(images))
    same = expected["logits"].argmax(axis=1) == found["logits"].argmax(axis=1)
    return {**compare(expected, found), "same_class": float(same.mean())}
