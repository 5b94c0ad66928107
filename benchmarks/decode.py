"""Decode and standardise the 3064 figshare JPEGs, beside what OpenCV alone needs, and again from the cache.

Command: ``python benchmarks/decode.py PATH/TO/figshare/index.csv [--repeat 3]``
Everything runs on two processors where the system can bind it to them, as OpenCV is given two threads.
Expected: first run at most 2× OpenCV with two threads; from the cache at least 20× faster than the first run.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np

from tumorlens import data
from tumorlens.preprocess.cache import standardise_all
from tumorlens.preprocess.recipe import Recipe

READ = """
import sys, time
from tumorlens import data
from tumorlens.preprocess.cache import standardise_all
from tumorlens.preprocess.recipe import Recipe
manifest = data.read(sys.argv[1])
begun = time.perf_counter()
images = standardise_all(manifest, Recipe(), sys.argv[2]).images
print(time.perf_counter() - begun, len(images))
"""


def opencv(path: str) -> np.ndarray:
    """What any program has to do at least."""
    return cv2.resize(
        cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_GRAYSCALE), (128, 128), interpolation=cv2.INTER_AREA
    )


def main() -> None:
    """Measure, interleaved, and print a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("index")
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):  # the child processes inherit it
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])
    manifest = data.read(options.index)
    paths = [row.path for row in manifest]
    cv2.setNumThreads(1)
    for path in paths:  # the same warm page cache for everyone
        np.fromfile(path, np.uint8)
    bare, first, again = [], [], []
    for _ in range(options.repeat):
        begun = time.perf_counter()
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(opencv, paths, chunksize=64))
        bare.append(time.perf_counter() - begun)
        with tempfile.TemporaryDirectory() as folder:
            begun = time.perf_counter()
            standardise_all(manifest, Recipe(), folder)
            first.append(time.perf_counter() - begun)
            command = [sys.executable, "-c", READ, options.index, folder]
            again.append(float(subprocess.run(command, capture_output=True, check=True, text=True).stdout.split()[0]))
    rows = {
        "OpenCV decode + resize, 2 threads": bare,
        "decode + standardise, first run": first,
        "from the cache, new process": again,
    }
    for name, seconds in rows.items():
        print(f"{name:36} {statistics.median(seconds):7.3f} s  ({', '.join(f'{s:.3f}' for s in seconds)})")
    print(f"first run / OpenCV   {statistics.median(f / b for f, b in zip(first, bare, strict=True)):.2f}")
    print(f"first run / cached   {statistics.median(f / a for f, a in zip(first, again, strict=True)):.1f}")


if __name__ == "__main__":
    main()
