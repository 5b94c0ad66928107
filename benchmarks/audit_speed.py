"""What an audit costs: the whole command on real files, and the curve of its parts up to 100,000 pictures.

Command: ``python benchmarks/audit_speed.py DATA… [--files 5000] [--curve 5000,20000,100000] [--records FILE]``.

First a yardstick for the machine, OpenCV decoding some of the files. Then ``tumorlens audit`` from a cold cache on the
DATA and so many further copies of it that there are ``--files`` files, and the same again from the warm cache. Then
everything but decoding on made-up records in a memory-mapped file:
families of 33 pictures whose keys lie as close together as those of the slices of a head. There the comparisons are
only counted, and what one costs is measured apart: it does not depend on how many pictures there are. Every measurement
is a process of its own. CPU seconds (user + system) stand beside seconds by the clock, because other work may share the
machine. Cost on 2 idle cores: about 5 minutes and 2.2 GB of disk for the whole curve.
Goals: 5,000 files in 40 s and 1.5 GB; a picture costs at most 1.5 times as much among 100,000 as among 5,000.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from tumorlens import data, io
from tumorlens.audit import examine, verify
from tumorlens.audit.look import KEY, LOOK, look
from tumorlens.data.manifest import Manifest, Row
from tumorlens.preprocess.stack import Stack

_FAMILY = 33
_BASES = 300  # pictures that the centres of families are made from


def yardstick(sources: Sequence[str]) -> None:
    """What decoding alone costs on this machine: a file with OpenCV in one thread, resized to 224 × 224."""
    paths = [row.path for row in data.read(list(sources)).rows if row.frame is None][:500]
    cv2.setNumThreads(1)
    begun = time.process_time()
    for path in paths:
        picture = cv2.imread(path, cv2.IMREAD_GRAYSCALE)
        if picture is not None:
            cv2.resize(picture, (224, 224), interpolation=cv2.INTER_LINEAR)
    print(f"OpenCV decodes and resizes a file in {1000 * (time.process_time() - begun) / len(paths):.2f} ms of CPU")


def whole_command(sources: Sequence[str], count: int, scratch: Path) -> None:
    """``tumorlens audit`` twice: from a cold and a warm cache."""
    rows = data.read(list(sources)).rows
    more = scratch / "more" / "copies"
    more.mkdir(parents=True)
    rng = np.random.default_rng(2)
    for i in range(max(0, count - len(rows))):
        picture = io.read_slice(rows[int(rng.integers(len(rows)))].path).pixels
        cv2.imwrite(str(more / f"{i}.png"), np.ascontiguousarray(picture[:, ::-1]).astype(np.uint8))
    named = [*sources, *([f"no_tumor={more}"] if any(more.iterdir()) else [])]
    environment = {**os.environ, "TUMORLENS_CACHE": str(scratch / "cache")}
    print(f"{max(count, len(rows))} files           wall s   CPU s   peak MB")
    for title in ("cold cache", "warm cache"):
        command = [sys.executable, "-m", "tumorlens", "audit", *named, "--out", str(scratch / "out")]
        before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
        seconds, after = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
        spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        print(f"{title:20} {seconds:8.1f} {spent:7.1f} {after.ru_maxrss / 1024:9.0f}", flush=True)


def make_records(sources: Sequence[str], count: int, path: Path) -> None:
    """Records in a file: families of pictures whose keys lie as close together as those of neighbouring slices."""
    rows = data.read(list(sources)).rows
    rng = np.random.default_rng(3)
    bases = np.array([look(io.read_slice(rows[i].path).pixels) for i in rng.permutation(len(rows))[:_BASES]])
    records = np.lib.format.open_memmap(path, "w+", LOOK, (count,))
    for start in range(0, count, _FAMILY):
        family = np.repeat(bases[rng.integers(len(bases), size=1)], min(_FAMILY, count - start))
        centre = _unit(family["keys"].astype(np.float32)[:1] + _noise(rng, 1, 1.0))
        family["keys"] = _unit(centre + _noise(rng, len(family), 0.35))
        family["pixels"] = [rng.bytes(32) for _ in family]
        records[start : start + _FAMILY] = family
    records.flush()


def _noise(rng: np.random.Generator, count: int, length: float) -> np.ndarray:
    """The same change for every box of a picture."""
    return rng.normal(0, length / np.sqrt(KEY), (count, 1, KEY)).astype(np.float32)


def _unit(keys: np.ndarray) -> np.ndarray:
    return np.asarray(keys / np.maximum(np.linalg.norm(keys, axis=-1, keepdims=True), 1e-6))


def one_comparison(path: Path) -> float:
    """CPU milliseconds of comparing two pictures."""
    records = np.load(path, mmap_mode="r")
    begun = time.process_time()
    for i in range(300):
        verify.compare(records[i * _FAMILY], 0, records[(i + 1) * _FAMILY], 0, 0)
    return 1000 * (time.process_time() - begun) / 300


class Clock:
    """Seconds and CPU seconds of each step, as the audit's own progress tells them."""

    def __init__(self) -> None:
        self.steps: dict[str, list[float]] = {}
        self._last = self._now()
        self.longest_silence = 0.0

    def _now(self) -> tuple[float, float]:
        return time.perf_counter(), time.process_time()

    def __call__(self, what: str, done: int, total: int) -> None:
        """The time since the last call belongs to this step."""
        now = self._now()
        spent = self.steps.setdefault(what, [0.0, 0.0])
        for i in range(2):
            spent[i] += now[i] - self._last[i]
        self.longest_silence = max(self.longest_silence, now[0] - self._last[0])
        self._last = now


