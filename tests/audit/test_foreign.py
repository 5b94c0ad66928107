from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from tumorlens.audit.appearance import NAMES, appearance
from tumorlens.audit.foreign import foreign, unusual
from tumorlens.audit.look import look
from tumorlens.audit.marks import marks
from tumorlens.audit.orientation import turn
from tumorlens.data.manifest import Row
from tumorlens.io import FileFacts

RNG = np.random.default_rng(0)
GREY = FileFacts("png", 30_000, 256, 256, 1, 8, saturation=0.0, coloured=0.0)


def photo(seed: int) -> np.ndarray:
    """Bright to the edge, blotches of all sizes: uint8 (256, 256)."""
    rng = np.random.default_rng(seed)
    layers = [cv2.resize(rng.random((n, n)).astype(np.float32), (256, 256)) for n in (3, 9, 40)]
    return (60 + 180 * np.mean(layers, axis=0)).astype(np.uint8)


def with_extra(given, pictures: list[np.ndarray], facts: list[FileFacts] | None = None):
    looks = np.concatenate([given.looks, [look(np.asarray(picture, np.float32)) for picture in pictures]])
    rows = [*given.rows, *(Row(f"extra{i}.png") for i in range(len(pictures)))]
    return looks, [*given.facts, *(facts or [GREY] * len(pictures))], rows


def test_a_clean_set_has_next_to_none(phantom_set):
    assert len(foreign(phantom_set.looks, phantom_set.facts, phantom_set.rows)) <= 0.01 * len(phantom_set.looks)


def test_photographs_stand_out(phantom_set):
    count = len(phantom_set.looks)
    found = foreign(*with_extra(phantom_set, [photo(i) for i in range(10)]))
    hit = {item.row: item for item in found if item.row >= count}
    assert len(hit) == 10
    assert all(item.kind == "outlier" and item.score > 1 and "unlike the rest" in item.reason for item in hit.values())


def test_the_least_usual_are_those_next_to_the_limit(phantom_set):
    looks, facts, rows = with_extra(phantom_set, [photo(i) for i in range(3)])
    numbers = appearance(looks)
    strange = foreign(looks, facts, rows, numbers)
    found = unusual(numbers, strange)
    assert len(found) == 12
    assert {item.kind for item in found} == {"unusual"}
    assert not {item.row for item in found} & {item.row for item in strange}
    assert [item.score for item in found] == sorted((item.score for item in found), reverse=True)
    # A stranger that nobody has called foreign comes first.
    assert {item.row for item in unusual(numbers, [])[:3]} == {len(rows) - 3, len(rows) - 2, len(rows) - 1}
    assert unusual(numbers[:20], []) == []


def test_copies_made_brighter_until_they_clip_are_not_foreign(phantom_set):
    count = len(phantom_set.looks)
    bright = [np.minimum(item.image.astype(np.float32) * 1.5, 255) for item in phantom_set.slices[:60:5]]
    found = foreign(*with_extra(phantom_set, bright))
    assert not [item for item in found if item.row >= count]


def test_a_blank_slice_is_called_blank(phantom_set):
    count = len(phantom_set.looks)
    faint = np.zeros((256, 256), np.uint8)
    faint[100, 100:110] = 200
    found = {item.row: item for item in foreign(*with_extra(phantom_set, [np.zeros((64, 64)), faint]))}
    assert found[count].kind == found[count + 1].kind == "blank"


def test_a_blank_slice_of_a_volume_is_found_by_its_own_values():
    noise = [RNG.normal(500, 200, (64, 64)).astype(np.float32) for _ in range(8)] + [
        RNG.normal(3, 1, (64, 64)).astype(np.float32)
    ]
    looks = np.array([look(pixels) for pixels in noise])
    rows = [Row("a.nii", i, series="a.nii") for i in range(9)]
    found = foreign(looks, [FileFacts("nifti", 1000)] * 9, rows)
    assert [(item.row, item.kind) for item in found] == [(8, "blank")]


def test_colour_comes_from_the_facts(phantom_set):
    facts = list(phantom_set.facts)
    facts[7] = replace(facts[7], saturation=0.2, coloured=0.6)
    facts[8] = replace(facts[8], saturation=0.004)  # grey stored as colour in a JPEG
    found = [item for item in foreign(phantom_set.looks, facts, phantom_set.rows) if item.kind == "colour"]
    assert [item.row for item in found] == [7]
    assert "60.0" in found[0].reason


@pytest.fixture
def head() -> np.ndarray:
    picture = np.zeros((400, 400), np.uint8)
    cv2.ellipse(picture, (200, 200), (110, 140), 0, 0, 360, 120, -1)
    return cv2.GaussianBlur(picture, (0, 0), 1.5)


def test_writing_beside_the_head_is_seen(head: np.ndarray):
    assert len(marks(head)) == 0
    written = head.copy()
    cv2.putText(written, "SMITH 12", (5, 20), cv2.FONT_HERSHEY_SIMPLEX, 0.5, 220, 1)
    assert len(marks(written)) >= 1
    assert look(written.astype(np.float32))["marks"] >= 1


def test_noise_in_the_air_and_pieces_of_the_head_are_no_writing(head: np.ndarray):
    noisy = np.clip(head + np.abs(np.random.default_rng(1).normal(0, 12, head.shape)), 0, 255).astype(np.uint8)
    assert len(marks(noisy)) == 0
    cv2.ellipse(head, (200, 350), (20, 5), 0, 0, 360, 200, -1)  # just below it
    assert len(marks(head)) == 0


def test_turning_changes_nothing(phantom_set):
    looks = phantom_set.looks[:4].copy()
    straight = appearance(looks)
    assert straight.shape == (4, len(NAMES))
    for number in range(1, 8):
        looks["picture"] = [turn(picture, number) for picture in phantom_set.looks["picture"][:4]]
        np.testing.assert_allclose(appearance(looks), straight, atol=1e-3)


def test_a_handful_is_not_judged_by_each_other(phantom_set):
    few = phantom_set.looks[:20]
    assert foreign(few, phantom_set.facts[:20], phantom_set.rows[:20]) == []
