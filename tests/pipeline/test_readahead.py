"""Files are opened ahead of the network, and no more of their pixels are in memory than there is room for."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
from tests.web.conftest import dicom_frames

import tumorlens
from tumorlens import io
from tumorlens.data.inputs import Item
from tumorlens.errors import InputError
from tumorlens.inference import Failure, Prediction
from tumorlens.io.slice import Slice, slice_id
from tumorlens.pipeline import readahead
from tumorlens.pipeline.model import Model

SIDE = 8000
ONE = SIDE * SIDE * 4


def large(path: str, frame: int | None = None) -> Slice:
    """A black slice of 256 MB that takes none."""
    return Slice(np.broadcast_to(np.float32(0), (SIDE, SIDE)), path, frame)


class Watch:
    """Counts the bytes of slices between being read and being answered: as long as anybody holds them."""

    def __init__(self) -> None:
        self._alive: list[weakref.ref[np.ndarray]] = []
        self._lock = threading.Lock()
        self.most = 0

    def read(self, path: str, frame: int | None = None) -> Slice:
        found = large(path, frame)
        time.sleep(0.001)
        with self._lock:
            self._alive.append(weakref.ref(found.pixels))
            pixels = [one for ref in self._alive if (one := ref()) is not None]
            self.most = max(self.most, sum(one.nbytes for one in pixels))
        return found


@pytest.fixture(scope="module")
def model() -> Model:
    return tumorlens.load()


@pytest.fixture
def watch(model: Model, monkeypatch: pytest.MonkeyPatch) -> Watch:
    """Every slice is large, and a network answers that does not look at it."""
    one = Watch()
    small = model.predict(np.zeros((20, 20), np.uint8))
    assert isinstance(small, Prediction)
    values = {name: getattr(small, name) for name in small.__dataclass_fields__}

    def answers(slices: Iterable[Slice]) -> Iterator[Prediction]:
        for each in list(slices):
            time.sleep(0.001)
            yield Prediction(**{**values, "id": each.id, "path": each.path, "frame": each.frame})

    monkeypatch.setattr(io, "read_slice", one.read)
    monkeypatch.setattr(model.predictor, "predict_slices", answers)
    monkeypatch.setattr("os.cpu_count", lambda: 4)
    return one


def pictures(folder: Path, count: int) -> list[str]:
    content = cv2.imencode(".png", np.zeros((20, 20), np.uint8))[1].tobytes()
    for number in range(count):
        (folder / f"{number:03}.png").write_bytes(content)
    return [str(folder / f"{number:03}.png") for number in range(count)]


def test_large_pictures_are_answered_in_order_with_few_of_them_in_memory(
    model: Model, watch: Watch, tmp_path: Path
) -> None:
    names = pictures(tmp_path, 64)
    assert [answer.id for answer in model.predict_paths([str(tmp_path)])] == names  # type: ignore[union-attr]
    assert watch.most <= readahead.ROOM + 4 * ONE


def test_large_frames_are_answered_in_order_with_few_of_them_in_memory(
    model: Model, watch: Watch, tmp_path: Path
) -> None:
    np.savez(tmp_path / "many.npz", images=np.zeros((70, 20, 20), np.uint8))
    path = str(tmp_path / "many.npz")
    expected = [slice_id(f"{path}!images", frame) for frame in range(70)]
    assert [answer.id for answer in model.predict_paths([path])] == expected  # type: ignore[union-attr]
    assert watch.most <= readahead.ROOM + ONE


def test_answers_do_not_depend_on_the_room(
    model: Model, phantom_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pydicom")
    for number, path in enumerate(sorted(phantom_folder.glob("*/*.png"))[:40]):
        (tmp_path / f"{number:03}.png").write_bytes(path.read_bytes())
    (tmp_path / "007.png").write_bytes(b"damaged")
    dicom_frames(tmp_path / "0201.dcm", 3)
    usual = list(model.predict_paths([str(tmp_path)]))
    monkeypatch.setattr(readahead, "ROOM", 2)
    tight = list(model.predict_paths([str(tmp_path)]))
    assert len(usual) == len(tight) == 40 + 3 + 1  # a volume has an answer as a whole
    for one, other in zip(usual, tight, strict=True):
        assert type(one) is type(other)
        if isinstance(one, Failure) or isinstance(other, Failure):
            assert one.path == other.path
            continue
        assert (one.id, one.predicted, one.verdict) == (other.id, other.predicted, other.verdict)
        assert one.probabilities == pytest.approx(other.probabilities, abs=1e-6)


@pytest.mark.parametrize("threads", [1, 3])
def test_readers_go_on_while_a_batch_is_answered_up_to_the_room(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """No thread of the pool waits: it is free for others meanwhile."""
    monkeypatch.setattr(readahead, "ROOM", 8 * 400)
    begun: list[str] = []

    def opening(item: Item) -> readahead.Opened:
        begun.append(item.path)
        return Slice(np.zeros((10, 10), np.float32), item.path)

    items = [Item(str(number)) for number in range(100)]
    with ThreadPoolExecutor(threads) as pool:
        seen: list[str] = []
        for batch in readahead.batches(items, pool, opening):
            seen += [item.path for item, _ in batch]
            for _ in range(threads):
                pool.submit(int).result(5)
            time.sleep(0.01)
            assert len(seen) < len(begun) <= len(seen) + 8 + threads or len(begun) == 100
        assert seen == begun == [item.path for item in items]


def test_who_stops_asking_leaves_no_reader_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readahead, "ROOM", 400)
    begun: list[str] = []

    def opening(item: Item) -> readahead.Opened:
        begun.append(item.path)
        return Slice(np.zeros((10, 10), np.float32), item.path)

    with ThreadPoolExecutor(2) as pool:
        one = readahead.batches((Item(str(number)) for number in range(1000)), pool, opening)
        next(one)
        del one
        gc.collect()
    assert len(begun) < 10


def test_a_fault_of_a_reader_comes_where_its_file_would() -> None:
    def opening(item: Item) -> readahead.Opened:
        if item.path == "40":
            raise RuntimeError("a fault")
        return Failure(item.path, InputError("damaged"))

    seen: list[str] = []
    with ThreadPoolExecutor(2) as pool, pytest.raises(RuntimeError, match="a fault"):
        for batch in readahead.batches((Item(str(number)) for number in range(90)), pool, opening):
            seen += [item.path for item, _ in batch]
    assert seen == [str(number) for number in range(32)]
