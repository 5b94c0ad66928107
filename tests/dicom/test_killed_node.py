"""A series that kills the node: what waits behind it is answered, and that one is given up."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tumorlens.dicom.queue import Queue
from tumorlens.dicom.watching import status

pytest.importorskip("pynetdicom")
pytest.importorskip("highdicom")

# A node that decodes nothing: one series kills it as a fault in a decoder's C code or the kernel would.
NODE = textwrap.dedent(
    """
    import os, signal, sys, time
    from pathlib import Path
    from types import SimpleNamespace
    from tumorlens.dicom import node

    def answered(instances, model):
        if instances[0].series == "1.2.1":
            os.kill(os.getpid(), signal.SIGKILL)
        return {"1.2.9": b"report"}

    node.objects_of, node._WAIT = answered, 0.0
    model = SimpleNamespace(predictor=SimpleNamespace(bundle=SimpleNamespace(sha256="0")))
    one = node.Node(node.NodeOptions(Path(sys.argv[1]), port=0, quiet=0.0, free=0), model)
    while {"open", "closed"} & set(one.queue.counts()["series"]):
        time.sleep(0.05)
    one.stop()
    """
)


def test_a_series_that_kills_the_node_is_given_up_and_the_next_is_answered(tmp_path: Path) -> None:
    queue = Queue(tmp_path)
    queue.receive("1.2.1.1", "1.2.1", "1.2", b"poison", now=100)
    queue.receive("1.2.2.1", "1.2.2", "1.2", b"good", now=101)
    queue.close()
    ends: list[int] = []
    while 0 not in ends and len(ends) < 8:  # as a supervisor does
        ends.append(subprocess.run([sys.executable, "-c", NODE, str(tmp_path)], check=False, timeout=120).returncode)
        if len(ends) == 2:  # one restart is enough for the series behind
            assert status(tmp_path).series == {"open": 1, "answered": 1}
    assert ends == [-signal.SIGKILL] * 5 + [0]
    assert status(tmp_path).series == {"answered": 1, "refused": 1}
    assert status(tmp_path).refusals == {"crashed": 1}
    told = (tmp_path / "audit.jsonl").read_text().splitlines()
    assert sum('"series failed", "series": "1.2.1", "reason": "crashed"' in line for line in told) == 5
