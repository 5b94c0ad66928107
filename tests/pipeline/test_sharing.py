"""Processes that answer for an archive: if one dies, hangs or sees other files, nothing is lost, double or made up."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.pipeline.scans import Told, answer, asked, entries

import tumorlens
from tumorlens.data.inputs import Item
from tumorlens.errors import EnvironmentFailure, InputError, MissingExtraError, ModelError
from tumorlens.pipeline import archiving, sharing
from tumorlens.pipeline.answering import Answerer, Order, packed, part_of
from tumorlens.pipeline.archiving import _check_seen
from tumorlens.pipeline.model import Model
from tumorlens.pipeline.spreading import Workers

# What is committed is what was answered; where a moment is counted, it does not depend on how fast anything is.
PROGRAM = """
import multiprocessing, os, signal, sys
from tumorlens.pipeline import keeping
from tumorlens.pipeline.keeping import Ledger
keeping._SECONDS = 0.0
whom, after = sys.argv[1], int(sys.argv[2])
add, parts = Ledger.add, 0

def killing(self, keys, part):
    global parts
    add(self, keys, part)
    parts += 1
    if parts == after:
        if whom == "worker":
            os.kill(multiprocessing.active_children()[0].pid, signal.SIGKILL)
        else:
            print("workers", *[child.pid for child in multiprocessing.active_children()], flush=True)
            os.kill(os.getpid(), signal.SIGKILL)

Ledger.add = killing
from tumorlens.cli.main import main
sys.exit(main(sys.argv[3:]))
"""


def ended(log: Path, whom: str, after: int, *words: str | Path) -> int:
    """The exit code of the command, one process of which is killed after so many parts; 0 for none."""
    command = [sys.executable, "-c", PROGRAM, whom, str(after), "predict", *map(str, words)]
    return subprocess.run(command, stdout=log.open("ab"), stderr=subprocess.STDOUT, check=False, timeout=300).returncode


def runs(pid: int) -> bool:
    """Whether a process is there and has not ended; somebody else may have yet to ask how it has."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks at the processes of Linux")
