"""From process start to a printed answer, and what importing costs.

Command: ``python benchmarks/start_up.py RUN IMAGE [--repeat 9]``
Expected: ``predict`` at most 0.8 s warm and at most 5× the bare ONNX Runtime; ``import tumorlens`` at most 0.15 s.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

BARE = """
import sys, numpy, onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1])
shape = [1, *session.get_inputs()[0].shape[1:]]
print(session.run(None, {session.get_inputs()[0].name: numpy.zeros(shape, "float32")})[0])
"""


def seconds(command: list[str]) -> float:
    """Wall time of a whole process."""
    begun = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - begun


def main() -> None:
    """Measure, interleaved, and print a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("run")
    parser.add_argument("image")
    parser.add_argument("--repeat", type=int, default=9)
    options = parser.parse_args()
    commands = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "import tumorlens": [sys.executable, "-c", "import tumorlens"],
        "bare ONNX Runtime": [sys.executable, "-c", BARE, str(Path(options.run) / "bundle" / "model.onnx")],
        "tumorlens predict": [
            str(Path(sys.executable).with_name("tumorlens")),
            "predict",
            options.image,
            "--model",
            options.run,
        ],
    }
    times: dict[str, list[float]] = {name: [] for name in commands}
    for command in commands.values():
        seconds(command)
    for _ in range(options.repeat):
        for name, command in commands.items():
            times[name].append(seconds(command))
    for name, values in times.items():
        print(f"{name:20} {statistics.median(values):.3f} s  (least {min(values):.3f})")
    own = [a - b for a, b in zip(times["import tumorlens"], times["python -c pass"], strict=True)]
    ratio = [a / b for a, b in zip(times["tumorlens predict"], times["bare ONNX Runtime"], strict=True)]
    print(f"import tumorlens costs {statistics.median(own):.3f} s; predict / bare {statistics.median(ratio):.2f}")


if __name__ == "__main__":
    main()
