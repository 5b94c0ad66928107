from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


def picture(path: Path, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 255, (8, 8), np.uint8)
    Image.fromarray(noise).save(path, format="JPEG" if path.suffix.lower() in (".jpg", ".jpeg") else "PNG")
    return path


@pytest.fixture
def tree(tmp_path) -> Callable[..., Path]:
    """Makes a folder of small pictures: ``tree("set", "glioma/a.png", …)``."""

    def make(name: str, *files: str) -> Path:
        for seed, file in enumerate(files):
            picture(tmp_path / name / file, seed)
        return tmp_path / name

    return make


@pytest.fixture
def zipped(tmp_path) -> Callable[[Path], Path]:
    """Packs a folder into ``<name>.zip`` beside it."""

    def make(folder: Path) -> Path:
        archive = tmp_path / f"{folder.name}.zip"
        with zipfile.ZipFile(archive, "w") as file:
            for path in sorted(folder.rglob("*")):
                if path.is_file():
                    file.write(path, str(path.relative_to(folder)))
        return archive

    return make