@pytest.mark.timeout(600)
def test_kills_at_any_moment_lose_nothing_and_double_nothing(archive: Path, model: Model, tmp_path: Path) -> None:
    folder = tmp_path / "scans"
    for number in range(3):
        shutil.copytree(archive, folder / str(number), copy_function=os.link)
    straight = tmp_path / "straight.jsonl"
    answer(asked(straight, folder), model)
    out, log = tmp_path / "answers.jsonl", tmp_path / "log"
    words = [folder, "--out", out, "--jobs", "2", "--resume"]  # where there is nothing to go on with, it begins
    for after in (1, 3):
        assert ended(log, "command", after, *words) == -signal.SIGKILL, log.read_text()
    deadline = time.monotonic() + 60
    below = [
        int(pid) for line in log.read_text().splitlines() if line.startswith("workers") for pid in line.split()[1:]
    ]
    assert below
    while any(map(runs, below)):  # nobody else would end them
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert ended(log, "worker", 2, *words) == 1, log.read_text()  # another takes its place
    assert "a worker died" in log.read_text()
    assert "going on" in log.read_text()
    assert entries(out) == entries(straight)
    names = ["answers.jsonl", "answers.jsonl.state", "log", "scans", "straight.jsonl", "straight.jsonl.state"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names


@pytest.mark.timeout(600)
def test_a_file_that_kills_its_worker_and_one_that_brings_out_a_fault_become_failures(
    poisoned: None, archive: Path, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archiving, "_TOGETHER", 2)
    for name in ("a", "poison", "odd", "z"):
        path = tmp_path / "scans" / f"{name}.png"
        path.parent.mkdir(exist_ok=True)
        shutil.copy(archive / "p0" / "0.png", path)
    out = tmp_path / "a.jsonl"
    notes = answer(asked(out, tmp_path / "scans", workers=Workers(2)), model)
    found = {Path(entry["path"]).stem: entry.get("error") for entry in entries(out)}
    assert {name: error and error["code"] for name, error in found.items()} == {
        "a": None,
        "poison": "crashed",
        "odd": "internal",
        "z": None,
    }
    assert "ZeroDivisionError at sitecustomize.py" in found["odd"]["message"]
    assert "what the file holds" not in out.read_text()
    assert any("a worker died" in note for note in notes)
    assert any("poison.png killed the process" in note for note in notes)


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks at the processes of Linux")
def test_who_stops_does_not_wait_for_what_is_in_work(
    poisoned: None, archive: Path, model: Model, tmp_path: Path
) -> None:
    order = Order(None, model.predictor.bundle.sha256, "onnxruntime", "jsonl", None, os.getcwd())
    shutil.copy(archive / "p0" / "0.png", tmp_path / "slow.png")
    chunks = iter([packed([Item(str(path))]) for path in (archive / "p0" / "0.png", tmp_path / "slow.png")])
    others = {child.pid for child in multiprocessing.active_children()}  # idle workers of other tests
    parts = sharing.answered(chunks, order, Workers(2), model, Told())
    assert part_of(next(parts)).used == 1
    below = [child.pid for child in multiprocessing.active_children() if child.pid and child.pid not in others]
    assert below
    parts.close()
    deadline = time.monotonic() + 60
    while any(map(runs, below)):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_workers_that_die_whatever_they_are_asked_stop_the_run(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sharing, "_alone", lambda chunk, order: None)
    order = Order(None, model.predictor.bundle.sha256, "onnxruntime", "jsonl", None, os.getcwd())
    with pytest.raises(EnvironmentFailure) as caught:
        sharing._one_by_one(packed([Item("a.png")]), order, model.labels)
    assert caught.value.code == "workers_died"


def test_a_network_that_fails_whatever_it_is_asked_makes_no_answers(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tumorlens.load()
    monkeypatch.setattr(broken.predictor, "run", lambda *_: 1 / 0)
    monkeypatch.setattr(broken.predictor, "predict_slices", lambda *_: 1 / 0)
    out = tmp_path / "a.jsonl"
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        answer(asked(out, archive / "p0"), broken)
    assert not out.read_text()


def test_a_run_that_goes_on_reads_in_processes_of_their_own(
    archive: Path, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    apart: list[bool] = []
    real = archiving.answered

    def seen(*given: Any, **named: Any) -> Any:
        apart.append(named.pop("apart"))
        return real(*given, **named)

    monkeypatch.setattr(archiving, "answered", seen)

    def stopped() -> Iterator[str]:
        raise KeyboardInterrupt
        yield

    what = asked(tmp_path / "a.jsonl", archive / "p0" / "0.png", resume=True)
    with pytest.raises(KeyboardInterrupt):
        answer(what, model, stopped())
    answer(what, model)
    assert apart == [False, True]


def test_a_worker_that_sees_something_else_makes_no_answers(archive: Path, model: Model, tmp_path: Path) -> None:
    chunk = packed([Item(str(archive / "p0" / "0.png"))])
    right = Order(None, model.predictor.bundle.sha256, "onnxruntime", "jsonl", None, os.getcwd())
    assert part_of(Answerer(right)(chunk)).used == 1
    for wrong, kind in (
        (replace(right, sha256="0" * 64), ModelError),
        (replace(right, folder=str(tmp_path / "none")), EnvironmentFailure),
    ):
        part = part_of(Answerer(wrong)(chunk))
        assert not part.text
        with pytest.raises(kind) as caught:
            part.check()
        assert caught.value.code == "not_shared"
    unseen = part_of(Answerer(right)(packed([Item(str(tmp_path / "later.png"))])))
    _check_seen(unseen)  # here it is not, either
    (tmp_path / "later.png").touch()
    with pytest.raises(EnvironmentFailure) as caught:
        _check_seen(unseen)
    assert caught.value.code == "not_shared"
    other = part_of(Answerer(replace(right, version="0.0.1"))(chunk))
    with pytest.raises(EnvironmentFailure, match=r"0\.0\.1"):
        other.check()
    broken = part_of(Answerer(right)(b"{"))
    with pytest.raises(RuntimeError, match="JSONDecodeError"):
        broken.check()


def test_what_a_machine_lacks_is_no_answer(
    archive: Path, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = Order(None, model.predictor.bundle.sha256, "onnxruntime", "jsonl", None, os.getcwd())
    picture = str(archive / "p0" / "0.png")

    def lacking(*_: Any) -> Any:
        raise MissingExtraError("pydicom", "dicom")

    def forbidden(*_: Any) -> Any:
        raise InputError("not allowed", code="no_permission")

    monkeypatch.setattr("tumorlens.pipeline.model.frames_of", lacking)
    part = part_of(Answerer(order, model)(packed([Item(picture)])))
    with pytest.raises(MissingExtraError, match="pydicom"):
        part.check()
    monkeypatch.setattr("tumorlens.pipeline.model.frames_of", forbidden)
    part = part_of(Answerer(order, model)(packed([Item(picture), Item(str(tmp_path / "a.zip") + "!x.png")])))
    assert [path for path, _ in part.unseen] == [picture, str(tmp_path / "a.zip")]
    with pytest.raises(EnvironmentFailure) as caught:  # this process may read it
        _check_seen(part)
    assert caught.value.code == "not_shared"


def test_a_disk_that_is_gone_makes_no_answers(archive: Path, model: Model, tmp_path: Path) -> None:
    order = Order(None, model.predictor.bundle.sha256, "onnxruntime", "jsonl", None, os.getcwd())
    disk = tmp_path / "disk"
    (disk / "p0").mkdir(parents=True)
    shutil.copy(archive / "p0" / "0.png", disk / "p0")
    for path, root in ((disk / "p0" / "7.png", disk), (disk / "p0" / "7.png", "")):  # one file alone; one named itself
        _check_seen(part_of(Answerer(order, model)(packed([Item(str(path), root=str(root))]))))
    for path, root in (
        (disk / "p1" / "7.png", disk),
        (disk / "p0" / "7.png", tmp_path / "other"),
        (tmp_path / "empty" / "7.png", tmp_path),
    ):
        (tmp_path / "empty").mkdir(exist_ok=True)
        part = part_of(Answerer(order, model)(packed([Item(str(path), root=str(root))])))
        with pytest.raises(EnvironmentFailure, match="is gone"):
            _check_seen(part)


def test_a_cluster_that_is_not_there_leaves_nothing_behind(
    archive: Path, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: Any) -> Any:
        raise EnvironmentFailure("there is no Ray cluster", code="no_cluster")

    monkeypatch.setattr(archiving, "check", lambda workers: None)
    monkeypatch.setattr(archiving, "connected", refused)
    with pytest.raises(EnvironmentFailure):
        answer(asked(tmp_path / "a.jsonl", archive, workers=Workers(0, "auto")), model)
    assert not list(tmp_path.iterdir())
