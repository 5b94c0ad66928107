from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# A network that fits in seconds: these tests are about what is installed, not about scores.
SMALL = [
    "--epochs",
    "1",
    "--seed",
    "0",
    "--set",
    "preprocess.size=32",
    "--set",
    "model.width=4",
    "--set",
    "evaluate.bootstrap=100",
]


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository; skipped where the tests run without it."""
    if not (ROOT / "pyproject.toml").is_file():
        pytest.skip("needs the repository")
    return ROOT


@pytest.fixture(scope="session")
def command() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs ``tumorlens`` as a user does, in a process of its own."""

    def run(*arguments: object, code: int | None = 0, **options: object) -> subprocess.CompletedProcess[str]:
        words = [sys.executable, "-m", "tumorlens", *map(str, arguments)]
        found = subprocess.run(words, capture_output=True, text=True, timeout=800, check=False, **options)
        assert code is None or found.returncode == code, found.stderr + found.stdout
        return found

    return run


@pytest.fixture(scope="session")
def small_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder trained on a small phantom with the smallest network."""
    folder = tmp_path_factory.mktemp("small")
    words = [sys.executable, "-m", "tumorlens", "train", "phantom:120", "--out", str(folder / "run"), *SMALL]
    environment = {**os.environ, "TUMORLENS_CACHE": str(folder / "cache")}
    found = subprocess.run(words, capture_output=True, text=True, timeout=800, check=False, env=environment)
    assert found.returncode == 0, found.stderr
    return folder / "run"


@pytest.fixture(scope="session")
def wheel(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built with the pinned build backend and without a network."""
    out = tmp_path_factory.mktemp("wheel")
    words = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(root)]
    found = subprocess.run(words, capture_output=True, text=True, timeout=800, check=False)
    assert found.returncode == 0, found.stderr + found.stdout
    return next(out.glob("*.whl"))


def scripts_folder() -> Path:
    """Where this environment keeps its commands."""
    return Path(sysconfig.get_path("scripts"))
