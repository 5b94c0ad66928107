"""Cross-validation and the answers for an archive on a real Ray cluster of two machines; one dies in the middle."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tumorlens import data
from tumorlens.evaluation import PredictionTable

RAY = shutil.which("ray", path=str(Path(sys.executable).parent))
SETTINGS = (
    "preprocess.size=32",
    "model.name=plain",
    "model.width=8",
    "model.depth=2",
    "train.epochs=40",
    "evaluate.bootstrap=100",
    "evaluate.folds=2",
    "evaluate.report=false",
    "data.audit=copies",
)


def descendants(pid: int) -> list[int]:
    """A process and all below it, those that the children have started first."""
    below: dict[int, list[int]] = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parent = int(status.read_text().rpartition(")")[2].split()[1])
            below.setdefault(parent, []).append(int(status.parent.name))

    def found(one: int) -> list[int]:
        return [*(each for child in below.get(one, []) for each in found(child)), one]

    return found(pid)


def trained_by(node: subprocess.Popen[bytes]) -> set[Path]:
    """The folders of the runs that a machine is at: it holds their locks."""
    found = set()
    for pid in descendants(node.pid):
        with contextlib.suppress(OSError):
            held = [Path(os.readlink(link)) for link in Path(f"/proc/{pid}/fd").iterdir()]
            found |= {path.parent for path in held if path.name == "run.lock"}
    return found


def kill(node: subprocess.Popen[bytes]) -> None:
    """What a power cut does to a machine."""
    for pid in descendants(node.pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    node.wait()


def start(log: Path, *arguments: str) -> subprocess.Popen[bytes]:
    """A machine of the cluster with one processor; ready when it says so."""
    assert RAY is not None, "the development install brings Ray"
    # Usually Ray's workers give way to everything else on a machine, which here would be the other tests.
    environment = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0"}
    command = [RAY, "start", "--block", "--num-cpus=1", "--disable-usage-stats", *arguments]
    node = subprocess.Popen(command, stdout=log.open("wb"), stderr=subprocess.STDOUT, env=environment)
    deadline = time.monotonic() + 120
    while "Ray runtime started" not in log.read_text():
        if node.poll() is not None or time.monotonic() > deadline:
            kill(node)
            pytest.fail(log.read_text())
        time.sleep(0.2)
    return node


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """The address of a cluster of two machines, and the second of them."""
    place = tempfile.mkdtemp(prefix="ray-")  # pytest's own folders are too long for the names of sockets
    head = start(
        tmp_path / "head.log",
        "--head",
        "--node-ip-address=127.0.0.1",
        "--port=0",
        "--include-dashboard=false",
        f"--temp-dir={place}",
    )
    try:
        found = re.search(r"--address='([^']+:\d+)'", (tmp_path / "head.log").read_text())
        assert found is not None, (tmp_path / "head.log").read_text()
        second = start(tmp_path / "second.log", f"--address={found[1]}")
        try:
            yield found[1], second
        finally:
            kill(second)
    finally:
        kill(head)
        shutil.rmtree(place, ignore_errors=True)


@pytest.mark.timeout(900)
def test_a_machine_that_dies_costs_no_training(
    cluster: tuple[str, subprocess.Popen[bytes]], phantom_folder: Path, tmp_path: Path
) -> None:
    address, second = cluster
    out = tmp_path / "cv"
    options = [word for change in SETTINGS for word in ("--set", change)]
    command = [sys.executable, "-m", "tumorlens", "crossval", str(phantom_folder / "manifest.csv"), *options]
    with (tmp_path / "log").open("wb") as log:
        driver = subprocess.Popen([*command, "--ray", address, "--out", str(out)], stdout=log, stderr=log)
    while driver.poll() is None and not any((run / "history.csv").exists() for run in trained_by(second)):
        time.sleep(0.1)
    assert driver.poll() is None, (tmp_path / "log").read_text()
    kill(second)
    assert driver.wait(timeout=600) == 0, (tmp_path / "log").read_text()
    text = (tmp_path / "log").read_text()
    assert "Ray cluster: 2 machines, 2 processors" in text
    assert "a worker died" in text
    table = PredictionTable.read_csv(out / "seed-0" / "folds" / "predictions.csv")
    assert sorted(table.ids) == sorted(row.id for row in data.read(str(phantom_folder / "manifest.csv")))


def answers(path: Path) -> list[dict[str, object]]:
    """What a file holds, but for how long it took."""
    return [{**json.loads(line), "ms": None} for line in path.read_text().splitlines()]


@pytest.mark.timeout(900)
def test_a_machine_that_dies_costs_no_answer(
    cluster: tuple[str, subprocess.Popen[bytes]], phantom_folder: Path, tmp_path: Path
) -> None:
    address, second = cluster
    for number in range(10):
        shutil.copytree(phantom_folder, tmp_path / "scans" / str(number), copy_function=os.link)
    command = [sys.executable, "-m", "tumorlens", "predict", "scans", "--format", "jsonl"]
    subprocess.run([*command, "--out", "here.jsonl", "-q"], cwd=tmp_path, check=False)
    out, log = tmp_path / "there.jsonl", tmp_path / "log"
    with log.open("wb") as file:
        driver = subprocess.Popen(
            [*command, "--out", str(out), "--ray", address], cwd=tmp_path, stdout=file, stderr=file
        )

    def at_work() -> bool:
        below = [Path(f"/proc/{pid}/cmdline") for pid in descendants(second.pid)]
        return any(b"MapWorker" in path.read_bytes() for path in below if path.exists())

    while driver.poll() is None and not (at_work() and out.exists() and out.stat().st_size):
        time.sleep(0.05)
    assert driver.poll() is None, log.read_text()
    kill(second)
    done = out.stat().st_size
    assert driver.wait(timeout=600) == 1, log.read_text()  # the masks beside the slices
    assert done < out.stat().st_size / 2
    assert "Ray cluster: 2 machines, 2 processors" in log.read_text()
    assert answers(out) == answers(tmp_path / "here.jsonl")
    assert sorted(path.name for path in tmp_path.glob("*.jsonl*")) == ["here.jsonl", "there.jsonl"]
