from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from tumorlens.audit import clusters, orientation
from tumorlens.audit.look import LOOK, look
from tumorlens.data.phantom import make_slices

KINDS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "same": lambda p: p,
    "jpeg": lambda p: cv2.imdecode(cv2.imencode(".jpg", p, [cv2.IMWRITE_JPEG_QUALITY, 60])[1], 0),
    "smaller": lambda p: cv2.resize(p, (160, 160), interpolation=cv2.INTER_AREA),
    "hflip": lambda p: p[:, ::-1],
    "vflip": lambda p: p[::-1],
    "rot90": lambda p: np.rot90(p),
    "rot180": lambda p: np.rot90(p, 2),
    "rot270": lambda p: np.rot90(p, 3),
    "transpose": lambda p: p.T,
    "transverse": lambda p: np.rot90(p, 2).T,
    "contrast": lambda p: np.clip((p.astype(float) - p.mean()) * 1.3 + p.mean(), 0, 255).astype(np.uint8),
    "clahe": lambda p: cv2.createCLAHE(2.0, (8, 8)).apply(p),
    "gamma": lambda p: np.rint(255 * (p / 255.0) ** 0.6).astype(np.uint8),
    "crop": lambda p: p[p.shape[0] // 12 : -(p.shape[0] // 12), p.shape[1] // 12 : -(p.shape[1] // 12)],
    "letterbox": lambda p: cv2.copyMakeBorder(p, 0, 0, 50, 30, cv2.BORDER_CONSTANT, value=0),
    "three": lambda p: cv2.copyMakeBorder(cv2.createCLAHE(2.0, (8, 8)).apply(np.rot90(p).copy()), 40, 40, 0, 0, 0),
}


def records(pictures: list[np.ndarray]) -> np.ndarray:
    return np.array([look(np.ascontiguousarray(picture).astype(np.float32)) for picture in pictures], LOOK)


@pytest.fixture(scope="module")
def originals() -> list[np.ndarray]:
    """One slice of each of a dozen synthetic patients."""
    found: dict[str, np.ndarray] = {}
    for item in make_slices(60, seed=900):
        found.setdefault(item.patient, item.image)
    return list(found.values())[:12]


@pytest.fixture(scope="module")
def found(originals: list[np.ndarray]) -> clusters.Clusters:
    pictures = [make(picture) for picture in originals for make in KINDS.values()]
    return clusters.find(records(pictures), [str(i) for i in range(len(pictures))])


def test_every_kind_of_copy_is_found_and_nothing_else(found: clusters.Clusters, originals: list[np.ndarray]) -> None:
    root = found.root.reshape(len(originals), len(KINDS))
    missed = {kind: int((root[:, i] != root[:, 0]).sum()) for i, kind in enumerate(KINDS)}
    assert {kind: n for kind, n in missed.items() if n} == {}
    assert len(set(root[:, 0].tolist())) == len(originals)


def test_how_a_copy_is_turned_is_told(found: clusters.Clusters, originals: list[np.ndarray]) -> None:
    turn = found.turn.reshape(len(originals), len(KINDS))
    for i, kind in enumerate(KINDS):
        if kind in orientation.NAMES:
            undone = orientation.NAMES.index(kind)
            # The representative is the first of each row, so the copy has to be turned back.
            assert set(turn[:, i].tolist()) == {orientation.inverse(undone)}, kind
        elif kind != "three":
            assert set(turn[:, i].tolist()) == {orientation.IDENTITY}, kind


def test_pairs_are_verified_once_and_exact_ones_need_no_comparison(found: clusters.Clusters) -> None:
    assert len(found.pairs) == len(found.root) - len(set(found.root.tolist()))
    assert all(pair.similarity >= 0.85 for pair in found.pairs)


def test_the_approximate_search_finds_the_same(originals: list[np.ndarray], monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("faiss")
    pictures = records([make(picture) for picture in originals for make in KINDS.values()])
    digests = [str(i) for i in range(len(pictures))]
    monkeypatch.setattr("tumorlens.audit.search.EXACT_UP_TO", 0)
    approximate = clusters.find(pictures, digests)
    monkeypatch.setattr("tumorlens.audit.search.EXACT_UP_TO", 10**9)
    assert (approximate.root == clusters.find(pictures, digests).root).all()


def test_many_copies_of_one_picture_do_not_hide_each_other(originals: list[np.ndarray]) -> None:
    # Thirty versions in three brightness steps: each version's nearest neighbours are those of its own step.
    pictures = [
        np.clip(np.power(originals[0] / 255.0, gamma) * (252 + noise), 0, 255).astype(np.uint8)
        for gamma in (0.6, 1.0, 1.5)
        for noise in range(10)
    ]
    found = clusters.find(records(pictures), [str(i) for i in range(30)])
    assert len(set(found.root.tolist())) == 1


def test_pictures_without_structure_are_copies_only_when_identical() -> None:
    plain = [np.full((64, 64), 10 + i, np.uint8) for i in range(4)]
    for i, picture in enumerate(plain):
        picture[10 + i, 10] = 255
    found = clusters.find(records([*plain, plain[0]]), list("abcde"))
    assert found.root.tolist() == [0, 1, 2, 3, 0]


def test_odd_values_and_sizes_do_not_break_the_record() -> None:
    for pixels in (
        np.full((1, 1), np.nan),
        np.array([[np.inf, -np.inf], [1e30, 0]]),
        np.zeros((3, 5000)),
        np.random.default_rng(0).normal(0, 1000, (70, 40)),
    ):
        record = look(pixels.astype(np.float32))
        assert record["count"] >= 1 and np.isfinite(record["keys"].astype(float)).all()
