"""The shipped model, scans, files that kill, hang or confuse whoever opens them, and a run that knows all of trust."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.conftest import made_once

import tumorlens
from tumorlens.pipeline.model import Model

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


@pytest.fixture(scope="session")
def model() -> Model:
    """The one that ships."""
    return tumorlens.load()


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that :func:`tests.pipeline.scans.write_scans` makes. Only to be read."""
    from tests.pipeline.scans import write_scans

    return made_once(tmp_path_factory, "scans", write_scans)


# As little as a training can be.
PLAIN = (
    "preprocess.size=32", "model.name=plain", "model.width=8", "model.depth=2", "train.epochs=2",
    "evaluate.bootstrap=100",
)  # fmt: skip

# Small pictures, but large enough for a gate, and enough validation slices to calibrate on.
GATED = (
    "preprocess.size=64", "model.width=8", "train.epochs=3", "train.batch_size=16", "evaluate.bootstrap=200",
    "data.fractions=[0.4,0.4,0.2]", "evaluate.report=false",
)  # fmt: skip


@pytest.fixture(scope="session")
def gated_run(phantom_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a calibrated run with a gate and no report. Only to be read."""
    from tumorlens import config
    from tumorlens.pipeline.training import train

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TUMORLENS_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        folder = tmp_path_factory.mktemp("gated") / "run"
        return train(phantom_folder / "manifest.csv", settings=config.load(None, GATED), out=folder).folder


@pytest.fixture(scope="session")
def poison(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for PYTHONPATH with :data:`POISON`."""
    folder = tmp_path_factory.mktemp("early")
    (folder / "sitecustomize.py").write_text(POISON)
    return folder


@pytest.fixture
def poisoned(poison: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes that are started read :data:`POISON` first; with a machine to be asked for before it."""
    monkeypatch.setenv("PYTHONPATH", str(poison))
