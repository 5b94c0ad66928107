from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import textwrap
from pathlib import Path

import cv2
import numpy as np
import pytest

from tumorlens.audit import clusters, verify
from tumorlens.audit.look import LOOK, look
from tumorlens.audit.remembered import Remembered, name
from tumorlens.audit.verify import Agreement
from tumorlens.data.phantom import make_slices

PAIRS = [name(bytes([i]) * 32, bytes([i + 1]) * 32, 0, i % 3, i % 8) for i in range(50)]
AGREEMENTS = [Agreement(i / 50, i / 100 - 0.3) for i in range(50)]


def table(folder: Path) -> Path:
    return next(folder.glob("compared-*.sqlite"))


def fill(folder: Path) -> None:
    with Remembered(folder) as memory:
        for pair, agreement in zip(PAIRS, AGREEMENTS, strict=True):
            memory.add(pair, agreement)


def recalled(folder: Path) -> dict[bytes, Agreement]:
    with Remembered(folder) as memory:
        return memory.known(PAIRS)


def test_what_is_added_is_known_at_once_and_in_the_next_run(tmp_path: Path) -> None:
    with Remembered(tmp_path) as memory:
        memory.add(PAIRS[0], AGREEMENTS[0])
        assert memory.known(PAIRS) == {PAIRS[0]: AGREEMENTS[0]}
    assert recalled(tmp_path) == {PAIRS[0]: AGREEMENTS[0]}
    fill(tmp_path)
    assert recalled(tmp_path) == dict(zip(PAIRS, AGREEMENTS, strict=True))


def test_every_part_of_a_comparison_counts_in_its_name() -> None:
    first, second = b"a" * 32, b"b" * 31 + b"\0"
    names = {
        name(first, second, 0, 1, 2),
        name(second, first, 0, 1, 2),
        name(first, second, 1, 1, 2),
        name(first, second, 0, 2, 2),
        name(first, second, 0, 1, 3),
        name(first, first, 0, 1, 2),
    }
    assert len(names) == 6
    # NumPy takes zeros off the end of bytes.
    assert name(first, second.rstrip(b"\0"), 0, 1, 2) == name(first, second, 0, 1, 2)


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b"this is not a database" * 500),
        lambda path: os.truncate(path, path.stat().st_size // 2),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:100] + b"x" * (path.stat().st_size - 100)),
        Path.unlink,
    ],
    ids=["garbage", "cut", "empty", "overwritten", "gone"],
)
def test_a_damaged_file_is_begun_anew_in_silence(tmp_path: Path, damage) -> None:
    fill(tmp_path)
    damage(table(tmp_path))
    assert set(recalled(tmp_path)) <= set(PAIRS)
    fill(tmp_path)
    assert recalled(tmp_path) == dict(zip(PAIRS, AGREEMENTS, strict=True))


def test_another_table_under_the_same_name_is_replaced(tmp_path: Path) -> None:
    fill(tmp_path)
    path = table(tmp_path)
    path.unlink()
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE compared (something TEXT)")
    other.commit()
    other.close()
    fill(tmp_path)
    assert recalled(tmp_path) == dict(zip(PAIRS, AGREEMENTS, strict=True))


def test_it_does_not_grow_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path)
    monkeypatch.setattr("tumorlens.audit.remembered._LARGEST", 1000)
    assert recalled(tmp_path) == {}
    assert table(tmp_path).stat().st_size < 20_000


