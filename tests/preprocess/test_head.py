"""The head is found, also in pictures that a scanner has spoilt."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from tumorlens.data.phantom import make_slices
from tumorlens.preprocess import Recipe, standardise
from tumorlens.preprocess.corrupting import Picture, corrupt, unit_picture
from tumorlens.preprocess.head import head_box, head_mask

Box = tuple[int, int, int, int]
FIRST = {"border": False}  # algorithm 1


@pytest.fixture(scope="module")
def pictures() -> list[Picture]:
    return [unit_picture(made.image) for made in make_slices(24, seed=61)]


def scout(picture: Picture) -> np.ndarray:
    scale = 128 / max(picture.shape)
    shape = (round(picture.shape[1] * scale), round(picture.shape[0] * scale))
    return cv2.resize(picture, shape, interpolation=cv2.INTER_AREA)


def overlap(a: Box, b: Box) -> float:
    """Intersection over union."""
    rows = max(0, min(a[1], b[1]) - max(a[0], b[0]))
    columns = max(0, min(a[3], b[3]) - max(a[2], b[2]))
    areas = sum((box[1] - box[0]) * (box[3] - box[2]) for box in (a, b))
    return rows * columns / (areas - rows * columns)


@pytest.mark.parametrize("kind", ["spike", "gamma_high"])
def test_the_head_is_found_where_a_fixed_threshold_misses_it(pictures: list[Picture], kind: str) -> None:
    found: dict[str, list[float]] = {"first": [], "second": []}
    for number, picture in enumerate(pictures):
        whole = head_box(scout(picture), 0.02, **FIRST)
        spoilt = scout(corrupt(picture, kind, 3, np.random.default_rng(number)))
        found["first"].append(overlap(whole, head_box(spoilt, 0.02, **FIRST)))
        found["second"].append(overlap(whole, head_box(spoilt, 0.02)))
    assert np.mean(found["second"]) > 0.92
    assert np.mean(found["second"]) > np.mean(found["first"]) + 0.03


@pytest.mark.parametrize("kind", ["noise", "bias_field", "ghosting"])
def test_it_is_still_found_where_that_was_enough(pictures: list[Picture], kind: str) -> None:
    spoilt = [scout(corrupt(picture, kind, 3, np.random.default_rng(n))) for n, picture in enumerate(pictures)]
    clean = [head_box(scout(picture), 0.02) for picture in pictures]
    assert np.mean([overlap(a, head_box(b, 0.02)) for a, b in zip(clean, spoilt, strict=True)]) > 0.92


def test_clean_pictures_are_cropped_as_before(pictures: list[Picture]) -> None:
    boxes = [(head_box(scout(picture), 0.02), head_box(scout(picture), 0.02, **FIRST)) for picture in pictures]
    assert np.mean([overlap(*pair) for pair in boxes]) > 0.97


def test_a_picture_filled_by_the_head_is_not_cropped(pictures: list[Picture]) -> None:
    for picture in pictures:
        top, bottom, left, right = head_box(scout(picture), 0.0)
        rows, columns = (bottom - top) // 5, (right - left) // 5
        inside = scout(picture)[top + rows : bottom - rows, left + columns : right - columns]
        assert head_box(inside, 0.02) == (0, inside.shape[0], 0, inside.shape[1])


def test_nothing_stands_out() -> None:
    flat = np.full((40, 60), 7, np.float32)
    assert head_box(flat, 0.02) == (0, 40, 0, 60)
    assert not head_mask(flat).any()


def test_bundles_of_the_first_algorithm_see_what_they_saw(pictures: list[Picture]) -> None:
    first, second = Recipe(algorithm=1), Recipe()
    spoilt = [corrupt(picture, "spike", 3, np.random.default_rng(n)) for n, picture in enumerate(pictures)]
    differ = [(standardise(one, first) != standardise(one, second)).mean() for one in spoilt]
    assert np.mean(differ) > 0.2
    assert first.key != second.key
