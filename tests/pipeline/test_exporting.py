"""The network in other forms: each gives the answers of the first, and says how far it does not."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import numpy as np
import pytest

import tumorlens
from tumorlens import bundle
from tumorlens.cli.main import main
from tumorlens.errors import DataError, MissingExtraError, ModelError, UsageError
from tumorlens.inference import Prediction, Predictor
from tumorlens.inference.engines import ENGINES, engine_of
from tumorlens.pipeline.exporting import export


@pytest.fixture(scope="module")
def pictures(phantom_folder: Path) -> list[Path]:
    return sorted(phantom_folder.glob("*/*.png"))[::8]


@pytest.fixture(scope="module")
def int8(finished_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("int8") / "bundle"
    export(finished_run, "int8", folder)
    return folder


def answers(model: Path, pictures: list[Path], engine: str = "onnxruntime") -> np.ndarray:
    found = tumorlens.load(model, engine=engine).predict(pictures)
    assert isinstance(found, list)
    return np.array([list(one.probabilities.values()) for one in found if isinstance(one, Prediction)])


@pytest.mark.parametrize("kind", ["onnx", "openvino", "keras", "litert"])
def test_an_exact_form_agrees_and_the_bundle_stays_a_bundle(
    kind: str, finished_run: Path, pictures: list[Path], tmp_path: Path
) -> None:
    found = export(finished_run, kind, tmp_path / "out")
    assert found["n"] == 64
    assert found["max_probability_difference"] <= 1e-4
    assert found["same_class"] == 1
    loaded = bundle.load(tmp_path / "out")
    assert loaded.info.exports == {kind: found}
    for name in loaded.info.files:
        loaded.read(name)  # compares the SHA-256
    np.testing.assert_array_equal(answers(tmp_path / "out", pictures), answers(finished_run, pictures))


def test_openvino_files_are_a_network_that_openvino_reads(finished_run: Path, tmp_path: Path) -> None:
    openvino = pytest.importorskip("openvino")
    export(finished_run, "openvino", tmp_path / "out")
    network = openvino.Core().read_model(tmp_path / "out" / "model.xml")
    assert {output.get_any_name() for output in network.outputs} == set(bundle.load(finished_run).info.outputs)


def test_the_keras_file_is_a_model_that_keras_reads(finished_run: Path, tmp_path: Path) -> None:
    from tumorlens.models.keras_setup import import_keras

    export(finished_run, "keras", tmp_path / "out")
    model = import_keras().models.load_model(tmp_path / "out" / "model.keras", compile=False)
    assert "logits" in model.output


def test_the_litert_file_is_a_network_that_its_interpreter_reads(finished_run: Path, tmp_path: Path) -> None:
    import tensorflow

    export(finished_run, "litert", tmp_path / "out")
    runner = tensorflow.lite.Interpreter(str(tmp_path / "out" / "model.tflite")).get_signature_runner()
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


def test_eight_bits_are_calibrated_on_training_slices_alone(finished_run: Path, tmp_path: Path) -> None:
    """Given nothing but what was tested on, nothing is left."""
    from tumorlens.pipeline.dataset import read

    whole = read(finished_run / "manifest.csv")
    with pytest.raises(DataError, match="no slice is left"):
        export(finished_run, "int8", tmp_path / "out", data=whole.where(lambda row: row.split == "test"))


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


def test_what_cannot_be_exported_says_why(finished_run: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no form"):
        export(finished_run, "pickle", tmp_path / "out")
    with pytest.raises(UsageError, match="exists"):
        export(finished_run, "onnx", finished_run)
    alone = tmp_path / "alone"
    export(finished_run, "onnx", alone)
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
