"""Cross-validation, a search and the answers for an archive on a real Ray cluster of two machines."""

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

from tumorlens import config, data
from tumorlens.evaluation import PredictionTable
from tumorlens.pipeline.spreading import Workers
from tumorlens.pipeline.tuning import tune

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
    """What a power cut does to a machine; nothing where it has ended, as its number may be another process's now."""
    if node.poll() is not None:
        return
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


@pytest.fixture(scope="module")
def address(poison: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a cluster of one machine, which outlives those that join it; a poisoned file kills its workers."""
    place = tempfile.mkdtemp(prefix="ray-")  # pytest's own folders are too long for the names of sockets
    log = tmp_path_factory.mktemp("cluster") / "head.log"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(poison))
        head = start(
            log,
            "--head",
            "--node-ip-address=127.0.0.1",
            "--port=0",
            "--include-dashboard=false",
            f"--temp-dir={place}",
        )
    try:
        found = re.search(r"--address='([^']+:\d+)'", log.read_text())
        assert found is not None, log.read_text()
        yield found[1]
    finally:
        kill(head)
        shutil.rmtree(place, ignore_errors=True)


@pytest.fixture
def second(address: str, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A second machine of the cluster."""
    machine = start(tmp_path / "second.log", f"--address={address}")
    try:
        yield machine
    finally:
        kill(machine)


@pytest.mark.timeout(900)
def test_a_machine_that_dies_costs_no_training(
    address: str, second: subprocess.Popen[bytes], phantom_folder: Path, tmp_path: Path
) -> None:
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


@pytest.mark.timeout(900)
def test_the_trials_of_a_search_are_shared_by_the_machines(
    address: str, phantom_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("TUMORLENS_CACHE", str(tmp_path / "of-second"))
        second = start(tmp_path / "second.log", f"--address={address}")
    space = tmp_path / "space.toml"
    space.write_text('"train.label_smoothing" = { low = 0.0, high = 0.2 }')
    overrides = (*SETTINGS, "train.epochs=1", "evaluate.folds=0", "tune.trials=2", "tune.folds=1")
    try:
        found = tune(
            phantom_folder / "manifest.csv",
            settings=config.load(None, overrides),
            space=space,
            out=tmp_path / "search",
            workers=Workers(0, address),
        )
    finally:
        kill(second)
    assert [one["state"] for one in found.metrics["trials"]] == ["seen through"] * 2
    assert (tmp_path / "of-second").is_dir(), "the second machine has looked at slices"
    assert "Ray cluster: 2 machines, 2 processors" in (found.folder / "log.txt").read_text()


# Waits after its second part: however fast the machines are, the test finds the run in the middle.
DRIVER = """
import sys, time
from pathlib import Path
from tumorlens.pipeline.keeping import Ledger
add, parts = Ledger.add, 0

def waiting(self, keys, part):
    global parts
    add(self, keys, part)
    parts += 1
    if parts == 2:
        Path("two").touch()
        while not Path("go").exists():
            time.sleep(0.05)

if Path("wait").exists():
    Ledger.add = waiting
from tumorlens.cli.main import main
if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
"""


def answers(path: Path) -> list[dict[str, object]]:
    """What a file holds, but for how long it took."""
    return [{**json.loads(line), "ms": None} for line in path.read_text().splitlines()]


@pytest.mark.timeout(900)
def test_a_machine_that_dies_costs_no_answer_and_a_file_that_kills_its_worker_only_its_own(
    poisoned: None, address: str, second: subprocess.Popen[bytes], phantom_folder: Path, tmp_path: Path
) -> None:
    for number in range(10):
        shutil.copytree(phantom_folder, tmp_path / "scans" / str(number), copy_function=os.link)
    shutil.copy(next(phantom_folder.rglob("*.png")), tmp_path / "scans" / "poison.png")
    (tmp_path / "driver.py").write_text(DRIVER)
    command = [sys.executable, "driver.py", "predict", "scans", "--format", "jsonl"]
    subprocess.run([*command, "--out", "here.jsonl", "--jobs", "2", "-q"], cwd=tmp_path, check=False)
    (tmp_path / "wait").touch()
    out, log = tmp_path / "there.jsonl", tmp_path / "log"
    with log.open("wb") as file:
        driver = subprocess.Popen(
            [*command, "--out", str(out), "--ray", address], cwd=tmp_path, stdout=file, stderr=file
        )

    def at_work() -> bool:
        below = [Path(f"/proc/{pid}/cmdline") for pid in descendants(second.pid)]
        return any(b"MapWorker" in path.read_bytes() for path in below if path.exists())

    worked = False
    while driver.poll() is None and not (worked and (tmp_path / "two").exists()):
        worked = worked or at_work()
        time.sleep(0.05)
    assert driver.poll() is None, log.read_text()
    kill(second)
    (tmp_path / "go").touch()
    assert driver.wait(timeout=600) == 1, log.read_text()  # the masks beside the slices
    assert "Ray cluster: 2 machines, 2 processors" in log.read_text()
    found = answers(out)
    assert found == answers(tmp_path / "here.jsonl")
    failed = {str(entry["path"]): entry["error"]["code"] for entry in found if "error" in entry}  # type: ignore[index]
    assert [path for path, code in failed.items() if code == "crashed"] == [str(Path("scans") / "poison.png")]
