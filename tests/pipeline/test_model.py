"""The same slice through every door gives the same answer."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

import tumorlens
from tumorlens.errors import InputError, UsageError
from tumorlens.inference import Failure, Prediction, SeriesPrediction
from tumorlens.pipeline.model import Model


@pytest.fixture(scope="module")
def model(finished_run: Path) -> Model:
    return tumorlens.load(finished_run)


@pytest.fixture(scope="module")
def picture(phantom_folder: Path) -> Path:
    return sorted((phantom_folder / "glioma").glob("*.png"))[0]


def close(a: dict[str, float], b: dict[str, float]) -> bool:
    return a.keys() == b.keys() and all(abs(a[name] - b[name]) <= 1e-6 for name in a)


def test_path_bytes_array_slice_list_and_command_line_agree(model: Model, picture: Path, finished_run: Path) -> None:
    by_path = model.predict(str(picture))
    assert isinstance(by_path, Prediction)
    assert by_path.predicted in model.labels
    assert sum(by_path.probabilities.values()) == pytest.approx(1)
    array = cv2.imread(str(picture), cv2.IMREAD_GRAYSCALE)
    others = [
        model.predict(picture.read_bytes()),
        model.predict(array),
        model.predict(np.repeat(array[..., None], 3, axis=2)),
        model.predict(tumorlens.Slice(array.astype(np.float32), "s")),
        *model.predict([picture, array])[-2:],  # type: ignore[index]
    ]
    assert all(close(by_path.probabilities, other.probabilities) for other in others)  # type: ignore[union-attr]
    command = [
        sys.executable,
        "-m",
        "tumorlens",
        "predict",
        str(picture),
        "--model",
        str(finished_run),
        "--format",
        "json",
    ]
    (entry,) = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    assert close(by_path.probabilities, entry["probabilities"])
    assert {**entry, "ms": 0, "probabilities": 0} == {**by_path.as_dict(), "ms": 0, "probabilities": 0}


def test_a_batch_gives_what_single_slices_give(model: Model, phantom_folder: Path) -> None:
    paths = sorted(phantom_folder.glob("*/*.png"))[:40]
    together = model.predict(paths)
    assert isinstance(together, list)
    for path, answer in list(zip(paths, together, strict=True))[::7]:
        assert close(model.predict(path).probabilities, answer.probabilities)  # type: ignore[union-attr]


def test_the_contract_fields_are_there_and_the_later_ones_null(model: Model, picture: Path) -> None:
    entry = model.predict(picture).as_dict()  # type: ignore[union-attr]
    assert list(entry) == [
        "id", "path", "frame", "predicted", "probabilities", "set", "verdict", "reason", "map", "model", "ms",
    ]  # fmt: skip
    assert entry["set"] is entry["verdict"] is entry["reason"] is entry["map"] is None
    assert set(entry["model"]) == {"name", "version", "sha256"}


def test_a_volume_gets_an_answer_for_the_series(model: Model, tmp_path: Path) -> None:
    nibabel = pytest.importorskip("nibabel")
    volume = np.random.default_rng(0).integers(0, 900, (60, 50, 5)).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(volume, np.diag([1.0, 1.0, 5.0, 1.0])), tmp_path / "head.nii.gz")
    answers = model.predict(tmp_path / "head.nii.gz")
    assert isinstance(answers, list)
    assert len(answers) == 6
    series = answers[-1]
    assert isinstance(series, SeriesPrediction)
    assert len(series.slices) == 5
    for name in model.labels:
        assert series.probabilities[name] == pytest.approx(np.mean([a.probabilities[name] for a in answers[:5]]))  # type: ignore[union-attr]
    assert [a.id for a in model.predict_paths([str(tmp_path)])] == [a.id for a in answers]  # type: ignore[union-attr]


def test_unusable_inputs_are_answers_in_a_list_and_errors_alone(model: Model, picture: Path, tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("hello")
    with pytest.raises(InputError):
        model.predict(tmp_path / "text.jpg")
    answers = model.predict([tmp_path / "text.jpg", picture, tmp_path / "none.png", b""])
    assert isinstance(answers, list)
    assert [type(answer) for answer in answers] == [Failure, Prediction, Failure, Failure]
    assert [a.error.code for a in answers if isinstance(a, Failure)] == ["not_an_image", "not_found", "empty"]
    with pytest.raises(InputError, match="expected numbers"):
        model.predict(np.zeros((2, 3, 4, 5)))
    with pytest.raises(UsageError):
        model.predict(3)  # type: ignore[arg-type]


def test_maps_are_written_one_per_slice(model: Model, phantom_folder: Path, tmp_path: Path) -> None:
    paths = [str(path) for path in sorted((phantom_folder / "pituitary").glob("*.png"))[:3]]
    answers = list(model.predict_paths(paths, map_folder=tmp_path / "maps"))
    written = [Path(str(answer.map)) for answer in answers]  # type: ignore[union-attr]
    assert len(set(written)) == 3
    for path in written:
        picture = cv2.imread(str(path))
        assert picture.shape == (48, 48, 3)
        assert np.ptp(picture.astype(int), axis=2).max() > 0  # coloured somewhere


def test_evaluate_agrees_with_the_runs_own_scores(finished_run: Path) -> None:
    said = json.loads((finished_run / "metrics.json").read_text())["test"]
    again = tumorlens.evaluate(finished_run, finished_run / "manifest.csv")
    assert again["accuracy"] == said["accuracy"]
    assert again["nll"] == pytest.approx(said["nll"])
    assert again["confusion"] == said["confusion"]
