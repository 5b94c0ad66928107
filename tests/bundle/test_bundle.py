from __future__ import annotations

import json
import shutil
import zipfile
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

from tumorlens import bundle
from tumorlens.errors import EnvironmentFailure, ModelError
from tumorlens.evaluation.table import PredictionTable
from tumorlens.inference import Predictor


def test_a_run_folder_its_bundle_and_a_zip_of_it_are_one_model(finished_run: Path, tmp_path: Path) -> None:
    by_run, by_folder = bundle.load(finished_run), bundle.load(finished_run / "bundle")
    inner = Path(shutil.make_archive(str(tmp_path / "inner"), "zip", finished_run / "bundle"))
    outer = Path(shutil.make_archive(str(tmp_path / "outer"), "zip", finished_run, "bundle"))
    every = [by_run, by_folder, bundle.load(inner), bundle.load(outer)]
    assert len({item.sha256 for item in every}) == 1
    images = np.random.default_rng(0).integers(0, 255, (3, 48, 48)).astype(np.uint8)
    answers = [Predictor(item).run(images).probabilities for item in every]
    assert all((answers[0] == other).all() for other in answers)


def test_it_says_what_it_is_and_hashes_every_file(finished_run: Path) -> None:
    loaded = bundle.load(finished_run)
    assert loaded.info.labels == ("glioma", "meningioma", "no_tumor", "pituitary")
    assert set(loaded.info.outputs) == {"logits", "embedding", "cam"}
    assert set(loaded.info.files) == {"model.onnx", "metrics.json", "predictions.csv", "MODEL_CARD.md"}
    for name in loaded.info.files:
        assert loaded.read(name) == (finished_run / "bundle" / name).read_bytes()
    assert loaded.info.parity["max_relative_difference"] <= loaded.info.parity["max_abs_difference"] <= 1e-3
    assert loaded.info.parity["max_probability_difference"] <= 1e-4
    assert loaded.info.recipe.size == 48


def test_no_name_or_patient_travels_with_it(finished_run: Path) -> None:
    run = PredictionTable.read_csv(finished_run / "predictions.csv")
    travelling = (finished_run / "bundle" / "predictions.csv").read_text()
    assert not any(patient in travelling for patient in set(run.patients))
    assert not any(Path(name).name in travelling for name in run.ids)
    table = PredictionTable.read_csv(finished_run / "bundle" / "predictions.csv")
    # The same claims: as many rows, the same probabilities, the same partition into patients.
    assert sorted(map(tuple, table.probabilities.tolist())) == sorted(map(tuple, run.probabilities.tolist()))
    assert len(set(table.patients)) == len(set(run.patients))


def copy_of(finished_run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished_run / "bundle", tmp_path / "copy"))


