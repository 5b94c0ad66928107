"""``guided`` from masks in the manifest to the map of an answer."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest

import tumorlens
from tumorlens import config, data
from tumorlens.errors import DataError
from tumorlens.inference import Prediction, maps
from tumorlens.pipeline.training import train

SETTINGS = config.load(
    None,
    [
        "preprocess.size=48",
        "model.name=guided",
        "model.width=8",
        "train.epochs=2",
        "evaluate.bootstrap=100",
        "evaluate.flip_average=true",
        "data.audit=copies",
        "augment.twins=0.2",
        "augment.transplants=0.3",
    ],
)


@pytest.fixture(scope="module")
def run(phantom_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    # Every other tumour comes without its mask: both kinds train together.
    manifest = data.read(str(phantom_folder / "manifest.csv"))
    mixed = manifest.with_rows(replace(row, mask="" if i % 2 else row.mask) for i, row in enumerate(manifest))
    folder = tmp_path_factory.mktemp("guided") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TUMORLENS_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        return train(mixed, settings=SETTINGS, out=folder).folder


def test_the_bundle_answers_with_a_mask(run: Path, phantom_folder: Path) -> None:
    model = tumorlens.load(run)
    assert model.info.outputs == ("logits", "embedding", "cam", "mask")
    image = next(row.path for row in data.read(str(phantom_folder / "manifest.csv")) if row.label == "glioma")
    answer = model.predict(image)
    assert isinstance(answer, Prediction)
    assert answer.mask is not None
    assert answer.activation is not None
    assert answer.mask.shape == (12, 12)
    logits = model.predictor.run(answer.image[np.newaxis]).logits[0]
    assert answer.activation.mean() == pytest.approx(logits.max(), abs=1e-4), "the activation map is exact"
    shown = model.map(answer)
    assert (shown == maps.enlarge(answer.mask, 48)).all()
    assert shown.max() <= max(1.1 * float(answer.mask.max()), 0.01), "a faint map stays faint"


def test_the_mirrored_slice_has_the_mirrored_map(run: Path, phantom_folder: Path) -> None:
    model = tumorlens.load(run)  # averages a slice and its mirror image
    picture = cv2.imread(str(next((phantom_folder / "meningioma").rglob("*.png"))), cv2.IMREAD_GRAYSCALE)
    assert picture is not None
    there, mirrored = (
        model.predictor.run(cv2.resize(p, (48, 48))[np.newaxis]).mask for p in (picture, picture[:, ::-1])
    )
    assert there is not None
    assert mirrored is not None
    assert mirrored[:, :, ::-1] == pytest.approx(there, abs=1e-5)


def test_the_run_says_what_it_learned_from(run: Path) -> None:
    training = json.loads((run / "metrics.json").read_text())["training"]
    log = (run / "log.txt").read_text()
    assert f"masks: {training['masks']} of" in log
    assert 0 < training["masks"] < 150
    assert set(training["edits"]) == {"twins", "transplants", "decoys of tumours", "decoys of tumour-free slices"}
    assert all(0 < one["made"] <= one["tried"] for one in training["edits"].values())
    twins = training["edits"]["twins"]
    assert f"twins {twins['made'] / twins['tried']:.0%} of {twins['tried']}" in log
    assert (run / "history.csv").read_text().splitlines()[0].endswith(",mask_loss")
    assert "map of the same slice" in (run / "report.html").read_text()


def test_drawn_masks_stand_in_for_those_that_are_missing(
    phantom_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUMORLENS_CACHE", str(tmp_path / "cache"))
    manifest = data.read(str(phantom_folder / "manifest.csv"))
    # Tumours of a kind that is never drawn.
    bare = manifest.with_rows(
        replace(row, mask="", label="astrocytoma" if row.label == "glioma" else row.label) for row in manifest
    )
    settings = config.load(
        None,
        [
            *("preprocess.size=48", "model.name=guided", "model.width=8", "train.epochs=1", "train.drawn=40"),
            *("evaluate.bootstrap=100", "evaluate.report=false", "data.audit=copies"),
        ],
    )
    made = train(bare, settings=settings, out=tmp_path / "run")
    training = made.metrics["training"]
    assert (training["masks"], training["drawn"]) == (0, 40)
    assert "drawn slices: 40, with masks" in (made.folder / "log.txt").read_text()
    assert len(data.read(str(made.folder / "manifest.csv"))) == len(bare), "they are no slices of the data"
    model = tumorlens.load(made.folder)
    assert "astrocytoma" in model.info.labels
    assert "mask" in model.info.outputs
    with pytest.raises(DataError, match=r"augment\.twins and augment\.transplants learn from"):
        train(bare, settings={"augment": {"twins": 0.1}, "train": {"drawn": 40}}, out=tmp_path / "other")


def test_without_a_single_mask_it_says_what_to_do(phantom_folder: Path, tmp_path: Path) -> None:
    manifest = data.read(str(phantom_folder / "manifest.csv"))
    bare = manifest.with_rows(replace(row, mask="") for row in manifest)
    settings = msgspec.structs.replace(SETTINGS, train=msgspec.structs.replace(SETTINGS.train, epochs=1))
    with pytest.raises(DataError, match="no training slice has one") as caught:
        train(bare, settings=settings, out=tmp_path / "run")
    assert caught.value.code == "no_mask"
