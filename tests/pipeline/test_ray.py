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
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.pipeline.conftest import POISON

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
# In all processes of the machines. A worker that answers for an archive waits after more slices than Ray gives it at a
# time (4 chunks of 32): however fast they are, both machines have answered something then, and are at work.
EARLY = f"""{POISON}
from pathlib import Path

seen = set()

def counted(event, words):
    if event == "open" and str(words[0]).startswith("scans/"):
        seen.add(words[0])
        if len(seen) > 128 and not Path("go").exists():
            Path(f"waits-{{os.getpid()}}").touch()
            while not Path("go").exists():
                time.sleep(0.05)

sys.addaudithook(counted)
"""


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
    environment["RAY_health_check_period_ms"] = "500"  # five in vain, and a machine is given up: usually after 15 s
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
def early(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for PYTHONPATH with :data:`EARLY`."""
    folder = tmp_path_factory.mktemp("early-on-machines")
    (folder / "sitecustomize.py").write_text(EARLY)
    return folder


@pytest.fixture(scope="module")
def address(early: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a cluster of one machine, which outlives those that join it; a poisoned file kills its workers."""
    place = tempfile.mkdtemp(prefix="ray-")  # pytest's own folders are too long for the names of sockets
    log = tmp_path_factory.mktemp("cluster") / "head.log"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(early))
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


@dataclass(frozen=True)
class Machine:
    """One that has joined the cluster, with a cache of its own."""

    node: subprocess.Popen[bytes]
    cache: Path


@pytest.fixture(scope="module")
def joined(address: str) -> Iterator[list[Machine]]:
    """All machines that have joined the cluster, dead or alive."""
    machines: list[Machine] = []
    yield machines
    for machine in machines:
        kill(machine.node)


@pytest.fixture
def second(address: str, joined: list[Machine], early: Path, tmp_path: Path) -> Machine:
    """A second machine of the cluster: that of the test before, unless that has killed it."""
    if not joined or joined[-1].node.poll() is not None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PYTHONPATH", str(early))
            patch.setenv("TUMORLENS_CACHE", str(tmp_path / "cache-of-second"))
            node = start(tmp_path / "second.log", f"--address={address}")
        joined.append(Machine(node, tmp_path / "cache-of-second"))
    return joined[-1]


@pytest.mark.timeout(900)
def test_the_trials_of_a_search_are_shared_by_the_machines(
    address: str, second: Machine, phantom_folder: Path, tmp_path: Path
) -> None:
    space = tmp_path / "space.toml"
    space.write_text('"train.label_smoothing" = { low = 0.0, high = 0.2 }')
    overrides = (*SETTINGS, "train.epochs=1", "evaluate.folds=0", "tune.trials=2", "tune.folds=1")
    found = tune(
        phantom_folder / "manifest.csv",
        settings=config.load(None, overrides),
        space=space,
        out=tmp_path / "search",
        workers=Workers(0, address),
    )
    assert [one["state"] for one in found.metrics["trials"]] == ["seen through"] * 2
    assert second.cache.is_dir(), "the second machine has looked at slices"
    assert "Ray cluster: 2 machines, 2 processors" in (found.folder / "log.txt").read_text()


# The machine that the test above leaves.
@pytest.mark.timeout(900)
def test_a_machine_that_dies_costs_no_training(
    address: str, second: Machine, phantom_folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "cv"
    options = [word for change in SETTINGS for word in ("--set", change)]
    command = [sys.executable, "-m", "tumorlens", "crossval", str(phantom_folder / "manifest.csv"), *options]
    with (tmp_path / "log").open("wb") as log:
        driver = subprocess.Popen([*command, "--ray", address, "--out", str(out)], stdout=log, stderr=log)
    while driver.poll() is None and not any((run / "history.csv").exists() for run in trained_by(second.node)):
        time.sleep(0.1)
    assert driver.poll() is None, (tmp_path / "log").read_text()
    kill(second.node)
    assert driver.wait(timeout=600) == 0, (tmp_path / "log").read_text()
    text = (tmp_path / "log").read_text()
    assert "Ray cluster: 2 machines, 2 processors" in text
    assert "a worker died" in text
    table = PredictionTable.read_csv(out / "seed-0" / "folds" / "predictions.csv")
    assert sorted(table.ids) == sorted(row.id for row in data.read(str(phantom_folder / "manifest.csv")))


# Waits after its second part, while Ray goes on: answers that are not written yet are lost with a machine.
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
    poisoned: None, address: str, second: Machine, phantom_folder: Path, tmp_path: Path
) -> None:
    scans = tmp_path / "scans"
    for number in range(3):
        shutil.copytree(phantom_folder, scans / str(number), copy_function=os.link)
    # A volume ends its chunk, so the last one holds two files: the one that kills is soon told from the other.
    (scans / "broken.nii").write_text("hello")
    for name in ("beside", "poison"):
        shutil.copy(next(phantom_folder.rglob("*.png")), scans / f"{name}.png")
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
        return any((tmp_path / f"waits-{pid}").exists() for pid in descendants(second.node.pid))

    while driver.poll() is None and not ((tmp_path / "two").exists() and at_work()):
        time.sleep(0.05)
    assert driver.poll() is None, log.read_text()
    kill(second.node)
    (tmp_path / "go").touch()
    assert driver.wait(timeout=600) == 1, log.read_text()  # the masks beside the slices
    assert "Ray cluster: 2 machines, 2 processors" in log.read_text()
    found = answers(out)
    assert found == answers(tmp_path / "here.jsonl")
    failed = {str(entry["path"]): entry["error"]["code"] for entry in found if "error" in entry}  # type: ignore[index]
    assert [path for path, code in failed.items() if code == "crashed"] == [str(Path("scans") / "poison.png")]
