"""The model that ships: there, small, honest, made by the committed recipe, and right where it must not be wrong."""

from __future__ import annotations

import csv
import hashlib
import json
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest

from tumorlens import bundle, config, io
from tumorlens.audit.grouping import variants
from tumorlens.bundle.info import GATE, INT8
from tumorlens.cli.main import main
from tumorlens.data.phantom import make_slices
from tumorlens.evaluation import PredictionTable
from tumorlens.inference import Prediction, Predictor, SeriesPrediction
from tumorlens.inference.engines import ENGINES
from tumorlens.pipeline import rescoring
from tumorlens.pipeline.model import Model, load
from tumorlens.pipeline.verifying import verify
from tumorlens.pipeline.verifying.of_bundle import settings_of
from tumorlens.pipeline.verifying.refitting import FITTING
from tumorlens.report.card import model_card

ROOT = Path(__file__).resolve().parents[2]
LARGEST = 8 * 2**20


def test_it_is_small_and_complete() -> None:
    loaded = bundle.load("default")
    assert loaded.info.labels == ("glioma", "meningioma", "no_tumor", "pituitary")
    assert {"model.onnx", INT8, GATE, "metrics.json", "predictions.csv", "MODEL_CARD.md"} == set(loaded.info.files)
    assert sum(path.stat().st_size for path in loaded.where.iterdir()) <= LARGEST
    for part in ("calibration", "conformal", "selective", "series", "rejection"):
        assert getattr(loaded.info, part) is not None
    assert not loaded.info.caution


def test_the_card_names_every_source_with_its_licence_and_says_whose_scores_they_are() -> None:
    loaded = bundle.load("default")
    card = loaded.read("MODEL_CARD.md").decode()
    for source in tomllib.loads((ROOT / "recipes" / "default-data.toml").read_text(encoding="utf-8"))["source"]:
        for fact in ("title", "licence"):
            assert source[fact].replace("_", "\\_").split("(")[0] in card.replace("\\(", "(")
    assert "Out of fold, 5 folds" in card
    metrics = json.loads(loaded.read("metrics.json"))
    assert metrics["out_of_fold"]["folds"] == 5
    assert {"figshare", "mixed_web"} <= set(metrics["subgroups"]["source"])


def test_it_was_made_by_the_committed_recipe() -> None:
    recipe = config.load(ROOT / "recipes" / "default.toml")
    info = bundle.load("default").info
    assert info.recipe.size == recipe.preprocess.size
    assert info.training["model"] == recipe.model.name
    assert info.training["epochs"] == recipe.train.epochs
    assert info.training["seed"] == recipe.seed
    written = bundle.load("default").read("MODEL_CARD.md").decode().split("```toml")[1].split("```")[0]
    assert config.from_dict(tomllib.loads(written)) == recipe


def test_every_engine_was_compared_on_real_slices() -> None:
    engines = bundle.load("default").info.exports["int8"]["engines"]
    assert set(engines) == set(ENGINES) - {"onnxruntime"}
    assert engines["openvino"]["max_probability_difference"] < 1e-4
    assert all(one["same_class"] >= 0.98 for one in engines.values())


@pytest.mark.parametrize("engine", ["onnxruntime-int8", "openvino-int8"])
def test_it_answers_in_8_bit_integers_as_it_does_in_full(engine: str) -> None:
    images = [made.image for made in make_slices(12, seed=9)]
    usual, quick = load("default"), load("default", engine=engine)
    for image in images:
        one, other = usual.predict(image), quick.predict(image)
        assert isinstance(one, Prediction)
        assert isinstance(other, Prediction)
        assert max(abs(one.probabilities[k] - other.probabilities[k]) for k in one.probabilities) < 0.1


def test_its_scores_follow_from_its_answers() -> None:
    assert [check.name for check in verify("default") if check.ok is False] == []


def test_the_same_without_what_later_versions_say_of_series_holds_as_well(tmp_path: Path) -> None:
    """Earlier versions fitted nothing but the share where patients of a class were few."""
    loaded = bundle.load("default")
    files = {name: loaded.read(name) for name in loaded.info.files}
    stored, settings = json.loads(files["metrics.json"]), settings_of(loaded)
    table, temperatures = PredictionTable.of_bundle(loaded), stored["calibration"]["temperatures"]
    trust = Predictor(loaded).trust
    stored["series"] = rescoring.after_crossval(table, temperatures, trust, settings, bare=True)["series"]
    del stored["series"]["always"]
    files |= {"metrics.json": json.dumps(stored).encode()}
    files |= {"MODEL_CARD.md": model_card(stored, config.to_toml(settings)).encode()}
    bare = {"share": 0.25, "calibration": None, "conformal": None, "selective": None}
    bundle.write_bundle(tmp_path / "bare", msgspec.structs.replace(loaded.info, series=bare), files)
    assert [check for check in verify(tmp_path / "bare") if check.ok is False] == []
    bare["share"] = 0.5
    bundle.write_bundle(tmp_path / "bare", msgspec.structs.replace(loaded.info, series=bare), files)
    assert [check.name for check in verify(tmp_path / "bare") if check.ok is False] == [FITTING]


