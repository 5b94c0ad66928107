"""Tumours that are taken out and put in: what changes, what does not, and what the label says then."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tumorlens.config import AugmentSettings
from tumorlens.preprocess.outlines import Outlines
from tumorlens.training import implants
from tumorlens.training.batches import TrainingBatches
from tumorlens.training.implants import COVERED, GRAFTED, TRANSPLANTS, TWINS, Implants

SIZE, COUNT, HEALTHY = 64, 24, 1


def made(twins: float = 0.5, transplants: float = 0.5) -> Implants:
    """Round heads; the first half with a bright disc, their class 0 or 2, the others healthy and a little darker."""
    rng = np.random.default_rng(0)
    rows, columns = np.indices((SIZE, SIZE))
    head = (rows - 32) ** 2 + (columns - 32) ** 2 < 29**2
    images, masks, place = np.zeros((COUNT, SIZE, SIZE), np.uint8), [], np.full(COUNT, -1)
    for i in range(COUNT):
        level = 120 if i < COUNT // 2 else 90
        picture = np.where(head, rng.normal(level, 3, (SIZE, SIZE)), 0)
        if i < COUNT // 2:
            row, column = rng.integers(22, 42, 2)
            disc = (rows - row) ** 2 + (columns - column) ** 2 < 5**2
            picture[disc] = 220
            place[i] = len(masks)
            masks.append(disc * np.uint8(255))
        images[i] = picture.clip(0, 255)
    classes = np.where(np.arange(COUNT) < COUNT // 2, np.arange(COUNT) % 2 * 2, HEALTHY)
    outlines = Outlines(np.stack(masks), place, np.ones(COUNT, bool))
    return Implants(images, outlines, classes, HEALTHY, np.array(["axial"] * COUNT), twins, transplants)


@given(st.integers(0, 10_000))
@settings(max_examples=40, deadline=None)
def test_label_mask_and_picture_agree(seed: int) -> None:
    source = made()
    chosen = np.arange(COUNT)
    images, masks, classes, _ = source.change(np.random.default_rng(seed), chosen)
    bright = (images > 160).sum(axis=(1, 2))
    for i in range(COUNT):
        if classes[i] == HEALTHY:
            assert not masks[i].any()
            assert bright[i] < 10, "no tumour is left"
        else:
            assert (masks[i] > 127).sum() > 40
            assert images[i][masks[i] > 127].mean() > 150, "the mask lies on the tumour"
    untouched = ~implants.grown(masks.any(axis=0), 30)
    assert untouched.any()


def test_everything_happens_and_the_source_stays_as_it_is() -> None:
    source = made()
    before = source.images.copy()
    changed = dict.fromkeys((TWINS, COVERED, TRANSPLANTS, GRAFTED), 0)
    counted = {kind: np.zeros(2, int) for kind in changed}
    for seed in range(20):
        images, _, classes, tally = source.change(np.random.default_rng(seed), np.arange(COUNT))
        edited = (images != before).any(axis=(1, 2))
        tumour = source.classes != HEALTHY
        changed[TWINS] += int((tumour & (classes == HEALTHY)).sum())
        changed[COVERED] += int((tumour & edited & (classes == source.classes)).sum())
        changed[TRANSPLANTS] += int((~tumour & (classes != HEALTHY)).sum())
        changed[GRAFTED] += int((~tumour & edited & (classes == HEALTHY)).sum())
        for kind, counts in tally.items():
            counted[kind] += counts
    assert (source.images == before).all()
    assert min(changed.values()) > 30, changed
    assert {kind: made for kind, (_, made) in counted.items()} == changed
    # Every slice is asked for an edit here, half of them with a tumour; none comes off more often than it is tried.
    assert sum(tried for tried, _ in counted.values()) == 20 * COUNT
    assert all(made <= tried for tried, made in counted.values())


def test_a_decoy_of_a_tumour_free_slice_is_a_transplant_without_the_tumour() -> None:
    source = made(0, 0.5)
    images, half = np.array(source.images), COUNT // 2
    # Heads with a tumour are coarse, the others smooth: so an edit shows where its tissue comes from.
    coarse = np.random.default_rng(1).normal(120, 25, images[:half].shape).clip(40, 200)
    images[:half] = np.where(images[:half] > 160, 255, np.where(images[:half] > 0, coarse, 0))
    source = Implants(images, source.outlines, source.classes, HEALTHY, source.planes, 0, 0.5)
    spread = []
    for seed in range(10):
        edited, _, classes, _ = source.change(np.random.default_rng(seed), np.arange(half, COUNT))
        for now, before, label in zip(edited, images[half:], classes, strict=True):
            inside = ~implants.grown(~implants.grown(now != before, 1), 4)
            if label == HEALTHY and inside.any():
                assert (now > 180).sum() == 0, "no tumour came along"
                spread.append(now[inside].std())
    assert len(spread) > 10
    # As coarse as it was, but for the brightness: a transplant's tissue is not smoothed either.
    assert np.median(spread) == pytest.approx(25 * 90 / 120, rel=0.15)


def test_a_share_of_zero_changes_nothing() -> None:
    source = made(0, 0)
    images, masks, classes, tally = source.change(np.random.default_rng(0), np.arange(COUNT))
    assert tally == {}
    assert (images == source.images).all()
    assert (masks == source.outlines.of(range(COUNT))).all()
    assert (classes == source.classes).all()


def test_tumours_stay_in_their_plane() -> None:
    source = made(0, 0.5)
    planes = np.array(["axial"] * (COUNT // 2) + ["sagittal"] * (COUNT // 2))
    other = Implants(source.images, source.outlines, source.classes, HEALTHY, planes, 0, 0.5)
    for seed in range(10):
        assert (other.change(np.random.default_rng(seed), np.arange(COUNT))[2] == source.classes).all()


def test_tissue_takes_on_the_brightness_around_it() -> None:
    source = made()
    image, tissue = source.images[0], source.images[-1]
    region = implants.grown(source.outlines.of([0])[0] > 127, 3)
    covered, misfit = implants.blended(image, tissue, region, match_spread=True)
    assert abs(float(covered[region].mean()) - 120) < 6
    assert misfit < 2
    far = ~implants.grown(region, 8)
    assert (covered[far] == image[far]).all()


@pytest.mark.parametrize(("down", "right"), [(0, 0), (3, -5), (-7, 2), (64, 0)])
def test_moving_moves(down: int, right: int) -> None:
    picture = np.arange(SIZE * SIZE).reshape(SIZE, SIZE) + 1
    there = implants.moved(picture, down, right)
    if abs(down) < SIZE:
        back = implants.moved(there, -down, -right)
        assert (back[back > 0] == picture[back > 0]).all()
        assert (back > 0).sum() == (SIZE - abs(down)) * (SIZE - abs(right))
    else:
        assert not there.any()


def test_batches_hold_them_and_depend_only_on_seed_epoch_and_step() -> None:
    source = made()
    targets = np.eye(3, dtype=np.float32)[source.classes]
    batches = TrainingBatches(
        source.images, targets, np.ones(COUNT, np.float32), 12, AugmentSettings(), 0, source.outlines, 16, source
    )
    one, two = batches.make(2, 1), batches.make(2, 1)
    assert (one[0] == two[0]).all()
    assert isinstance(one[1], dict)
    healthy = one[1]["logits"][:, HEALTHY] == 1
    assert (one[1]["mask_logits"].max(axis=(1, 2, 3)) > 0).tolist() == (~healthy).tolist()
    seen = np.concatenate([batches.make(epoch, step)[1]["logits"] for epoch in range(6) for step in range(2)])  # type: ignore[index]
    assert (seen.argmax(axis=1) == HEALTHY).mean() == pytest.approx(0.5, abs=0.15)


def test_a_slice_counts_as_its_new_class_does() -> None:
    source = made()
    targets = np.eye(3, dtype=np.float32)[source.classes]
    of_class = np.array([3.0, 1.0, 2.0], np.float32)
    batches = TrainingBatches(
        source.images, targets, of_class[source.classes], 12, AugmentSettings(), 0, source.outlines, 16, source
    )
    changed = 0
    for epoch in range(4):
        _, classes, weights = batches.make(epoch, 0)
        assert isinstance(classes, dict)
        assert isinstance(weights, dict)
        assert weights["logits"] == pytest.approx(of_class[classes["logits"].argmax(axis=1)])
        assert weights["mask_logits"] == pytest.approx(weights["logits"])
        changed += sum(made for kind, (_, made) in batches.edits.pop((epoch, 0)).items() if "decoys" not in kind)
    assert changed > 5
    assert not batches.edits