def test_a_place_that_cannot_be_written_costs_time_only(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with Remembered(tmp_path / "file" / "folder") as memory:
        memory.add(PAIRS[0], AGREEMENTS[0])
        assert memory.known(PAIRS) == {PAIRS[0]: AGREEMENTS[0]}


def test_a_locked_table_costs_time_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path)
    monkeypatch.setattr("tumorlens.audit.remembered._PATIENCE", 0.05)
    other = sqlite3.connect(table(tmp_path), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    extra = name(b"x" * 32, b"y" * 32, 0, 0, 0)
    with Remembered(tmp_path) as memory:
        memory.add(extra, AGREEMENTS[0])
        memory.keep()
        assert memory.known([extra]) == {extra: AGREEMENTS[0]}
    other.execute("ROLLBACK")
    other.close()
    assert recalled(tmp_path) == dict(zip(PAIRS, AGREEMENTS, strict=True))


WORKER = textwrap.dedent(
    """
    import os, sys
    from tumorlens.audit import remembered
    from tumorlens.audit.verify import Agreement
    remembered._EVERY = 0.0
    memory = remembered.Remembered(sys.argv[1])
    for i in range(int(sys.argv[2]), int(sys.argv[3])):
        memory.add(remembered.name(bytes([i]) * 32, b"b" * 32, 0, 0, 0), Agreement(0.5, i / 1000))
        print(i, flush=True)
    sys.stdin.read()
    """
)


def test_two_processes_and_a_kill_lose_nothing_that_was_kept(tmp_path: Path) -> None:
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, str(tmp_path), str(start), str(start + 100)],
            stdout=subprocess.PIPE,
            stdin=subprocess.PIPE,
            text=True,
        )
        for start in (0, 50)
    ]
    for worker, last in zip(workers, (99, 149), strict=True):
        assert worker.stdout is not None
        while int(worker.stdout.readline()) != last:
            pass
        worker.kill()
        worker.wait(60)
    names = [name(bytes([i]) * 32, b"b" * 32, 0, 0, 0) for i in range(150)]
    with Remembered(tmp_path) as memory:
        found = memory.known(names)
    assert [found[pair].worst for pair in names] == [i / 1000 for i in range(150)]


@pytest.fixture(scope="module")
def records() -> np.ndarray:
    """Slices of a dozen synthetic patients, and a turned, a mirrored and a brightened copy of each."""
    slices: dict[str, np.ndarray] = {}
    for item in make_slices(40, seed=901):
        slices.setdefault(item.patient, item.image)
    pictures = []
    for picture in list(slices.values())[:8]:
        bright = np.rint(255 * (picture / 255.0) ** 0.7)
        neighbour = cv2.warpAffine(picture, np.array([[1.02, 0.15, -9], [-0.1, 0.9, 4]], np.float32), picture.shape)
        pictures += [picture, np.rot90(picture), picture[:, ::-1], bright, neighbour]
    return np.array([look(np.ascontiguousarray(picture).astype(np.float32)) for picture in pictures], LOOK)


def find(records: np.ndarray, folder: Path | None) -> clusters.Clusters:
    with Remembered(folder) as memory:
        return clusters.find(records, [str(i) for i in range(len(records))], memory=memory)


def equal(a: clusters.Clusters, b: clusters.Clusters) -> bool:
    same = all((getattr(a, field) == getattr(b, field)).all() for field in ("root", "turn", "agreement"))
    return same and a.pairs == b.pairs and a.alike == b.alike


def test_the_second_search_compares_nothing_and_finds_the_same(
    records: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without = find(records, None)
    assert without.pairs
    assert equal(find(records, tmp_path), without)
    monkeypatch.setattr(verify, "compare", None)
    assert equal(find(records, tmp_path), without)


def test_after_ctrl_c_only_the_rest_is_compared(
    records: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = verify.compare, []

    def counted(*arguments):
        calls.append(arguments[1:])
        return real(*arguments)

    monkeypatch.setattr(verify, "compare", counted)
    without = find(records, None)
    every, calls[:] = len(calls), []

    def stopping(*arguments):
        if len(calls) >= every // 2:
            raise KeyboardInterrupt
        return counted(*arguments)

    monkeypatch.setattr(verify, "compare", stopping)
    with pytest.raises(KeyboardInterrupt):
        find(records, tmp_path)
    done, calls[:] = len(calls), []
    assert done >= every // 2
    monkeypatch.setattr(verify, "compare", counted)
    assert equal(find(records, tmp_path), without)
    assert len(calls) == every - done
