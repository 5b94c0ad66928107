from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from tumorlens.config import ModelSettings
from tumorlens.errors import ConfigError, EnvironmentFailure
from tumorlens.models import guided, registry
from tumorlens.models.keras_setup import check, faster_precision, import_keras, prepare


@pytest.fixture(scope="module", autouse=True)
def ready() -> None:
    prepare("cpu", "float32", True, 0)


def answers(model: object, size: int, count: int = 3) -> dict[str, np.ndarray]:
    images = np.random.default_rng(0).random((count, size, size, 1), dtype=np.float32)
    return {name: np.asarray(value) for name, value in model.predict_on_batch(images).items()}  # type: ignore[attr-defined]


@pytest.mark.parametrize("depth", [1, 2])
def test_the_map_of_compact_averages_to_its_logits(depth: int) -> None:
    model = registry.build(ModelSettings(width=8, depth=depth), 64, 3)
    out = answers(model, 64)
    assert out["cam"].shape == (3, 4, 4, 3)
    assert out["cam"].mean(axis=(1, 2)) == pytest.approx(out["logits"], abs=1e-4)
    assert out["probabilities"].sum(axis=1) == pytest.approx(1, abs=1e-5)
    assert out["embedding"].shape == (3, 64)


@pytest.mark.parametrize("size", [64, 72, 100])
def test_guided_answers_with_an_exact_map_and_a_mask(size: int) -> None:
    out = answers(registry.build(ModelSettings(name="guided", width=8), size, 3), size)
    assert out["cam"].mean(axis=(1, 2)) == pytest.approx(out["logits"], abs=1e-4)
    assert out["mask"].shape == (3, size // 4, size // 4, 1)
    assert (out["mask"] > 0).all()
    assert (out["mask"] < 0.2).all(), "an untrained network sees tumour almost nowhere"
    assert out["embedding"].shape == (3, 128)


def test_the_peak_of_the_map_is_a_feature_and_the_map_stays_exact() -> None:
    model = registry.build(ModelSettings(name="guided", width=8, peak=True), 64, 3)
    out = answers(model, 64)
    assert out["cam"].mean(axis=(1, 2)) == pytest.approx(out["logits"], abs=1e-4)
    assert out["embedding"].shape == (3, 129)
    highest = out["mask_logits"].reshape(3, -1).max(axis=1) / 4
    assert (np.abs(out["embedding"][:, -1] - highest) < 0.3).all()


def test_the_mask_loss_rewards_the_tumour_s_place() -> None:
    true = np.zeros((1, 8, 8, 1), np.float32)
    true[:, 2:4, 2:4] = 1
    there, elsewhere = np.full_like(true, -4), np.full_like(true, -4)
    there[:, 2:4, 2:4] = elsewhere[:, 5:7, 5:7] = 4
    nowhere, absent = np.full_like(true, -4), np.zeros_like(true)
    loss = {
        name: float(np.asarray(guided.mask_loss(a, b))[0])
        for name, a, b in (
            ("there", true, there),
            ("elsewhere", true, elsewhere),
            ("nowhere", true, nowhere),
            ("rightly nowhere", absent, nowhere),
            ("invented", absent, there),
        )
    }
    assert loss["there"] < loss["nowhere"] < loss["elsewhere"]
    assert loss["rightly nowhere"] < loss["invented"]
    assert all(np.isfinite(np.asarray(guided.mask_loss(true, sign * 1e4 * (1 - 2 * true)))).all() for sign in (1, -1))


@pytest.mark.parametrize("name", ["compact", "guided"])
def test_any_size_of_input_is_taken(name: str) -> None:
    for size in (33, 50):
        assert answers(registry.build(ModelSettings(name=name, width=8), size, 2), size)["logits"].shape == (3, 2)


def test_plain_is_the_classic_stack() -> None:
    keras = import_keras()
    model = registry.build(ModelSettings(name="plain", width=16, depth=3, dense=64), 64, 4)
    kinds = [type(layer) for layer in model.layers]
    assert kinds.count(keras.layers.Conv2D) == kinds.count(keras.layers.MaxPooling2D) == 3
    assert kinds.count(keras.layers.Dense) == 2
    assert {keras.layers.Flatten, keras.layers.Dropout, keras.layers.Softmax} <= set(kinds)
    assert [layer.filters for layer in model.layers if isinstance(layer, keras.layers.Conv2D)] == [16, 32, 64]
    assert all(
        layer.activation is keras.activations.relu for layer in model.layers if isinstance(layer, keras.layers.Conv2D)
    )
    out = answers(model, 64)
    assert set(out) == {"logits", "probabilities", "embedding"}
    assert out["embedding"].shape == (3, 64)


def test_depth_and_width_change_the_network() -> None:
    sizes = {
        (name, width, depth): registry.build(ModelSettings(name=name, width=width, depth=depth), 64, 3).count_params()
        for name in ("plain", "compact")
        for width in (8, 16)
        for depth in (1, 2)
    }
    assert len(set(sizes.values())) == 8


def test_a_backbone_by_name_with_a_local_weights_file(tmp_path: Path) -> None:
    keras = import_keras()
    network = keras.applications.MobileNetV3Small(weights=None, include_top=False, input_shape=(64, 64, 3))
    network.save_weights(tmp_path / "local.weights.h5")
    model = registry.build(ModelSettings(name="mobilenetv3small", weights=str(tmp_path / "local.weights.h5")), 64, 4)
    inner = next(layer for layer in model.layers if isinstance(layer, keras.Model))
    for mine, theirs in zip(inner.get_weights(), network.get_weights(), strict=True):
        assert (mine == theirs).all()
    out = answers(model, 64)
    assert out["cam"].mean(axis=(1, 2)) == pytest.approx(out["logits"], abs=1e-3)


def test_imagenet_weights_offline_say_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # Keras's own loader, against an address where nobody answers: what a machine without a network meets.
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr("keras.src.utils.file_utils.config.keras_home", lambda: str(tmp_path), raising=False)
    with pytest.raises(EnvironmentFailure) as caught:
        registry.build(ModelSettings(name="mobilenetv3small"), 64, 4)
    assert "could not be downloaded" in caught.value.message
    assert "model.weights=none" in caught.value.hint


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (ModelSettings(name="compct"), "compact"),
        (ModelSettings(name="efficientnetv2b0", weights="/nowhere/w.h5"), "no weights file"),
    ],
)
def test_wrong_names_are_refused(settings: ModelSettings, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        registry.build(settings, 64, 3)
    assert said in f"{caught.value.message} {caught.value.hint}"


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    (tmp_path / "w.weights.h5").write_bytes(b"nonsense")
    with pytest.raises(ConfigError, match="does not hold weights"):
        registry.build(ModelSettings(name="mobilenetv3small", weights=str(tmp_path / "w.weights.h5")), 64, 3)


def test_a_device_that_is_not_there() -> None:
    with pytest.raises(EnvironmentFailure, match="gpu:7"):
        prepare("gpu:7", "float32", True, 0)


def test_auto_precision_is_one_of_the_two_and_leaves_no_trace() -> None:
    assert faster_precision() in ("float32", "bfloat16")
    assert import_keras().config.dtype_policy().name == "float32"


def test_a_backend_that_cannot_export_is_refused_before_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    there = importlib.util.find_spec

    def find(name: str) -> object:
        """As on a machine with JAX and without its exporter."""
        return None if name == "jax2onnx" else True if name == "jax" else there(name)

    monkeypatch.setattr("importlib.util.find_spec", find)
    with pytest.raises(EnvironmentFailure, match="jax2onnx is not installed"):
        check("auto")
