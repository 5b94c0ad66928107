"""Grad-CAM: on a network whose answer is known to come from one corner, in every form a Keras model has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tumorlens.config import ModelSettings
from tumorlens.errors import UsageError
from tumorlens.models import registry
from tumorlens.models.keras_setup import import_keras
from tumorlens.training.gradcam import grad_cam, last_spatial_layer

SIZE = 16


def made(form: str, folder: Path) -> Any:
    """Class 0 is how bright the picture is, class 1 the opposite; in each form that a Keras model has."""
    keras = import_keras()
    conv = keras.layers.Conv2D(1, 3, padding="same", kernel_initializer="ones")
    rest = [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(2, use_bias=False)]
    image = keras.Input((SIZE, SIZE, 1))
    if form == "functional":
        network = keras.Model(image, rest[1](rest[0](conv(image))))
    elif form in ("nested", "nested file"):
        network = keras.Sequential([image, keras.Sequential([keras.Input((SIZE, SIZE, 1)), conv]), *rest])
    else:
        network = keras.Sequential([image, conv, *rest])
    network.layers[-1].set_weights([np.array([[1.0, -1.0]], np.float32)])
    if form.endswith("file"):
        network.save(folder / "model.keras")
        return keras.models.load_model(folder / "model.keras", safe_mode=True)
    return network


@pytest.fixture
def corner() -> np.ndarray:
    images = np.zeros((2, SIZE, SIZE, 1), np.float32)
    images[0, 2:5, 2:5] = 1
    images[1, 10:13, 10:13] = 1
    return images


FORMS = ["sequential", "functional", "nested", "file", "nested file"]


@pytest.mark.parametrize("form", FORMS)
def test_the_map_lies_where_the_answer_comes_from(form: str, corner: np.ndarray, tmp_path: Path) -> None:
    network = made(form, tmp_path)
    found = grad_cam(network, corner, np.array([0, 0]))
    assert found.shape == (2, SIZE, SIZE)
    for one, centre in zip(found, ((3, 3), (11, 11)), strict=True):
        assert np.unravel_index(one.argmax(), one.shape) == centre
    assert (grad_cam(network, corner, np.array([1, 1])) == 0).all()


def test_nothing_of_the_model_is_changed(corner: np.ndarray, tmp_path: Path) -> None:
    network = made("nested", tmp_path)
    layer = last_spatial_layer(network)
    before, call = network.predict_on_batch(corner), layer.call
    grad_cam(network, corner, np.array([0, 1]))
    np.testing.assert_array_equal(network.predict_on_batch(corner), before)
    assert layer.call == call


def test_for_a_network_with_an_exact_map_it_is_that_map(corner: np.ndarray) -> None:
    """With global average pooling and one linear layer, Grad-CAM is the class-activation map but for bias and scale."""
    network = registry.build(ModelSettings(name="compact", width=8, dropout=0.0), 32, 3)
    images = np.random.default_rng(0).random((3, 32, 32, 1), np.float32)
    exact = network.predict_on_batch(images)["cam"]
    bias = network.get_layer("logits").get_weights()[1]
    found = grad_cam(network, images, np.array([0, 1, 2]), network.get_layer("features"))
    for i in range(3):
        expected = np.maximum(exact[i, :, :, i] - bias[i], 0)
        scale = found[i].max() / max(expected.max(), 1e-9)
        np.testing.assert_allclose(found[i], expected * scale, atol=1e-4 * max(found[i].max(), 1e-9))


def test_plain_has_a_map(corner: np.ndarray) -> None:
    network = registry.build(ModelSettings(name="plain", width=8, depth=2, dense=8), SIZE, 3)
    assert grad_cam(network, corner, np.array([0, 2])).shape == (2, 4, 4)
    assert grad_cam(network, corner[:0], np.array([], int)).shape[0] == 0


@pytest.mark.parametrize("form", ["sequential", "functional"])
def test_a_model_without_places_is_refused(form: str) -> None:
    """The picture that goes in has places, too, but is no layer's output."""
    keras = import_keras()
    image, layers = keras.Input((SIZE, SIZE, 1)), [keras.layers.Flatten(), keras.layers.Dense(2)]
    functional = form == "functional"
    network = keras.Model(image, layers[1](layers[0](image))) if functional else keras.Sequential([image, *layers])
    with pytest.raises(UsageError, match="places in the image"):
        grad_cam(network, np.zeros((1, SIZE, SIZE, 1), np.float32), np.array([0]))


def test_a_layer_of_another_model_is_refused(corner: np.ndarray, tmp_path: Path) -> None:
    stranger = last_spatial_layer(made("sequential", tmp_path))
    with pytest.raises(UsageError, match="never asks"):
        grad_cam(made("sequential", tmp_path), corner, np.array([0, 0]), stranger)
