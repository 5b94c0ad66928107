"""A node that is killed, whose PACS goes away and whose disk fills up: what is lost, what is answered twice.

Command: ``PYTHONPATH=. python benchmarks/node_soak.py [--instances 2000] [--kills 20]``; needs Orthanc, and to be root:
a small file system of its own is mounted for the disk that fills up (without that the disk stays as it is, and it says
so). Drawn heads in series of 20 are sent over C-STORE; whatever was not acknowledged is sent again. Meanwhile the node
is killed (SIGKILL) at random moments and started again, the PACS stops for a minute, and the disk is full for a while.
Then: every acknowledged instance is in the queue, every series has one report, which names all of its instances, and
the queue is empty within a minute.
"""

from __future__ import annotations

import argparse
import io
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pydicom
import pynetdicom
from tests.dicom.conftest import ORTHANC, Pacs
from tests.dicom.test_reports import drawn

from tumorlens.dicom.queue import Queue
from tumorlens.dicom.watching import status
from tumorlens.io.guard import quiet

_SERIES = 20
_DISK_MIB = 300
_AWAY = 60.0
_PAUSE = 0.04  # between instances, so that all that happens happens while they come


class Sender(threading.Thread):
    """Sends files until each has been acknowledged."""

    def __init__(self, port: int, paths: list[Path]) -> None:
        super().__init__(daemon=True)
        self.port, self.waiting, self.acknowledged, self.refused = port, list(paths), [], Counter()

    def run(self) -> None:
        """Again and again, in the order of the list."""
        while self.waiting:
            entity = pynetdicom.AE(ae_title="SENDER")
            entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = 20
            entity.add_requested_context("1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.1.2.1")
            association = entity.associate("127.0.0.1", self.port, ae_title="TUMORLENS")
            if not association.is_established:
                time.sleep(0.2)
                continue
            while self.waiting and association.is_established:
                try:
                    data = pydicom.dcmread(self.waiting[0])
                    found = association.send_c_store(data).get("Status")
                except (RuntimeError, OSError):
                    break
                if found == 0:
                    self.waiting.pop(0)
                    self.acknowledged.append(str(data.SOPInstanceUID))
                    time.sleep(_PAUSE)
                else:
                    self.refused["no answer" if found is None else f"{found:04X}"] += 1
                    time.sleep(0.5)
                    break
            if association.is_established:
                association.release()


def pictures(folder: Path, count: int) -> list[Path]:
    """Series of drawn heads, as files."""
    paths: list[Path] = []
    for number in range(count // _SERIES):
        paths += drawn(folder / f"{number:04}", _SERIES)
    return paths


def started(command: list[str], log: Path) -> subprocess.Popen[bytes]:
    """The node, listening; started again while it cannot start (a full disk), as a service manager does."""
    while True:
        with log.open("ab") as file:
            begun = file.tell()
            process = subprocess.Popen(command, stderr=file)
        while process.poll() is None:
            if b"listens" in log.read_bytes()[begun:]:
                return process
            time.sleep(0.05)
        time.sleep(1)


def filled(place: Path, seconds: float) -> None:
    """Leave no byte free for a while."""
    with (place / "ballast").open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"\0" * (1 << 20))
        except OSError:
            pass
        try:
            while True:
                file.write(b"\0")
        except OSError:
            pass
    time.sleep(seconds)
    (place / "ballast").unlink()


