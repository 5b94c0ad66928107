from __future__ import annotations

from pathlib import Path

import numpy as np

from tumorlens.data import read
from tumorlens.io import read_slice
from tumorlens.preprocess.plane import PLANES, UNSURE, guess_planes
from tumorlens.preprocess.recipe import Recipe, standardise


def test_blank_pictures_get_no_plane() -> None:
    assert guess_planes(np.zeros((2, 64, 64), np.uint8)) == [UNSURE] * 2
    assert guess_planes(np.zeros((0, 64, 64), np.uint8)) == []


def test_mirrored_slices_lie_in_the_same_plane(shared_data: Path) -> None:
    images = np.stack([standardise(read_slice(str(path)).pixels, Recipe()) for path in _some(shared_data)])
    assert guess_planes(images) == guess_planes(images[:, :, ::-1])


def test_axial_volumes_are_found_axial(shared_data: Path) -> None:
    manifest = read(f"mask:glioma={shared_data / 'brain_tumor_progression'}")
    images = np.stack([standardise(read_slice(row.path, row.frame).pixels, Recipe()) for row in manifest.rows[::4]])
    guessed = guess_planes(images)
    assert guessed.count("axial") > 0.95 * len(guessed)


def test_every_plane_is_found(shared_data: Path) -> None:
    images = np.stack([standardise(read_slice(str(path)).pixels, Recipe()) for path in _some(shared_data)])
    assert set(PLANES) <= set(guess_planes(images))


def _some(shared_data: Path) -> list[Path]:
    return sorted((shared_data / "figshare" / "images" / "pituitary").glob("*.jpg"))[::40]
