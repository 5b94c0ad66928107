from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

# How long an example takes says how busy the machine is.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

SHARED = Path(__file__).resolve().parents[1].parent / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The real images beside the repository; a test that asks for them is skipped where they are absent."""
    if not SHARED.is_dir():
        pytest.skip(f"needs the real images in {SHARED}")
    return SHARED


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the cache of the person who runs it."""
    monkeypatch.setenv("TUMORLENS_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


TINY = ("preprocess.size=48", "model.width=8", "train.epochs=3", "train.batch_size=16", "evaluate.bootstrap=200")


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """A folder that the first process of a parallel test run makes, and that all of them read."""
    base = factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    with (shared / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (shared / name).exists():
            shutil.rmtree(shared / f"{name}-unfinished", ignore_errors=True)
            make(shared / f"{name}-unfinished")
            (shared / f"{name}-unfinished").rename(shared / name)
    return shared / name


@pytest.fixture(scope="session")
def phantom_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """240 phantom slices in class folders; the CSV with patients is ``manifest.csv`` inside. Only to be read."""
    from tumorlens.data.phantom import write_phantom

    return made_once(tmp_path_factory, "phantom", lambda folder: write_phantom(folder, 240, 5))


@pytest.fixture(scope="session")
def finished_run(phantom_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a short run of ``compact`` on the phantom; this process has it to itself."""
    from tumorlens import config
    from tumorlens.pipeline.training import train

    def make(folder: Path) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("TUMORLENS_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
            train(phantom_folder / "manifest.csv", settings=config.load(None, TINY), out=folder)

    own = tmp_path_factory.mktemp("runs") / "compact"
    shutil.copytree(made_once(tmp_path_factory, "finished-run", make), own)
    return own
