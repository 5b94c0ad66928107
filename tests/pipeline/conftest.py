"""Files that kill, hang or confuse whoever opens them."""

from __future__ import annotations

from pathlib import Path

import pytest

# A file that kills whoever opens it, one that takes for ever, and one that brings out a fault, in the processes that
# begin with this.
POISON = """
import os, signal, sys, time

def opened(event, words):
    if event == "open" and str(words[0]).endswith("poison.png"):
        os.kill(os.getpid(), signal.SIGKILL)
    if event == "open" and str(words[0]).endswith("odd.png"):
        raise ZeroDivisionError("what the file holds")
    if event == "open" and str(words[0]).endswith("slow.png"):
        time.sleep(600)

sys.addaudithook(opened)
"""


@pytest.fixture
def poisoned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes that are started read :data:`POISON` first; with a cluster to be asked for before it."""
    (tmp_path / "early").mkdir()
    (tmp_path / "early" / "sitecustomize.py").write_text(POISON)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "early"))
