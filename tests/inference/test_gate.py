"""The gate: brain MRI gets an answer, everything else gets none."""

from __future__ import annotations

import tomllib
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest

import tumorlens
from tumorlens import bundle, io
from tumorlens.bundle.info import GATE
from tumorlens.cli.main import main
from tumorlens.config import EvaluateSettings
from tumorlens.data.phantom import make_slices
from tumorlens.data.phantom.ct import ct_slices
from tumorlens.data.phantom.sequences import other_mr_slices
from tumorlens.errors import InputError, ModelError
from tumorlens.inference import Prediction, Predictor, SeriesPrediction
from tumorlens.inference.gate import Gate, shipped, small
from tumorlens.inference.series import SeriesSum
from tumorlens.pipeline.gating import gate_for
from tumorlens.pipeline.reporter import Reporter
from tumorlens.preprocess import Recipe, standardise

ROOT = Path(__file__).parents[2]
RECIPE = tomllib.loads((ROOT / "recipes" / "default-data.toml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def gate() -> Gate:
    return Gate.read(*shipped())


def shown(pictures: list[np.ndarray], recipe: Recipe | None = None) -> np.ndarray:
    return np.stack([standardise(one.astype(np.float32), recipe or Recipe(size=128)) for one in pictures])


@pytest.fixture(scope="module")
def heads() -> list[np.ndarray]:
    """Drawn heads of a seed that the gate has not learned from."""
    return [made.image for made in make_slices(120, seed=90)]


@pytest.fixture(scope="module")
def gated(finished_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle of a run whose input is too small for a gate, with one that still refuses noise."""
    loaded = bundle.load(finished_run)
    network, rejection = shipped()
    files = {name: loaded.read(name) for name in loaded.info.files}
    info = msgspec.structs.replace(loaded.info, rejection={**rejection, "threshold": 1.0})
    folder = tmp_path_factory.mktemp("gated") / "bundle"
    bundle.write_bundle(folder, info, {**files, GATE: network})
    return folder


@pytest.mark.parametrize(
    "recipe", [Recipe(size=64), Recipe(size=192), Recipe(kind="plain", size=128)], ids=["64", "192", "plain"]
)
def test_drawn_brain_mri_passes_in_every_recipe(gate: Gate, heads: list[np.ndarray], recipe: Recipe) -> None:
    assert gate.refuses(shown(heads, recipe)).mean() <= 0.02


def test_other_sequences_and_brains_without_a_skull_pass(gate: Gate) -> None:
    assert gate.refuses(shown([made.image for made in other_mr_slices(120, seed=92)])).mean() <= 0.1


def test_the_same_heads_in_a_ct_scanner_are_refused(gate: Gate) -> None:
    assert gate.refuses(shown([made.image for made in ct_slices(120, seed=91)])).mean() >= 0.75


def test_noise_and_shapes_are_refused(gate: Gate) -> None:
    rng = np.random.default_rng(0)
    page = np.full((256, 256), 250, np.uint8)
    for row in range(20, 250, 20):
        cv2.putText(page, "Invoice 4711, payable at once", (8, row), cv2.FONT_HERSHEY_SIMPLEX, 0.5, 10, 1)
    disc = cv2.circle(np.zeros((256, 256), np.uint8), (128, 128), 90, 200, -1)
    ramp = np.tile(np.arange(256, dtype=np.uint8), (256, 1))
    noise = rng.integers(0, 256, (256, 256)).astype(np.uint8)
    assert gate.refuses(shown([page, disc, ramp, noise])).all()


def test_screenshots_are_refused_also_with_a_head_in_them(gate: Gate) -> None:
    """Of our own page, whose pictures show the phantom; it learned from none."""
    files = sorted((ROOT / "docs" / "images" / "web").glob("*.png"))
    assert len(files) >= 10
    assert gate.refuses(shown([io.read_slice(str(path)).pixels for path in files])).all()


@pytest.mark.parametrize("folder", ["photos", "chest_xray", "medical_mnist/Hand", "medical_mnist/CXR"])
def test_real_pictures_of_something_else_are_refused(gate: Gate, shared_data: Path, folder: str) -> None:
    files = sorted((shared_data / "not_brain_mri" / folder).iterdir())
    images = shown([io.read_slice(str(path)).pixels for path in files])
    assert gate.refuses(images).mean() >= 0.95


@pytest.mark.parametrize(("kind", "least"), [("HeadCT", 0.6), ("AbdomenCT", 0.8), ("ChestCT", 0.9), ("BreastMRI", 0.8)])
def test_other_scans_are_refused(gate: Gate, shared_data: Path, kind: str, least: float) -> None:
    """It learned from these kinds; what it does with kinds that it has not seen is measured by ``scripts/gate``."""
    files = sorted((shared_data / "not_brain_mri" / "medical_mnist" / kind).iterdir())
    assert len(files) >= 50
    assert gate.refuses(shown([io.read_slice(str(path)).pixels for path in files])).mean() >= least


def test_dicom_of_other_kinds_is_refused_by_its_pixels_too(gate: Gate, shared_data: Path) -> None:
    images = []
    for path in sorted((shared_data / "dicom" / "not_brain_mr").glob("*.dcm")):
        with suppress(InputError):
            images += [item.pixels for item in io.read(str(path))]
    assert len(images) >= 10
    assert gate.refuses(shown(images)).mean() >= 0.9


def test_slices_of_every_source_pass(gate: Gate, shared_data: Path) -> None:
    """Head CT among them, told by eye, left out."""
    ct = {stem for entry in RECIPE["source"] for stem in entry.get("ct", "").split()}
    for pattern, step in (("mixed_web/*/*.jpg", 1), ("br35h_no/*.jpg", 9), ("figshare/images/*/*.jpg", 9)):
        files = [path for path in sorted(shared_data.glob(pattern)) if path.stem not in ct][::step]
        assert len(files) > 100
        assert gate.refuses(shown([io.read_slice(str(path)).pixels for path in files])).mean() <= 0.02, pattern


def test_real_slices_pass_with_and_without_a_skull(gate: Gate, shared_data: Path) -> None:
    middle = io.read(str(shared_data / "nifti" / "MR_Gd.nii.gz"))[40:120:8]
    scan = [io.read_slice(str(path)) for path in sorted((shared_data / "dicom" / "t1w_head").iterdir())][6:18]
    tumours = [io.read_slice(str(path)) for path in islice((shared_data / "figshare").glob("*/*/*.jpg"), 0, 200, 4)]
    for slices in (middle, scan, tumours):
        assert gate.refuses(shown([item.pixels for item in slices])).mean() <= 0.1


def test_no_pictures_and_small_ones(gate: Gate) -> None:
    assert gate.logits(np.zeros((0, 40, 40), np.uint8)).shape == (0,)
    assert small(np.zeros((2, 40, 40), np.uint8)).shape == (2, 64, 64)


def test_a_refused_picture_gets_no_class_no_set_and_no_map(gated: Path, tmp_path: Path) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (200, 200)).astype(np.uint8)
    picture = tmp_path / "noise.png"
    cv2.imwrite(str(picture), noise)
    model = tumorlens.load(gated)
    answer = model.predict(picture)
    assert isinstance(answer, Prediction)
    entry = answer.as_dict()
    assert entry["verdict"] == "not_brain_mri"
    assert entry["predicted"] is entry["set"] is entry["map"] is None
    assert "brain MRI" in entry["reason"]
    (again,) = model.predict_paths([str(picture)], map_folder=tmp_path / "maps")
    assert isinstance(again, Prediction)
    assert again.map is None
    assert list((tmp_path / "maps").iterdir()) == []


def test_every_format_says_so(gated: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = tmp_path / "noise.png"
    cv2.imwrite(str(picture), np.random.default_rng(1).integers(0, 256, (200, 200)).astype(np.uint8))
    for form in ("table", "json", "jsonl", "csv"):
        assert main(["predict", str(picture), "--model", str(gated), "--format", form]) == 0
        assert "not_brain_mri" in capsys.readouterr().out


def test_a_series_stands_on_the_slices_that_are_brain(gated: Path, heads: list[np.ndarray]) -> None:
    model = tumorlens.load(gated)
    rng = np.random.default_rng(2)
    noise = [rng.integers(0, 256, (200, 200)).astype(np.float32) for _ in range(3)]

    def whole(pictures: list[np.ndarray]) -> SeriesPrediction:
        slices = [
            tumorlens.Slice(one.astype(np.float32), "v", frame=i, series="v", position=float(i))
            for i, one in enumerate(pictures)
        ]
        answers = list(model.predictor.predict_slices(slices))
        made = SeriesSum(answers[0])
        for answer in answers:
            made.add(answer)
        return made.answer()

    brain = list(model.predictor.predict_slices(tumorlens.Slice(one.astype(np.float32), "a") for one in heads[:4]))
    mixed = whole([*heads[:4], *noise])
    assert mixed.answered == ("v#0", "v#1", "v#2", "v#3")
    assert len(mixed.slices) == 7
    assert mixed.verdict is None
    for name, value in mixed.probabilities.items():
        assert value == pytest.approx(np.mean([answer.probabilities[name] for answer in brain]), abs=1e-6)
    foreign = whole([heads[0], *noise])
    assert foreign.predicted is None
    assert foreign.as_dict()["verdict"] == "not_brain_mri"
    assert foreign.aside == {"not_brain_mri": 3}
    assert "of 4 slices only 1" in str(foreign.reason)


def test_data_that_the_gate_knows_give_the_model_one(heads: list[np.ndarray]) -> None:
    assert gate_for(shown(heads), 128, EvaluateSettings(), Reporter()) == shipped()
    small_ones = shown(heads, Recipe(size=48))
    assert gate_for(small_ones, 48, EvaluateSettings(), Reporter()) == (b"", None)
    assert gate_for(shown(heads)[:0], 128, EvaluateSettings(), Reporter()) == shipped()


@pytest.mark.parametrize("rejection", [{}, {"threshold": "high"}])
def test_a_rejection_that_cannot_be_read_is_refused(gated: Path, rejection: dict[str, object]) -> None:
    loaded = bundle.load(gated)
    with pytest.raises(ModelError, match="rejection"):
        Predictor(replace(loaded, info=msgspec.structs.replace(loaded.info, rejection=rejection)))


def test_data_that_the_gate_does_not_know_leave_the_model_without_one() -> None:
    told: list[str] = []

    class Tell(Reporter):
        def warn(self, message: str) -> None:
            told.append(message)

    foreign = np.random.default_rng(3).integers(0, 256, (20, 96, 96)).astype(np.uint8)
    assert gate_for(foreign, 96, EvaluateSettings(), Tell()) == (b"", None)
    assert "100%" in told[0]
    assert gate_for(foreign, 96, EvaluateSettings(gate=False), Reporter()) == (b"", None)
