"""What cannot be a slice gets no answer, whoever asks; what can be one is left to the gate."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tumorlens
from tumorlens import io
from tumorlens.cli.main import main
from tumorlens.data.phantom import make_slices
from tumorlens.data.phantom.sequences import other_mr_slices
from tumorlens.inference import Prediction
from tumorlens.inference.gate import Gate, shipped
from tumorlens.preprocess import Recipe, standardise
from tumorlens.preprocess.unfit import FEWEST_GREYS, Unfit, unfit

RECIPE = Recipe(size=64)


def why(pixels: np.ndarray) -> Unfit | None:
    pixels = pixels.astype(np.float32)
    return unfit(pixels, standardise(pixels, RECIPE))


@given(st.integers(2, 20), st.integers(0, 2**32 - 1))
def test_a_few_grey_values_are_no_slice(count: int, seed: int) -> None:
    """However rare some of them are, and with what is no number among them."""
    rng = np.random.default_rng(seed)
    values = np.unique(rng.normal(size=2 * count).astype(np.float32))[:count]
    pixels = rng.choice(values[:2], (96, 80))
    places = rng.choice(pixels.size, count + 2, replace=False)
    pixels.ravel()[places[:count]] = values
    pixels.ravel()[places[count:]] = np.nan, np.inf
    found = unfit(pixels, np.eye(64, dtype=np.uint8))
    assert found == (Unfit.FEW_GREYS if count < FEWEST_GREYS else None)


@pytest.mark.parametrize(
    ("rows", "columns", "found"),
    [
        (64, 64, None),
        (28, 28, None),
        (32, 128, None),
        (128, 32, None),
        (32, 129, Unfit.STRIP),
        (400, 99, Unfit.STRIP),
    ],
)
def test_strips_are_no_slices(rows: int, columns: int, found: Unfit | None) -> None:
    assert why(np.random.default_rng(0).integers(0, 256, (rows, columns))) == found


def test_blank_is_blank() -> None:
    assert why(np.full((64, 64), 7)) == Unfit.BLANK
    assert why(np.full((8, 640), np.nan)) == Unfit.BLANK


def test_drawn_heads_may_be_slices_and_their_masks_may_not(phantom_folder: Path) -> None:
    pictures = [made.image for made in (*make_slices(60, seed=93), *other_mr_slices(60, seed=94))]
    assert [why(one) for one in pictures] == [None] * len(pictures)
    masks = [io.read_slice(str(path)).pixels for path in sorted((phantom_folder / "masks").glob("*/*.png"))[::9]]
    assert masks
    assert all(why(one) == Unfit.FEW_GREYS for one in masks)


def real(shared: Path) -> Iterator[tuple[str, np.ndarray]]:
    """Slices of every kind of file and source; of volumes those that are not at their ends."""
    for folder in ("mixed_web", "figshare", "br35h_no"):
        files = sorted(path for path in (shared / folder).rglob("*.jpg") if "mask" not in str(path).lower())
        assert files
        for path in files[:: len(files) // 60]:
            yield str(path), io.read_slice(str(path)).pixels
    for path in sorted((shared / "dicom" / "t1w_head").iterdir()):
        yield str(path), io.read_slice(str(path)).pixels
    for path in sorted((shared / "nifti").glob("*.nii.gz")):
        slices = io.read(str(path))
        for item in slices[len(slices) // 4 : -len(slices) // 4 : 5]:
            yield item.id, item.pixels


def test_no_real_slice_is_caught(shared_data: Path) -> None:
    """But for the end of a series, which holds four grey values of noise, and which the gate refuses, too."""
    slices = dict(real(shared_data))
    caught = [name for name, pixels in slices.items() if why(pixels)]
    assert len(slices) > 200
    assert [Path(name).name for name in caught] == ["N2D_0377.dcm"]
    assert Gate.read(*shipped()).refuses(standardise(slices[caught[0]], Recipe(size=128))[np.newaxis]).all()


@pytest.fixture(scope="module")
def mask(phantom_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A mask whose name does not say so."""
    file = tmp_path_factory.mktemp("mistaken") / "a.png"
    shutil.copyfile(next((phantom_folder / "masks" / "glioma").glob("*.png")), file)
    return file


def test_every_way_to_ask_refuses_a_mask(mask: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = tumorlens.load()
    assert model.predictor.gate is not None
    asked = [model.predict(mask), model.predict(mask.read_bytes()), *model.predict_paths([str(mask)])]
    for answer in asked:
        assert isinstance(answer, Prediction)
        assert (answer.verdict, answer.predicted, answer.set) == ("not_brain_mri", None, None)
        assert "grey values" in str(answer.reason)
    assert main(["predict", str(mask), "--format", "json"]) == 0
    (entry,) = json.loads(capsys.readouterr().out)
    assert main(["predict", str(mask), "--out", str(tmp_path / "a.jsonl"), "--jobs", "1"]) == 0
    kept = json.loads((tmp_path / "a.jsonl").read_text())
    assert entry["reason"] == kept["reason"] == asked[0].reason  # type: ignore[union-attr]
    assert kept["verdict"] == "not_brain_mri"


def test_a_model_without_a_gate_refuses_it_too(finished_run: Path, mask: Path) -> None:
    model = tumorlens.load(finished_run)
    assert model.predictor.gate is None
    answer = model.predict(mask)
    assert isinstance(answer, Prediction)
    assert answer.verdict == "not_brain_mri"


def test_what_is_no_slice_is_not_scored(phantom_folder: Path, mask: Path, tmp_path: Path) -> None:
    """The same pictures get no answer in service; a second run, from the cache, says the same."""
    for number, label in enumerate(("glioma", "meningioma", "pituitary", "no_tumor") * 2):
        own = tmp_path / "data" / label
        own.mkdir(parents=True, exist_ok=True)
        source = sorted((phantom_folder / label).glob("*.png"))[number // 4]
        shutil.copyfile(source, own / f"{number}.png")
    shutil.copyfile(mask, tmp_path / "data" / "glioma" / "strange.png")
    noise = np.random.default_rng(0).integers(0, 256, (20, 200), np.uint8)
    cv2.imwrite(str(tmp_path / "data" / "glioma" / "strip.png"), noise)
    for out in ("first", "second"):
        scores = tumorlens.evaluate("default", tmp_path / "data", out=tmp_path / out)
        assert scores["n"] == 8
        assert sorted(item["code"] for item in scores["skipped"]) == ["few_greys", "strip"]
