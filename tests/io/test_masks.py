"""Where a mask is true: a hard one where it is not zero, a soft one above half."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from tumorlens import io


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """Writes frames (N, H, W) as one file and reads each of them as a mask."""
    path = tmp_path_factory.mktemp("masks") / "m.npz"

    def read(frames: np.ndarray) -> np.ndarray:
        np.savez(path, masks=frames)
        return np.stack([io.read_mask(f"{path}!masks", frame) for frame in range(len(frames))])

    return read


SHAPE = st.tuples(st.integers(2, 4), st.just(4), st.just(4))


@given(st.data())
@settings(deadline=None)
def test_every_frame_of_a_mask_is_cut_where_the_whole_file_says(kept, draw):
    def frames(dtype, values):
        return draw.draw(arrays.arrays(dtype, draw.draw(SHAPE), elements=values))

    parts = frames(np.uint8, st.integers(0, 16))
    np.testing.assert_array_equal(kept(parts), parts != 0)
    np.testing.assert_array_equal(kept(parts.astype(np.float32)), parts != 0)
    soft = frames(np.float32, st.integers(0, 100).map(lambda part: part / 100))
    np.testing.assert_array_equal(kept(soft), soft > 0.5)
    grey = frames(np.uint8, st.integers(0, 255))
    grey[0, 0, 0] = 255
    np.testing.assert_array_equal(kept(grey), grey > 127)


def test_numbered_tumours_all_count(kept):
    numbered = np.zeros((2, 4, 4), np.uint8)
    numbered[0, 0], numbered[1, 2] = (1, 2, 17, 30), (5, 5, 0, 1)
    np.testing.assert_array_equal(kept(numbered), numbered != 0)
    percent = np.arange(101, dtype=np.uint8)[:100].reshape(1, 10, 10)  # too many different ones for tumours
    np.testing.assert_array_equal(kept(percent), percent > 49.5)


def ball(size):
    """A soft ball (size, size, size) from 0 to 1; in its end slices nothing comes near 1."""
    at = np.abs(np.arange(size) - size // 2)
    distance = np.sqrt(at[:, None, None] ** 2 + at[None, :, None] ** 2 + at[None, None, :] ** 2)
    return np.clip(np.exp(-((distance / size * 4) ** 2)), 0, 1)


@pytest.mark.parametrize(("top", "dtype"), [(1, np.float32), (255, np.uint8), (4, np.float32)])
def test_the_tails_of_a_soft_volume_are_no_tumour(top, dtype, tmp_path):
    nibabel = pytest.importorskip("nibabel")
    volume = (ball(15) * top).astype(dtype)
    nibabel.save(nibabel.Nifti1Image(volume, np.eye(4)), tmp_path / "m.nii.gz")
    assert volume[:, :, 0].max() > 0
    found = [io.read_mask(str(tmp_path / "m.nii.gz"), frame) for frame in range(15)]
    assert not found[0].any() and not found[-1].any()
    assert sum(map(np.count_nonzero, found)) == np.count_nonzero(volume > volume.max() / 2)


def test_a_single_soft_picture(tmp_path):
    Image.fromarray(np.array([[0, 0.01, 0.4, 0.6, 1]], np.float32)).save(tmp_path / "m.tif")
    assert io.read_mask(str(tmp_path / "m.tif"))[0].tolist() == [False, False, False, True, True]


def test_labels_that_a_scaled_file_rounds_are_labels(tmp_path):
    nibabel = pytest.importorskip("nibabel")
    labels = np.random.default_rng(0).choice([0, 1, 2, 4], (6, 6, 3)).astype(np.float32)
    labels[0, 0, 0] = 4
    image = nibabel.Nifti1Image(labels, np.eye(4))
    image.set_data_dtype(np.int16)
    nibabel.save(image, tmp_path / "m.nii.gz")
    assert 1 not in io.read_slice(str(tmp_path / "m.nii.gz"), 0).pixels
    found = [io.read_mask(str(tmp_path / "m.nii.gz"), frame) for frame in range(3)]
    assert [np.count_nonzero(one) for one in found] == np.count_nonzero(labels, axis=(0, 1)).tolist()


def test_a_mask_that_was_written_anew_is_read_anew(kept):
    assert kept(np.array([[[0, 1]], [[0, 0]]], np.uint8)).any()
    assert not kept(np.array([[[0, 1]], [[0, 255]]], np.uint8))[0].any()