@pytest.mark.shared
def test_no_patient_of_figshare_lies_in_two_of_its_folds(shared_data: Path) -> None:
    """Nor do ids that differ by a letter, which are very likely one patient."""
    table = PredictionTable.of_bundle(bundle.load("default"))
    fold_of = dict(zip(table.ids, table.folds, strict=True))
    folder = shared_data / "figshare"
    folds: dict[str, set[str]] = defaultdict(set)
    with (folder / "index.csv").open() as file:
        for row in csv.DictReader(file):
            digest = hashlib.sha256((folder / row["image"]).read_bytes()).hexdigest()
            if (name := bundle.slice_hash(digest, None)) in fold_of:
                folds[row["patient"]].add(fold_of[name])
    assert len(folds) > 200
    assert all(len(found) == 1 for found in folds.values())
    joined = variants(folds).values()
    assert len(joined) > 10
    assert all(len(set.union(*(folds[one] for one in ids))) == 1 for ids in joined)


def test_predict_needs_no_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "drawn.png"
    cv2.imwrite(str(path), next(iter(make_slices(1, seed=8))).image)
    assert main(["predict", str(path), "--format", "json"]) == 0
    (entry,) = json.loads(capsys.readouterr().out)
    assert entry["model"]["name"] == "default"
    assert entry["verdict"] in ("accepted", "uncertain")
    assert entry["set"] is not None


def test_what_is_no_brain_gets_no_class(model: Model, shared_data: Path) -> None:
    photos = sorted((shared_data / "not_brain_mri" / "photos").iterdir())[:20]
    found = model.predict(photos)
    assert isinstance(found, list)
    refused = [one.verdict == "not_brain_mri" for one in found if isinstance(one, Prediction)]
    assert sum(refused) >= 19


def known(folder: Path) -> Iterator[tuple[str, Path]]:
    for name in ("glioma", "meningioma", "pituitary"):
        for path in sorted((folder / "figshare" / "images" / name).iterdir())[:400:20]:
            yield name, path


def test_the_class_map_is_exact_on_real_slices(model: Model, shared_data: Path) -> None:
    """Its mean is the logit, with the bias in every place (Zhou et al., CVPR 2016)."""
    found = model.predict([path for _, path in known(shared_data)][::4])
    assert isinstance(found, list)
    images = np.stack([one.image for one in found if isinstance(one, Prediction)])
    outputs = model.predictor.run(images)
    assert outputs.activation is not None
    np.testing.assert_allclose(outputs.activation.mean(axis=(1, 2)), outputs.logits, atol=1e-4)


def test_it_names_the_tumours_that_it_learned_from(model: Model, shared_data: Path) -> None:
    """No score: these were trained on. It tells a broken file or recipe from a working one."""
    names, paths = zip(*known(shared_data), strict=True)
    found = model.predict(list(paths))
    assert isinstance(found, list)
    right = [one.predicted == name for one, name in zip(found, names, strict=True) if isinstance(one, Prediction)]
    assert np.mean(right) >= 0.9


def test_a_healthy_series_is_called_healthy_and_stands_on_its_slices(model: Model, shared_data: Path) -> None:
    *_, whole = model.predict_paths([str(shared_data / "dicom" / "t1w_head")])
    assert isinstance(whole, SeriesPrediction)
    assert whole.predicted == "no_tumor"
    assert set(whole.supporting) <= set(whole.answered) < set(whole.slices)
    # There are too few healthy series to say how often one is taken for another.
    assert whole.verdict == "uncertain"
    assert whole.set is not None
    assert "no_tumor" in whole.set


def test_every_door_gives_the_same_answer(model: Model, shared_data: Path) -> None:
    _, path = next(iter(known(shared_data)))
    one = model.predict(path)
    other = model.predict(io.read_slice(str(path)))
    assert isinstance(one, Prediction)
    assert isinstance(other, Prediction)
    assert one.probabilities == pytest.approx(other.probabilities, abs=1e-6)
