"""Tumour masks on their way to training: framed like their slices, kept, and what is done with bad ones."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from tumorlens import data, io
from tumorlens.data.manifest import Manifest, Row
from tumorlens.preprocess import Recipe
from tumorlens.preprocess.cache import Standardised, standardise_all
from tumorlens.preprocess.outlines import Outlines, outline_all

RECIPE = Recipe(size=64)


def ready(rows: list[Row], folder: Path) -> Standardised:
    return standardise_all(Manifest(tuple(rows)), RECIPE, folder)


def head() -> np.ndarray:
    """Something round, with noise as in a scan."""
    picture = np.zeros((64, 64), np.uint8)
    cv2.circle(picture, (32, 32), 28, 90, -1)
    cv2.circle(picture, (22, 32), 8, 200, -1)
    return picture + np.random.default_rng(0).integers(0, 20, picture.shape, np.uint8)


def every(outlines: Outlines) -> np.ndarray:
    return outlines.of(range(len(outlines.place)))


@pytest.fixture
def slices(phantom_folder: Path, tmp_path: Path) -> Standardised:
    rows = data.read(str(phantom_folder / "manifest.csv")).rows[::24]
    assert {row.label for row in rows} >= {"glioma", "no_tumor"}
    return ready(list(rows), tmp_path)


def test_every_tumour_has_its_mask_and_every_healthy_slice_an_empty_one(slices: Standardised, tmp_path: Path) -> None:
    found = outline_all(slices, RECIPE, 16, tmp_path)
    tumour = np.array([row.label != "no_tumor" for row in slices.manifest])
    assert found.known.all()
    assert ((found.place >= 0) == tumour).all()
    assert (every(found).any(axis=(1, 2)) == tumour).all()
    assert found.problems == ()


def test_masks_are_read_once(slices: Standardised, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = outline_all(slices, RECIPE, 16, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(io, "read_mask", lambda *_: pytest.fail("read again"))
        again = outline_all(slices, RECIPE, 16, tmp_path)
    assert (every(again) == every(first)).all()
    assert (again.known == first.known).all()
    (kept,) = tmp_path.glob("masks-*.npz")
    kept.write_bytes(kept.read_bytes()[:200])  # damaged: made again
    assert (every(outline_all(slices, RECIPE, 16, tmp_path)) == every(first)).all()
    assert outline_all(slices, RECIPE, 8, tmp_path).of([0]).shape == (1, 8, 8)


def test_a_mask_that_changes_is_read_again(tmp_path: Path) -> None:
    image, mask = tmp_path / "a.png", tmp_path / "a_mask.png"
    picture = head()
    cv2.imwrite(str(image), picture)
    rows = [Row(id="a", path=str(image), label="glioma", mask=str(mask))]
    sides = []
    for x in (20, 44):
        drawn = np.zeros_like(picture)
        cv2.circle(drawn, (x, 32), 8, 255, -1)
        cv2.imwrite(str(mask), drawn)
        shares = outline_all(ready(rows, tmp_path), RECIPE, 16, tmp_path).of([0])[0]
        sides.append(shares[:, :8].sum() > shares[:, 8:].sum())
    assert sides == [True, False]


def test_what_cannot_be_used_is_named_and_not_taken_for_healthy(tmp_path: Path) -> None:
    picture = head()
    masks = {"broken": None, "empty": np.zeros((64, 64), np.uint8), "wide": np.full((32, 64), 255, np.uint8)}
    rows = [Row(id="healthy", path=str(tmp_path / "healthy.png"), label="no_tumor")]
    rows += [Row(id="bare", path=str(tmp_path / "bare.png"), label="glioma")]
    for name, content in masks.items():
        mask = tmp_path / f"{name}_mask.png"
        mask.write_bytes(b"no image") if content is None else cv2.imwrite(str(mask), content)
        rows.append(Row(id=name, path=str(tmp_path / f"{name}.png"), label="glioma", mask=str(mask)))
    for number, row in enumerate(rows):
        picture[0, 0] = number  # no two files are the same
        cv2.imwrite(row.path, picture)
    found = outline_all(ready(rows, tmp_path), RECIPE, 16, tmp_path)
    assert found.known.tolist() == [True, False, False, False, False]
    assert not every(found).any()
    assert [problem.path for problem in found.problems] == list(masks)
    assert not list(tmp_path.glob("masks-*")), "what may be put right is not kept"


def test_a_healthy_slice_may_bring_an_empty_mask(tmp_path: Path) -> None:
    """It teaches that there is nothing to find; one that is not empty contradicts the label."""
    rows = []
    for number, (name, label) in enumerate([("h", "no_tumor"), ("g", "glioma"), ("odd", "no_tumor")]):
        picture, mask = head(), np.zeros((64, 64), np.uint8)
        picture[0, 0] = number
        if name != "h":
            cv2.circle(mask, (22, 32), 8, 255, -1)
        for file, content in ((f"{name}.png", picture), (f"{name}_mask.png", mask)):
            cv2.imwrite(str(tmp_path / file), content)
        rows.append(
            Row(id=name, path=str(tmp_path / f"{name}.png"), label=label, mask=str(tmp_path / f"{name}_mask.png"))
        )
    for _ in range(2):  # made, then kept
        found = outline_all(ready(rows[:2], tmp_path), RECIPE, 16, tmp_path)
        assert (found.known.tolist(), found.place.tolist(), found.problems) == ([True, True], [-1, 0], ())
        assert every(found).any(axis=(1, 2)).tolist() == [False, True]
        assert len(list(tmp_path.glob("masks-*"))) == 1
    found = outline_all(ready(rows, tmp_path), RECIPE, 16, tmp_path)
    assert (found.known.tolist(), found.place.tolist()) == ([True, True, False], [-1, 0, -1])
    assert [problem.path for problem in found.problems] == ["odd"]
