from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tumorlens.config import AugmentSettings
from tumorlens.training import artefacts, augment
from tumorlens.training.artefacts import Artefacts

STRAIGHT = np.linspace(0, 1, 6, dtype=np.float32)
NO_BIAS = np.zeros((3, 3), np.float32)


def head(size: int = 64) -> np.ndarray:
    rows, columns = np.indices((size, size))
    inside = (rows - size / 2) ** 2 + (columns - size / 2) ** 2 < (0.4 * size) ** 2
    return np.where(inside, 120 + 40 * np.sin(columns / 3), 0).astype(np.uint8)


def test_nothing_asked_nothing_done() -> None:
    assert (artefacts.apply(head(), Artefacts(NO_BIAS, STRAIGHT)) == head()).all()
    assert artefacts.draw(np.random.default_rng(0), 50, 0) == [None] * 50


@given(st.integers(0, 10_000))
@settings(max_examples=50, deadline=None)
def test_applying_is_pure_and_the_head_stays_a_head(seed: int) -> None:
    (drawn,) = artefacts.draw(np.random.default_rng(seed), 1, 1.0)
    assert drawn is not None
    picture = head()
    once, twice = artefacts.apply(picture, drawn), artefacts.apply(picture, drawn)
    assert (once == twice).all()
    assert (picture == head()).all()
    assert once.shape == picture.shape
    inside = picture > 0
    # A spike is everywhere, so that air is not dark any more.
    assert once[inside].mean() > (1 if drawn.spike else 2) * once[~inside].mean()


def test_each_kind_does_what_it_is_called() -> None:
    picture = head().astype(np.float32)
    made = {
        "bias": Artefacts(np.array([[0.5, 0, -0.5]] * 3, np.float32), STRAIGHT),
        "curve": Artefacts(NO_BIAS, STRAIGHT**2),
        "blur": Artefacts(NO_BIAS, STRAIGHT, sharpness=1.5),
        "sharp": Artefacts(NO_BIAS, STRAIGHT, sharpness=-1.0),
        "ghost": Artefacts(NO_BIAS, STRAIGHT, ghosts=2, ghost_axis=1, ghost_strength=0.2),
        "noise": Artefacts(NO_BIAS, STRAIGHT, noise=0.05, noise_seed=1),
    }
    done = {name: artefacts.apply(head(), one).astype(np.float32) for name, one in made.items()}
    left, right = done["bias"][:, :32].sum(), done["bias"][:, 32:].sum()
    assert left > 1.2 * right
    assert done["curve"][32, 32] == pytest.approx(picture[32, 32] ** 2 / 255, abs=12)
    assert np.abs(np.diff(done["blur"][32, 20:44])).max() < np.abs(np.diff(picture[32, 20:44])).max()
    assert np.abs(np.diff(done["sharp"][32, 20:44])).max() > np.abs(np.diff(picture[32, 20:44])).max()
    assert done["ghost"][32, 0] > 10 > picture[32, 0]
    assert 5 < done["noise"][:8, :8].mean() < 25  # Rician: never negative, so brighter than nothing


def test_a_spike_is_one_wrong_point_of_k_space() -> None:
    """The stripes are those that the Fourier transform of the whole picture gives."""
    picture = head().astype(np.float32) / 255
    space = np.fft.fft2(picture)
    space[5, 9] += 1.5 * np.abs(space).max()
    expected = np.abs(np.fft.ifft2(space))
    np.testing.assert_allclose(artefacts._striped(picture, 1.5, (5, 9)), expected, atol=1e-4)
    done = artefacts.apply(head(), Artefacts(NO_BIAS, STRAIGHT, spike=1.5, wave=(5, 9)))
    assert np.ptp(done) == 255  # black and white are found again
    assert np.corrcoef(done.ravel(), expected.ravel())[0, 1] > 0.99


def test_elastic_bends_pictures_and_their_masks_alike() -> None:
    still = AugmentSettings(
        rotation=0, zoom=0, shift=0, horizontal_flip=False, gamma=0, brightness=0, contrast=0, elastic=0.02
    )
    pictures = np.repeat(head()[np.newaxis], 6, axis=0)
    changes = augment.draw(np.random.default_rng(0), 6, still)
    bent, moved = augment.apply(pictures, changes), augment.move(pictures, changes)
    assert (bent == moved).all()
    assert all(0.01 < (one != head()).mean() < 0.9 for one in bent)
    assert all(abs(int((one > 0).sum()) - int((head() > 0).sum())) < 400 for one in bent)


def test_what_is_drawn_without_them_does_not_depend_on_them() -> None:
    plain = augment.draw(np.random.default_rng(5), 8, AugmentSettings())
    more = augment.draw(np.random.default_rng(5), 8, AugmentSettings(elastic=0.01, artefacts=0.5))
    assert (plain.matrices == more.matrices).all()
    assert (plain.tables == more.tables).all()
    assert plain.fields is None
    assert more.fields is not None
