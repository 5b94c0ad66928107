"""Kill a training at random moments, resume it each time, and compare the end with an uninterrupted run.

Command: ``python benchmarks/kill_test.py [--kills 20] [--work DIR]``. Cost: about 10 minutes on 2 cores. Kills come
within the first three epochs of each process, however long they take (with nothing else running). With ``--work`` the
uninterrupted runs are kept and used again.
Expected: every line says "same", no unfinished file is left.
"""

from __future__ import annotations

import argparse
import csv
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

SETTINGS = [
    "preprocess.size=64",
    "model.width=16",
    "train.ema=0.99",
    "train.keep=best",
    "train.batch_size=16",
    "evaluate.bootstrap=100",
]


def command(*words: str) -> list[str]:
    """The command line of this installation."""
    return [sys.executable, "-m", "tumorlens", "train", *words]


def start(words: list[str], log: Path) -> subprocess.Popen[bytes]:
    """Start a training that writes to a log."""
    return subprocess.Popen(words, stdout=log.open("ab"), stderr=subprocess.STDOUT)


def main() -> int:
    """Run the test and print a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=24)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, help="where the runs are; uninterrupted ones that are there are used")
    options = parser.parse_args()
    chance = random.Random(options.seed)  # noqa: S311 - moments, not secrets
    work = options.work or Path(tempfile.mkdtemp(prefix="kill-test-"))
    work.mkdir(parents=True, exist_ok=True)
    fixed = ["phantom:600", "--epochs", str(options.epochs), "--name", "kill"]
    for setting in SETTINGS:
        fixed += ["--set", setting]

    for name in ("straight", "again"):
        if (work / name / "bundle" / "bundle.json").is_file():
            print(f"{name}: there already", flush=True)
            continue
        begun = time.monotonic()
        assert start(command(*fixed, "--out", str(work / name)), work / f"{name}.log").wait() == 0, (
            work / f"{name}.log"
        ).read_text()
        print(f"{name}: uninterrupted, {time.monotonic() - begun:.0f} s", flush=True)

    with (work / "straight" / "history.csv").open(encoding="utf-8", newline="") as file:
        seconds = [float(row["seconds"]) for row in csv.DictReader(file)]
    # The first epoch of a process takes longer, because TensorFlow traces the graph.
    longest = seconds[0] + 2 * statistics.median(seconds)
    run, log = work / "killed", work / "killed.log"
    shutil.rmtree(run, ignore_errors=True)
    log.unlink(missing_ok=True)
    words = command(*fixed, "--out", str(run))
    for kill in range(1, options.kills + 1):
        marker = log.stat().st_size if log.exists() else 0
        process = start(words, log)
        # Wait until training is under way, then a random time more: any point of a step, a validation or a checkpoint.
        while process.poll() is None and b"parameters, on the" not in log.read_bytes()[marker:]:
            time.sleep(0.05)
        time.sleep(chance.uniform(0.0, longest))
        if process.poll() is not None:
            print(f"kill {kill}: the run was already done", flush=True)
            break
        process.send_signal(signal.SIGKILL)
        process.wait()
        epochs = len((run / "history.csv").read_text().splitlines()) - 1 if (run / "history.csv").exists() else 0
        print(f"kill {kill}: killed with {epochs} epochs done", flush=True)
        words = command("--resume", str(run))
    assert start(words, log).wait() == 0, log.read_text()

    failed = 0
    for other in ("again", "killed"):
        with np.load(work / "straight/checkpoints/last.npz") as a, np.load(work / other / "checkpoints/last.npz") as b:
            names = [name for name in a.files if name != "progress"]
            weights = all(np.array_equal(a[name], b[name]) for name in names) and set(a.files) == set(b.files)
        network = (work / "straight/bundle/model.onnx").read_bytes() == (
            work / other / "bundle/model.onnx"
        ).read_bytes()
        left = [str(path) for path in (work / other).rglob("*.part")]
        verdict = {True: "same", False: "DIFFERENT"}
        print(f"{other}: state {verdict[weights]}, network {verdict[network]}, unfinished files: {left or 'none'}")
        failed += not (weights and network and not left)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