class Own(threading.Thread):
    """Watches the memory that the process holds itself: pages of a mapped file can be taken away at any time."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.most = 0.0

    def run(self) -> None:
        """Until the process ends."""
        while True:
            status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
            self.most = max(self.most, int(status["RssAnon"].split()[0]) / 1024)
            time.sleep(0.2)


def _measure(path: Path, count: int, answer: Any) -> None:
    """One audit of the first ``count`` records, in a process of its own."""
    stack = Stack(np.load(path, mmap_mode="r"), np.arange(count))
    family = [f"{i // _FAMILY}" for i in range(count)]
    rng = np.random.default_rng(0)
    labels = rng.choice(["a", "b", "c"], count // _FAMILY + 1)
    rows = tuple(Row(f"{i}.png", label=str(labels[i // _FAMILY]), patient=family[i]) for i in range(count))
    facts = [io.FileFacts("png", int(size), 160, 160, 1, 8) for size in rng.integers(9_000, 20_000, count)]
    clock, own, compared = Clock(), Own(), []

    def counted(*_: object) -> verify.Agreement:
        compared.append(1)
        return verify.Agreement(0.7, 0.3)

    verify.compare = counted
    own.start()
    found = examine.find_copies(Manifest(rows), [str(i) for i in range(count)], stack, progress=clock)
    clock("grouping", 1, 1)
    examine.look_closer(found, stack, facts, progress=clock)
    answer.put(
        {
            "steps": clock.steps,
            "silence": clock.longest_silence,
            "own": own.most,
            "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            "compared": len(compared) / count,
        }
    )


def curve(path: Path, counts: Sequence[int]) -> None:
    """The table of what each part costs per picture."""
    results: dict[int, dict[str, Any]] = {}
    for count in counts:
        context = multiprocessing.get_context("spawn")
        answer = context.Queue()
        worker = context.Process(target=_measure, args=(path, count, answer))
        worker.start()
        results[count] = answer.get()
        worker.join()
        print(json.dumps({"count": count, **results[count]}), flush=True)
    steps = list(dict.fromkeys(step for result in results.values() for step in result["steps"]))
    print("\nms per picture, wall (CPU)" + "".join(f"{count:>18,}" for count in counts))
    for step in (*steps, "all"):
        cells = []
        for count, result in results.items():
            spent = [result["steps"].get(step, (0, 0))] if step != "all" else list(result["steps"].values())
            wall, used = (1000 * sum(each[i] for each in spent) / count for i in range(2))
            cells.append(f"{wall:9.3f} ({used:6.3f})")
        print(f"{step:26}" + "".join(f"{cell:>18}" for cell in cells))
    for title, field in (
        ("peak MB, with mapped file", "peak"),
        ("peak MB, own", "own"),
        ("comparisons per picture", "compared"),
        ("longest silence, s", "silence"),
    ):
        print(f"{title:26}" + "".join(f"{result[field]:18,.1f}" for result in results.values()))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data", nargs="+")
    parser.add_argument("--files", type=int, default=5_000, help="0: only the curve")
    parser.add_argument("--curve", default="5000,20000,100000", help="empty: only the files")
    parser.add_argument("--records", type=Path, help="keep the made-up records here, and use them when they exist")
    options = parser.parse_args()
    counts = [int(count) for count in options.curve.split(",") if count]
    with tempfile.TemporaryDirectory() as scratch:
        yardstick(options.data)
        if options.files:
            whole_command(options.data, options.files, Path(scratch))
        if counts:
            path = options.records or Path(scratch) / "records.npy"
            if not path.exists():
                begun = time.process_time()
                make_records(options.data, max(counts), path)
                print(f"\n{max(counts)} records made in {time.process_time() - begun:.0f} CPU s")
            print(f"one comparison: {one_comparison(path):.2f} ms of CPU", flush=True)
            curve(path, counts)


if __name__ == "__main__":
    main()
