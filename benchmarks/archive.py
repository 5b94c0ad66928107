"""``predict --out`` over many files: files a second, processors, memory from beginning to end, kill and resume.

Command: ``python benchmarks/archive.py [--files 3000] [--data FOLDER] [--kills 3] [--jobs N] [--flat] [--work DIR]``.
Half of the files are DICOM (series of 25 slices, every slice drawn for it), half pictures: hard links to those of
``--data``, or drawn ones. Cost: about 2 s of two cores for 1,000 files, twice that with kills. Memory is what the
command and its workers hold together (proportional set size). Expected: as much at 100 % as at 10 %, about as many
processors as there are, and "same" after the kills.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import pydicom

from tumorlens.data.phantom import make_slices

SERIES, FOLDER, SIDE = 25, 250, 96


def make(root: Path, count: int, data: Path | None, folder: int) -> None:
    """Write ``count`` files: DICOM and pictures in turn, ``folder`` of them in each folder."""
    drawn = [one.image for one in make_slices(200, seed=11)]
    pictures = (
        [path for path in sorted(data.rglob("*")) if path.suffix.lower() in (".png", ".jpg", ".jpeg")] if data else []
    )
    if not pictures:
        (root / "drawn").mkdir(parents=True)
        for number, image in enumerate(drawn):
            cv2.imwrite(str(root / "drawn" / f"{number}.png"), image)
        pictures = sorted((root / "drawn").iterdir())
    for number in range(count):
        path = root / "scans" / f"{number // folder:04d}" / f"{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        if number % 2:
            picture = pictures[number // 2 % len(pictures)]
            try:
                os.link(picture, path.with_suffix(picture.suffix))
            except OSError:  # on another disk
                shutil.copy(picture, path.with_suffix(picture.suffix))
        else:
            write_dicom(path.with_suffix(".dcm"), number // 2, drawn)


def write_dicom(path: Path, number: int, drawn: list[np.ndarray]) -> None:
    """One slice of a series."""
    image = cv2.resize(drawn[number % len(drawn)], (SIDE, SIDE)).astype(np.uint16) * 16
    data = pydicom.Dataset()
    data.SOPClassUID, data.SOPInstanceUID = pydicom.uid.MRImageStorage, f"1.2.3.{number + 1}"
    data.Modality, data.SeriesInstanceUID = "MR", f"1.2.4.{number // SERIES + 1}"
    data.Rows = data.Columns = SIDE
    data.SamplesPerPixel, data.PhotometricInterpretation, data.PixelRepresentation = 1, "MONOCHROME2", 0
    data.BitsAllocated = data.BitsStored = 16
    data.HighBit = 15
    data.ImageOrientationPatient, data.ImagePositionPatient = [1, 0, 0, 0, 1, 0], [0, 0, float(number % SERIES)]
    data.PixelData = image.tobytes()
    data.file_meta = pydicom.dataset.FileMetaDataset()
    data.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    data.save_as(path, enforce_file_format=True)


def tree(pid: int) -> list[int]:
    """A process and all below it."""
    below: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            below.setdefault(int(stat.read_text().rpartition(")")[2].split()[1]), []).append(int(stat.parent.name))
        except OSError:
            continue
    found = [pid]
    for one in found:
        found += below.get(one, [])
    return found


def memory(pid: int) -> float:
    """MiB of a process and all below it, what they share counted once."""
    total = 0
    for one in tree(pid):
        try:
            lines = Path(f"/proc/{one}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total / 1024


class Watch:
    """How much memory a run holds while its file grows."""

    def __init__(self, pid: int, out: Path) -> None:
        self.points: list[tuple[float, int, float]] = []
        self._pid, self._out, self._begun = pid, out, time.monotonic()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def _watch(self) -> None:
        while not self._stop.wait(0.25):
            size = self._out.stat().st_size if self._out.exists() else 0
            self.points.append((time.monotonic() - self._begun, size, memory(self._pid)))

    def end(self) -> None:
        """Stop watching."""
        self._stop.set()
        self._thread.join()

    def peak(self, low: float, high: float) -> float:
        """MiB at most while the file was between two shares of its final size."""
        last = self._out.stat().st_size
        return max((held for _, size, held in self.points if low * last <= size <= high * last), default=0.0)


def processor_seconds() -> float:
    """Of all processes that have ended below this one."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def start(words: list[str]) -> subprocess.Popen[bytes]:
    """Start the command."""
    return subprocess.Popen([sys.executable, "-m", "tumorlens", "predict", *words, "-q"])


def answers(path: Path) -> list[dict[str, object]]:
    """What a file holds, but for how long it took."""
    with path.open(encoding="utf-8") as file:
        return [{**json.loads(line), "ms": None} for line in file]


def main() -> int:
    """Run and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--files", type=int, default=3000)
    parser.add_argument("--data", type=Path, help="folder of pictures to link to")
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--jobs", type=int)
    parser.add_argument("--flat", action="store_true", help="all files in one folder: its names are sorted in memory")
    parser.add_argument("--work", type=Path, help="where the files are made; those that are there are used")
    options = parser.parse_args()
    work = options.work or Path(tempfile.mkdtemp(prefix="archive-"))
    scans = work / "scans"
    if not scans.exists():
        make(work, options.files, options.data, options.files if options.flat else FOLDER)
    words = [str(scans)] + (["--jobs", str(options.jobs)] if options.jobs else [])
    straight, killed = work / "straight.jsonl", work / "killed.jsonl"
    for path in (straight, killed):
        for one in (path, path.with_name(path.name + ".state")):
            one.unlink(missing_ok=True)

    used, begun = processor_seconds(), time.monotonic()
    process = start([*words, "--out", str(straight)])
    watch = Watch(process.pid, straight)
    code = process.wait()
    seconds = time.monotonic() - begun
    watch.end()
    used = processor_seconds() - used
    first = next((at for at, size, _ in watch.points if size), seconds)
    lines = sum(1 for _ in straight.open("rb"))
    # Without the start: how fast it is while it answers.
    print(f"{options.files} files, {lines} answers, exit code {code}, {os.cpu_count()} processors")
    print(f"{seconds:.1f} s, {options.files / seconds:.0f} files/s; first answers on the disk after {first:.1f} s")
    print(f"processors used: {used / seconds:.2f}, {used / options.files * 1000:.2f} ms of one for a file")
    print(f"memory, MiB: {watch.peak(0, 0.1):.0f} to 10 %, {watch.peak(0.1, 0.5):.0f} to 50 %, "
          f"{watch.peak(0.5, 1):.0f} to 100 %")  # fmt: skip
    if not options.kills:
        return 0

    chance = random.Random(0)  # noqa: S311 - moments, not secrets
    for kill in range(options.kills):
        process = start([*words, "--out", str(killed), "--resume"])
        time.sleep(first + chance.uniform(0, seconds / (options.kills + 1)))
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.wait()
        print(f"kill {kill + 1}: {killed.stat().st_size if killed.exists() else 0} bytes written")
    start([*words, "--out", str(killed), "--resume"]).wait()
    same = answers(straight) == answers(killed)
    print(f"after the kills: {'same' if same else 'DIFFERENT'}")
    if not options.work:
        shutil.rmtree(work)
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