def soak(options: argparse.Namespace, place: Path, work: Path) -> bool:
    """Run it all; whether nothing was lost and nothing done twice."""
    rng = random.Random(0)  # noqa: S311 - when to kill
    (work / "pacs").mkdir()
    with quiet():
        paths = pictures(work / "in", options.instances)
        series = {str(pydicom.dcmread(path, stop_before_pixels=True).SeriesInstanceUID) for path in paths}
    pacs = Pacs(work / "pacs")
    command = [sys.executable, "-m", "tumorlens", "dicom-node", "--data", str(place / "node"), "--from-any"]
    command += ["--port", str(pacs.node), "--to", f"ORTHANC@127.0.0.1:{pacs.port}", "--keep-free", "0", "--wait", "20"]
    node, log = started(command, work / "log"), work / "log"
    sender = Sender(pacs.node, paths)
    begun = time.monotonic()
    sender.start()
    away: threading.Thread | None = None
    full: threading.Thread | None = None

    def leave() -> None:
        pacs.stop()
        time.sleep(_AWAY)
        pacs.start()

    for number in range(options.kills):
        time.sleep(rng.uniform(1.0, 5.0))
        node.kill()
        node.wait()
        node = started(command, log)
        if number == options.kills // 4 and options.mounted:
            full = threading.Thread(target=filled, args=(place, 10.0))
            full.start()
        if number == options.kills // 2:
            away = threading.Thread(target=leave)
            away.start()
    for thread in (full, away, sender):
        if thread is not None:
            thread.join()
    sent = time.monotonic()
    print(f"{len(sender.acknowledged)} acknowledged in {sent - begun:.0f} s, {options.kills} kills, "
          f"refused meanwhile: {dict(sender.refused)}")  # fmt: skip
    while True:
        now = status(place / "node")
        left = sum(now.series.get(name, 0) for name in ("open", "closed")) + now.objects.get("due", 0)
        if not left or time.monotonic() - sent > 600:
            break
        time.sleep(0.5)
    drained = time.monotonic() - sent
    node.terminate()
    node.wait(60)
    found = judged(pacs, place / "node", sender.acknowledged, series)
    pacs.stop()
    print(f"queue empty {drained:.0f} s after the last instance (of which --wait is 20): {now.series} {now.objects}")
    print(", ".join(f"{name}: {number}" for name, number in found.items()))
    return (
        not any(found[name] for name in ("lost", "series without a report", "reports too many", "left out"))
        and not left
    )


def judged(pacs: Pacs, folder: Path, acknowledged: list[str], series: set[str]) -> dict[str, int]:
    """What is missing and what is too much, by the queue and by the PACS."""
    queue = Queue(folder)
    kept = {one.sop for uid in series for one in queue.instances(uid) if one.file.is_file()}
    named: dict[str, list[set[str]]] = {}
    with quiet():
        for entry in pacs.found("SR"):
            report: Any = pydicom.dcmread(io.BytesIO(pacs.content(entry["ID"])))
            evidence = report.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence
            for one in evidence:
                sops = {str(item.ReferencedSOPInstanceUID) for item in one.ReferencedSOPSequence}
                named.setdefault(str(one.SeriesInstanceUID), []).append(sops)
        whole = {uid: {one.sop for one in queue.instances(uid)} for uid in series}
    queue.close()
    return {
        "acknowledged": len(acknowledged),
        "lost": len(set(acknowledged) - kept),
        "series": len(series),
        "series without a report": len(series - set(named)),
        "reports": sum(map(len, named.values())),
        "reports too many": sum(len(sets) - 1 for sets in named.values()),
        "left out": sum(1 for uid, sets in named.items() if max(sets, key=len) != whole[uid]),
    }


def main() -> None:
    """Mount, soak, tidy up; exit code 1 when something was lost or done twice."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--instances", type=int, default=2000)
    parser.add_argument("--kills", type=int, default=20)
    options = parser.parse_args()
    if ORTHANC is None:
        raise SystemExit("needs Orthanc: apt-get install orthanc")
    with tempfile.TemporaryDirectory() as folder:
        place, work = Path(folder) / "disk", Path(folder) / "work"
        place.mkdir()
        work.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", f"size={_DISK_MIB}m", "tmpfs", str(place)]
        options.mounted = bool(shutil.which("mount")) and not subprocess.run(mount, capture_output=True).returncode
        if not options.mounted:
            print("no small file system could be mounted: the disk is never full in this run")
        try:
            good = soak(options, place, work)
        finally:
            if options.mounted:
                subprocess.run(["umount", "-l", str(place)], check=False)
    raise SystemExit(0 if good else 1)


if __name__ == "__main__":
    main()
