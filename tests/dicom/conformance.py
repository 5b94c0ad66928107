"""What a checker of another project finds wrong with a DICOM object: ``dciodvfy`` of dicom3tools."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest


def faults(path: Path) -> list[str]:
    if not shutil.which("dciodvfy"):
        pytest.skip("needs dciodvfy: apt-get install dicom3tools")
    told = subprocess.run(["dciodvfy", path], capture_output=True, check=False)
    return [line for line in (told.stdout + told.stderr).decode("latin-1").splitlines() if line.startswith("Error")]


def verified(path: Path) -> None:
    """There are no faults."""
    found = faults(path)
    assert not found, found
