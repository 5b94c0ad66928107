from __future__ import annotations

import numpy as np
import pytest

from tumorlens.audit.look import KEY, LOOK, TERMS
from tumorlens.audit.orientation import COUNT, turn_spectra
from tumorlens.audit.search import Candidates, Search

N, MOST, LEAST = 90, 3, 0.8


@pytest.fixture(scope="module")
def looks() -> np.ndarray:
    """Three families of thirty pictures with one to three boxes each, turned at random."""
    rng = np.random.default_rng(0)
    looks = np.zeros(N, LOOK)
    looks["count"] = rng.integers(1, 4, N)
    for i in range(N):
        common = np.random.default_rng([1, i % 3]).normal(size=KEY)
        for box in range(int(looks["count"][i])):
            mixed = (common + 0.45 * rng.normal(size=KEY)).reshape(1, TERMS, TERMS)
            turned = turn_spectra(mixed, int(rng.integers(COUNT))).ravel()
            looks["keys"][i, box] = turned / np.linalg.norm(turned)
    return looks


def similarities(looks: np.ndarray) -> np.ndarray:
    """The best cosine over boxes and orientations, as the search asks for it: (N, N)."""
    keys = looks["keys"][:, :3].astype(np.float32)  # boxes that are not there are zeros
    asking = keys[:, :2].reshape(-1, TERMS, TERMS)
    best = np.full((N, N), -1.0)
    for orientation in range(COUNT):
        turned = turn_spectra(asking, orientation).reshape(-1, KEY)
        cosines = (turned @ keys.reshape(-1, KEY).T).reshape(N, 2, N, 3)
        best = np.maximum(best, cosines.max(axis=(1, 3)))
    return best


def listed(found: Candidates) -> dict[int, set[int]]:
    result: dict[int, set[int]] = {}
    for first, second in zip(found.first.tolist(), found.second.tolist(), strict=True):
        result.setdefault(first, set()).add(second)
    return result


def expected(looks: np.ndarray, among: np.ndarray) -> dict[int, set[int]]:
    scores = similarities(looks)[np.ix_(among, among)]
    np.fill_diagonal(scores, -1)
    order = np.argsort(-scores, axis=1)[:, :MOST]
    lists = {int(among[i]): {int(among[j]) for j in row if scores[i, j] >= LEAST} for i, row in enumerate(order)}
    return {first: near for first, near in lists.items() if near}


def test_the_nearest_pictures_are_found(looks: np.ndarray) -> None:
    every = np.arange(N)
    found = Search(looks, every, least=LEAST, most=MOST, exact=True).candidates(every)
    assert listed(found) == expected(looks, every)
    assert (np.diff(found.similarity) <= 0).all()
    for i in range(0, len(found), 17):
        first, second = int(found.first[i]), int(found.second[i])
        key = looks["keys"][first, found.first_box[i]].astype(np.float32).reshape(1, TERMS, TERMS)
        turned = turn_spectra(key, int(found.orientation[i])).ravel()
        other = looks["keys"][second, found.second_box[i]].astype(np.float32)
        assert turned @ other == pytest.approx(found.similarity[i], abs=1e-3)
        assert similarities(looks)[first, second] == pytest.approx(found.similarity[i], abs=1e-3)


def test_faiss_finds_the_same(looks: np.ndarray) -> None:
    pytest.importorskip("faiss")
    every = np.arange(N)
    steps = []
    search = Search(looks, every, least=LEAST, most=MOST, exact=False, progress=lambda *step: steps.append(step))
    exact = Search(looks, every, least=LEAST, most=MOST, exact=True)
    for gone in (np.arange(0), np.arange(0, N, 4)):
        again = search.forget(gone)
        assert (again == exact.forget(gone)).all() or not len(gone)
        found, wanted = listed(search.candidates(every)), listed(exact.candidates(every))
        assert sum(len(found.get(i, set()) & inside) for i, inside in wanted.items()) >= 0.98 * sum(
            map(len, wanted.values())
        )
    assert [step[0] for step in steps] == ["indexing"] * len(steps) and steps[-1][1] == steps[-1][2]


def test_only_pictures_whose_full_list_lost_one_have_to_ask_again(looks: np.ndarray) -> None:
    every = np.arange(N)
    search = Search(looks, every, least=LEAST, most=MOST, exact=True)
    first = listed(search.candidates(every))
    gone = np.array([3, 4, 50, 51])
    again = search.forget(gone)
    left = np.setdiff1d(every, gone)
    wanted = expected(looks, left)
    assert set(again.tolist()) == {
        i for i in left.tolist() if len(first.get(i, ())) == MOST and first[i] & set(gone.tolist())
    }
    # The lists of the others need no second search.
    fresh = listed(search.candidates(again))
    for i in left.tolist():
        assert (fresh if i in again else first).get(i, set()) - set(gone.tolist()) == wanted.get(i, set())


def test_no_picture_and_one_picture(looks: np.ndarray) -> None:
    for among in (np.arange(0), np.arange(1)):
        search = Search(looks, among, least=LEAST, most=MOST)
        assert len(search.candidates(among)) == 0
        assert len(search.forget(among)) == 0
