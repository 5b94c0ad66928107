"""The network in other forms: each gives the answers of the first, and says how far it does not."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tumorlens
from tumorlens import bundle
from tumorlens.cli.main import main
from tumorlens.data.manifest import Manifest
from tumorlens.data.phantom import write_phantom
from tumorlens.errors import DataError, MissingExtraError, ModelError, UsageError
from tumorlens.inference import Prediction, Predictor
from tumorlens.inference.engines import ENGINES, engine_of
from tumorlens.io import cache_dir
from tumorlens.pipeline.dataset import read
from tumorlens.pipeline.exporting import export
from tumorlens.pipeline.exportslices import CALIBRATED, COMPARED, _divided
from tumorlens.preprocess.cache import standardise_all
from tumorlens.training import quantising


@pytest.fixture(scope="module")
def pictures(phantom_folder: Path) -> list[Path]:
    return sorted(phantom_folder.glob("*/*.png"))[::8]


Exported = Callable[[str], tuple[Path, dict[str, Any]]]


@pytest.fixture(scope="module")
def exported(finished_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """Gives the bundle of a kind, made when it is first asked for, and what was told of it. Only to be read."""

    @cache
    def made(kind: str) -> tuple[Path, dict[str, Any]]:
        folder = tmp_path_factory.mktemp(kind) / "bundle"
        return folder, export(finished_run, kind, folder)

    return made


@pytest.fixture
def int8(exported: Exported) -> Path:
    return exported("int8")[0]


def answers(model: Path, pictures: list[Path], engine: str = "onnxruntime") -> np.ndarray:
    found = tumorlens.load(model, engine=engine).predict(pictures)
    assert isinstance(found, list)
    return np.array([list(one.probabilities.values()) for one in found if isinstance(one, Prediction)])


@pytest.mark.parametrize("kind", ["onnx", "openvino", "keras", "litert"])
def test_an_exact_form_agrees_and_the_bundle_stays_a_bundle(
    kind: str, finished_run: Path, pictures: list[Path], exported: Exported
) -> None:
    folder, found = exported(kind)
    assert found["n"] == 64
    assert found["max_probability_difference"] <= 1e-4
    assert found["same_class"] == 1
    loaded = bundle.load(folder)
    assert loaded.info.exports == {kind: found}
    assert found.get("against") == ("model.keras" if kind == "onnx" else None)
    for name in loaded.info.files:
        loaded.read(name)  # compares the SHA-256
    np.testing.assert_array_equal(answers(folder, pictures), answers(finished_run, pictures))


def test_openvino_files_are_a_network_that_openvino_reads(finished_run: Path, exported: Exported) -> None:
    openvino = pytest.importorskip("openvino")
    network = openvino.Core().read_model(exported("openvino")[0] / "model.xml")
    assert {output.get_any_name() for output in network.outputs} == set(bundle.load(finished_run).info.outputs)


def test_the_keras_file_is_a_model_that_keras_reads(exported: Exported) -> None:
    from tumorlens.models.keras_setup import import_keras

    model = import_keras().models.load_model(exported("keras")[0] / "model.keras", compile=False)
    assert "logits" in model.output


def test_the_litert_file_is_a_network_that_its_interpreter_reads(finished_run: Path, exported: Exported) -> None:
    import tensorflow

    runner = tensorflow.lite.Interpreter(str(exported("litert")[0] / "model.tflite")).get_signature_runner()
    assert set(runner.get_output_details()) == set(bundle.load(finished_run).info.outputs)


@pytest.mark.parametrize("engine", ["openvino", "openvino-bf16"])
def test_openvino_answers_as_onnx_runtime_does(engine: str, finished_run: Path, pictures: list[Path]) -> None:
    off = np.abs(answers(finished_run, pictures, engine) - answers(finished_run, pictures)).max()
    assert off <= (1e-4 if engine == "openvino" else 0.05)


@pytest.mark.parametrize("engine", ["onnxruntime-int8", "openvino-int8"])
def test_eight_bits_are_close(engine: str, int8: Path, pictures: list[Path]) -> None:
    exact, found = answers(int8, pictures), answers(int8, pictures, engine)
    assert np.abs(exact - found).max() <= 0.15
    assert (exact.argmax(1) == found.argmax(1)).mean() >= 0.9
    assert not np.array_equal(exact, found)


def test_eight_bits_take_a_third_of_the_room_and_keep_the_map_exact(int8: Path) -> None:
    loaded = bundle.load(int8)
    assert len(loaded.read("model.int8.onnx")) < len(loaded.model)
    noise = np.random.default_rng(0).random((3, 48, 48, 1)).astype(np.float32)
    found = engine_of(loaded, "onnxruntime-int8").run(noise)
    np.testing.assert_allclose(found["cam"].mean(axis=(1, 2)), found["logits"], atol=1e-4)


def test_eight_bits_are_compared_on_slices_that_they_were_not_made_from(int8: Path) -> None:
    """With every engine that runs them, and the facts travel with the bundle."""
    told = bundle.load(int8).info.exports["int8"]
    assert (told["split"], told["overlap"]) == ("test", 0)
    assert 100 < told["calibrated_on"] <= CALIBRATED
    assert 20 < told["n"] <= COMPARED
    assert set(told["engines"]) == {"onnxruntime-int8", "openvino-int8", "openvino", "openvino-bf16"}
    assert told["max_probability_difference"] == told["engines"]["onnxruntime-int8"]["max_probability_difference"] > 0
    assert all(one["same_class"] >= 0.9 for one in told["engines"].values())


def test_openvino_in_bfloat16_is_compared_too(exported: Exported) -> None:
    _, found = exported("openvino")
    assert set(found["engines"]) == {"openvino", "openvino-bf16"}
    assert found["engines"]["openvino"]["max_probability_difference"] == found["max_probability_difference"]


def test_without_openvino_eight_bits_are_made_all_the_same(
    finished_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "openvino", None)
    assert set(export(finished_run, "int8", tmp_path / "out")["engines"]) == {"onnxruntime-int8"}


@pytest.fixture
def ranges_from(monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray]:
    """What 8-bit ranges are taken from, while none are: the network stays as it is."""
    seen: list[np.ndarray] = []

    def kept(model: bytes, images: np.ndarray) -> bytes:
        seen.append(images)
        return model

    monkeypatch.setattr(quantising, "quantised", kept)
    return seen


def pictures_of(run: Path, manifest: Manifest) -> set[bytes]:
    ready = standardise_all(manifest, bundle.load(run).info.recipe, cache_dir() / "images")
    return {one.tobytes() for one in ready.images}


def test_eight_bits_are_calibrated_on_training_slices_alone(
    finished_run: Path, phantom_folder: Path, tmp_path: Path, ranges_from: list[np.ndarray]
) -> None:
    """Of a set that holds others, too, these are left out, wherever its files lie now."""
    run = read(finished_run / "manifest.csv")
    trained = pictures_of(finished_run, run.split("train"))
    moved, others = tmp_path / "moved", tmp_path / "others"
    shutil.copytree(phantom_folder, moved)
    write_phantom(others, 16, 77)
    both = [moved / "manifest.csv", others / "manifest.csv"]
    for number, data in enumerate((None, phantom_folder / "manifest.csv", both)):
        found = export(finished_run, "int8", tmp_path / f"out{number}", data=data)
        assert found["calibrated_on"] == len(ranges_from[-1]) > 100
        assert {one.tobytes() for one in ranges_from[-1]} <= trained


def test_what_was_not_trained_on_makes_no_eight_bits(
    finished_run: Path, tmp_path: Path, ranges_from: list[np.ndarray]
) -> None:
    """Slices that it was tested on, slices that it never saw, slices of which nobody knows."""
    write_phantom(tmp_path / "unseen", 16, 78)
    tested = read(finished_run / "manifest.csv").split("test")
    shutil.copytree(finished_run / "bundle", tmp_path / "alone")
    for model, data in (
        (finished_run, tested),
        (finished_run, tmp_path / "unseen"),
        (tmp_path / "alone", finished_run / "manifest.csv"),
        (tmp_path / "alone", None),
    ):
        with pytest.raises(DataError, match="trained on") as caught:
            export(model, "int8", tmp_path / "out", data=data)
        assert caught.value.code == "not_trained_on"
        assert "run folder" in caught.value.hint
    assert not ranges_from
    assert not (tmp_path / "out").exists()


@given(st.integers(1, 2 * (CALIBRATED + COMPARED)), st.integers(0, COMPARED))
def test_slices_are_compared_that_made_no_ranges_where_there_are_any(count: int, held_out: int) -> None:
    fresh = np.arange(count)
    chosen = _divided(fresh, (np.arange(-held_out, 0), "test") if held_out else None)
    both = set(chosen.calibrated.tolist()) & set(chosen.compared.tolist())
    assert len(chosen.compared) > 0
    assert 0 < chosen.facts["calibrated_on"] == len(chosen.calibrated) <= CALIBRATED
    assert len(both) == chosen.facts["overlap"]
    assert not both or (count < 4 and not held_out)
    assert chosen.facts["split"] == ("test" if held_out else "train")


def test_openvino_calls_nobody(finished_run: Path, pictures: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **named: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    answers(finished_run, pictures[:2], "openvino")


def test_a_bundle_without_eight_bits_says_how_to_get_them(finished_run: Path) -> None:
    with pytest.raises(ModelError, match="8-bit") as caught:
        Predictor(bundle.load(finished_run), engine="openvino-int8")
    assert "--to int8" in caught.value.hint


def test_what_cannot_be_exported_says_why(finished_run: Path, exported: Exported, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no form"):
        export(finished_run, "pickle", tmp_path / "out")
    with pytest.raises(UsageError, match="exists"):
        export(finished_run, "onnx", finished_run)
    alone, _ = exported("onnx")
    copy = export(alone, "onnx", tmp_path / "copy")
    assert (copy["copy"], copy["n"]) == (True, 0)
    with pytest.raises(DataError, match="on its own"):
        export(alone, "openvino", tmp_path / "again")
    with pytest.raises(ModelError, match="Keras"):
        export(alone, "keras", tmp_path / "again", data=finished_run / "manifest.csv")
    with pytest.raises(ModelError, match="Keras"):
        export(alone, "litert", tmp_path / "again", data=finished_run / "manifest.csv")
    with pytest.raises(UsageError, match="no engine"):
        engine_of(bundle.load(finished_run), "tpu")


def test_without_openvino_the_message_says_what_to_install(finished_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(MissingExtraError, match="OpenVINO") as caught:
        tumorlens.load(finished_run, engine="openvino")
    assert "tumorlens[openvino]" in caught.value.hint


def test_the_command_line_exports_and_answers(
    finished_run: Path, pictures: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", str(finished_run), "--to", "openvino", "--out", str(tmp_path / "out"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["n"] == 64
    for engine in ENGINES:
        if not engine.endswith("int8"):
            assert main(["predict", str(pictures[0]), "--model", str(tmp_path / "out"), "--engine", engine]) == 0
