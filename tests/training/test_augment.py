from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tumorlens.config import AugmentSettings
from tumorlens.preprocess.outlines import Outlines
from tumorlens.training import augment
from tumorlens.training.batches import Drawn, TrainingBatches

STILL = AugmentSettings(
    rotation=0, zoom=0, shift=0, shear=0, horizontal_flip=False, vertical_flip=False, gamma=0, brightness=0, contrast=0
)


def pictures(count: int = 8, size: int = 32) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, size, size)).astype(np.uint8)


def changed(count: int = 64, **settings: object) -> tuple[np.ndarray, np.ndarray]:
    import msgspec

    images = pictures(count)
    chosen = msgspec.structs.replace(STILL, **settings)
    return images, augment.apply(images, augment.draw(np.random.default_rng(1), count, chosen))


def test_a_mask_moves_with_its_picture() -> None:
    masks = np.zeros((40, 32, 32), np.uint8)
    masks[:, 8:14, 18:25] = 255
    images = np.repeat(np.repeat(masks, 4, axis=1), 4, axis=2)
    moves = AugmentSettings(vertical_flip=True, shear=10, gamma=0, brightness=0, contrast=0)
    changes = augment.draw(np.random.default_rng(3), len(masks), moves)
    moved, pictures = augment.move(masks, changes), augment.apply(images, changes)
    small = pictures.reshape(40, 32, 4, 32, 4).mean(axis=(2, 4))
    overlap = np.minimum(moved, small).sum(axis=(1, 2)) / np.maximum(moved, small).sum(axis=(1, 2))
    assert overlap.min() > 0.85