def test_a_changed_network_is_refused(finished_run: Path, tmp_path: Path) -> None:
    copy = copy_of(finished_run, tmp_path)
    content = bytearray((copy / "model.onnx").read_bytes())
    content[len(content) // 2] ^= 1
    (copy / "model.onnx").write_bytes(content)
    with pytest.raises(ModelError, match="SHA-256"):
        bundle.load(copy)


@pytest.mark.parametrize(
    ("change", "code", "hint"),
    [
        ({"schema": 99}, "unknown_schema", "update tumorlens"),
        ({"schema": None}, "unknown_schema", "export"),
        ({"labels": 3}, "model", "export"),
    ],
)
def test_an_unknown_or_broken_description_is_refused(
    change: dict[str, object], code: str, hint: str, finished_run: Path, tmp_path: Path
) -> None:
    copy = copy_of(finished_run, tmp_path)
    info = json.loads((copy / "bundle.json").read_text())
    (copy / "bundle.json").write_text(json.dumps({**info, **change}))
    with pytest.raises(ModelError) as caught:
        bundle.load(copy)
    assert caught.value.code == code
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"labels": ["glioma", "no_tumor"]}, "4 classes, bundle.json 2"),
        ({"recipe": {"size": 64}}, "no images of 64"),
        ({"recipe": {"size": -3}}, "not complete"),
        ({"calibration": {"temperature": 0}}, "temperature is 0"),
        ({"calibration": {"temperature": "hot"}}, "temperature is 'hot'"),
        ({"calibration": {"temperature": 1.2, "n": "many"}}, "calibration cannot be read"),
        ({"conformal": {"alpha": 0.05, "quantiles": {"cat": 0.5}, "groups": {"cat": 9}}}, "differ by"),
        ({"selective": {"threshold": None}}, "selective cannot be read"),
        ({"outputs": ["logits", "embedding", "cam", "verdict"]}, "no output 'verdict'"),
    ],
)
def test_a_description_of_another_network_is_refused(
    change: dict[str, object], said: str, finished_run: Path, tmp_path: Path
) -> None:
    copy = copy_of(finished_run, tmp_path)
    info = json.loads((copy / "bundle.json").read_text())
    (copy / "bundle.json").write_text(json.dumps({**info, **change}))
    with pytest.raises(ModelError, match=said):
        Predictor(bundle.load(copy))


def test_a_damaged_zip_is_refused(finished_run: Path, tmp_path: Path) -> None:
    whole = Path(shutil.make_archive(str(tmp_path / "m"), "zip", finished_run / "bundle")).read_bytes()
    damaged = tmp_path / "damaged.zip"
    refused = 0
    for start in range(40, len(whole), len(whole) // 40):
        damaged.write_bytes(whole[:start] + b"\xff" * 30 + whole[start + 30 :])
        try:
            loaded = bundle.load(damaged)
            for name in loaded.info.files:
                loaded.read(name)
        except ModelError:
            refused += 1
    assert refused > 30  # a few bytes of a zip (dates, rights) mean nothing


def test_another_preprocessing_is_refused(finished_run: Path, tmp_path: Path) -> None:
    copy = copy_of(finished_run, tmp_path)
    info = json.loads((copy / "bundle.json").read_text())
    info["recipe"]["algorithm"] = 99
    (copy / "bundle.json").write_text(json.dumps(info))
    with pytest.raises(ModelError, match="preprocessing 99"):
        bundle.load(copy)


def test_what_is_not_a_model(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("readme.txt", "hello")
    (tmp_path / "text").write_text("hello")
    for path, said in (
        ("empty", "no bundle.json"),
        ("other.zip", "no bundle.json"),
        ("text", "not a bundle"),
        ("none", "no model"),
    ):
        with pytest.raises(ModelError, match=said):
            bundle.load(tmp_path / path)


def test_without_a_shipped_model_the_default_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources, "files", lambda package: tmp_path)
    with pytest.raises(ModelError) as caught:
        bundle.load(None)
    assert caught.value.exit_code == 3
    assert "tumorlens train" in caught.value.hint


def test_replacing_a_bundle_leaves_no_half(finished_run: Path, tmp_path: Path) -> None:
    copy = copy_of(finished_run, tmp_path)
    loaded = bundle.load(copy)
    bundle.write_bundle(copy, loaded.info, {"model.onnx": loaded.model})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy"]
    assert set(bundle.load(copy).info.files) == {"model.onnx"}


def test_a_bundle_that_cannot_be_replaced_stays(
    finished_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = copy_of(finished_run, tmp_path)
    loaded = bundle.load(copy)
    rename = Path.rename

    def refuse_the_new_one(self: Path, target: Path) -> Path:
        if Path(target) == copy and self.name != "old":
            raise OSError(5, "Input/output error")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refuse_the_new_one)
    with pytest.raises(EnvironmentFailure, match="cannot write to"):
        bundle.write_bundle(copy, loaded.info, {"model.onnx": loaded.model})
    assert bundle.load(copy).sha256 == loaded.sha256
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy"]
