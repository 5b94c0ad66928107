"""A network that is dropped leaves nothing behind in the process: the next Ctrl-C still arrives."""

from __future__ import annotations

import subprocess
import sys

import pytest

DROP_THEN_SIGNAL = """
import gc, signal
import tumorlens

signal.signal(signal.SIGTERM, lambda *_: print("arrived", flush=True))
first = tumorlens.load(engine="openvino")
second = tumorlens.load(engine="openvino")
for model in ("first", "second"):
    del globals()[model]
    gc.collect()
signal.raise_signal(signal.SIGTERM)
"""


def test_a_signal_arrives_after_two_openvino_networks_were_dropped() -> None:
    # OpenVINO's processor plugin gives the thread a stack for signals and takes it away again when it goes: with two of
    # them, the older first, the thread is left with one that no longer exists, and dies of the next signal.
    pytest.importorskip("openvino")
    done = subprocess.run([sys.executable, "-c", DROP_THEN_SIGNAL], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "arrived\n"), done.stderr