def test_masks_travel_in_the_batch_with_what_is_known() -> None:
    masks = np.zeros((25, 32, 32), np.uint8)
    masks[:, 8:20, 8:20] = 255
    known = np.arange(50) % 5 != 0
    outlines = Outlines(masks, np.where(np.arange(50) % 2, -1, np.arange(50) // 2), known)
    targets = np.eye(2, dtype=np.float32)[np.arange(50) % 2]
    made = TrainingBatches(
        pictures(50), targets, np.full(50, 2, np.float32), 50, AugmentSettings(enabled=False), 0, outlines, 8
    ).make(0, 0)
    assert isinstance(made[1], dict)
    assert isinstance(made[2], dict)
    assert made[1]["mask_logits"].shape == (50, 8, 8, 1)
    assert made[1]["mask_logits"][:, 3, 3, 0].tolist() == [float(i % 2 == 0) for i in range(50)]
    assert (made[2]["logits"] == 2).all()
    assert (made[2]["mask_logits"] == 2 * known).all()


def test_drawn_slices_teach_where_and_no_class() -> None:
    masks = np.full((20, 32, 32), 255, np.uint8)
    drawn = Drawn(np.full((20, 32, 32), 7, np.uint8), Outlines(masks, np.arange(20), np.ones(20, bool)))
    nowhere = Outlines(np.zeros((0, 32, 32), np.uint8), np.full(40, -1), np.zeros(40, bool))
    targets = np.eye(2, dtype=np.float32)[np.arange(40) % 2]
    batches = TrainingBatches(
        np.zeros((40, 32, 32), np.uint8),
        targets,
        np.full(40, 2, np.float32),
        20,
        AugmentSettings(enabled=False),
        0,
        nowhere,
        8,
        drawn=drawn,
    )
    assert batches.steps == 3
    seen = 0
    for images, named, counts in batches.epoch(0):
        assert isinstance(named, dict)
        assert isinstance(counts, dict)
        extra = images[:, 0, 0, 0] > 0
        seen += int(extra.sum())
        assert (named["logits"].sum(axis=1) == ~extra).all()
        assert (named["mask_logits"][extra] == 1).all()
        assert counts["logits"] == pytest.approx(np.where(extra, 0, 2 * 60 / 40)), "as much in all as without them"
        assert (counts["mask_logits"] == extra).all()
    assert seen == 20
    assert batches.plain_steps == 2
    assert all((batches.plain(0, step) == 0).all() for step in range(2)), "statistics are of real slices"


def test_nothing_asked_nothing_done() -> None:
    images, result = changed()
    assert (images == result).all()


def test_horizontal_flip_mirrors_about_half() -> None:
    images, result = changed(horizontal_flip=True)
    mirrored = [(r == i[:, ::-1]).all() for i, r in zip(images, result, strict=True)]
    same = [(r == i).all() for i, r in zip(images, result, strict=True)]
    assert all(a or b for a, b in zip(mirrored, same, strict=True))
    assert 16 < sum(mirrored) < 48


def test_vertical_flip_only_when_asked() -> None:
    images, result = changed(vertical_flip=True)
    flipped = [(r == i[::-1]).all() for i, r in zip(images, result, strict=True)]
    assert 16 < sum(flipped) < 48
    assert AugmentSettings().vertical_flip is False


def test_shift_moves_and_fills_with_air() -> None:
    images, result = changed(shift=0.25)
    assert (result == 0).mean() > 0.05
    assert not (images == result).all()


@pytest.mark.parametrize("name", ["rotation", "zoom", "shift", "shear", "gamma", "brightness", "contrast"])
def test_each_change_changes(name: str) -> None:
    images, result = changed(**{name: 0.2 if name not in ("rotation", "shear") else 15.0})
    assert (images != result).any()


def test_rotation_keeps_the_centre() -> None:
    image = np.zeros((1, 33, 33), np.uint8)
    image[0, 15:18, 15:18] = 200
    import msgspec

    chosen = msgspec.structs.replace(STILL, rotation=180.0)
    result = augment.apply(image, augment.draw(np.random.default_rng(3), 1, chosen))
    assert result[0, 16, 16] > 150


def test_air_stays_black_under_intensity_changes() -> None:
    parameters = augment.draw(np.random.default_rng(0), 200, AugmentSettings())
    assert (parameters.tables[:, 0] == 0).all()
    assert (np.diff(parameters.tables.astype(int), axis=1) >= 0).mean() > 0.99


@given(st.integers(0, 2**31), st.integers(1, 5))
@settings(max_examples=30, deadline=None)
def test_pure_and_repeatable(seed: int, count: int) -> None:
    images = pictures(count)
    before = images.copy()
    parameters = augment.draw(np.random.default_rng(seed), count, AugmentSettings(vertical_flip=True, shear=10.0))
    assert (augment.apply(images, parameters) == augment.apply(images, parameters)).all()
    assert (images == before).all()


def batches(seed: int = 0, **settings: object) -> TrainingBatches:
    targets = np.eye(4, dtype=np.float32)[np.arange(50) % 4]
    return TrainingBatches(pictures(50), targets, np.ones(50, np.float32), 16, AugmentSettings(), seed)


def test_a_batch_depends_only_on_seed_epoch_and_step() -> None:
    straight = list(batches().epoch(3))
    later = list(batches().epoch(3, first=2))
    assert len(straight) == 3
    assert all((a == b).all() for a, b in zip(straight[2], later[0], strict=True))
    assert (straight[0][0] != next(iter(batches().epoch(4)))[0]).any()
    assert (straight[0][0] != next(iter(batches(seed=1).epoch(3)))[0]).any()


def test_every_image_at_most_once_an_epoch() -> None:
    plain = TrainingBatches(
        np.arange(50, dtype=np.uint8)[:, None, None] * np.ones((1, 8, 8), np.uint8),
        np.zeros((50, 2), np.float32),
        np.ones(50, np.float32),
        16,
        AugmentSettings(enabled=False),
        0,
    )
    seen = [round(float(image[0, 0, 0]) * 255) for images, _, _ in plain.epoch(0) for image in images]
    assert len(seen) == len(set(seen)) == 48
