"""The wheel alone, in an environment of its own: light, and enough to predict. Slow: it installs packages."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import pytest

LARGEST = 400e6


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_core_predicts_and_stays_below_400_mb(root: Path, wheel: Path, small_run: Path, tmp_path: Path):
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
    python = venv / ("Scripts" if os.name == "nt" else "bin") / "python"
    before = size_of(venv)
    options = ["--quiet", "--constraint", str(root / "constraints.txt")]
    subprocess.run([str(python), "-m", "pip", "install", *options, str(wheel)], check=True, timeout=1500)
    size = size_of(venv) - before
    print(f"\ncore install: {size / 1e6:.0f} MB")  # noqa: T201 - for whoever runs it with -s
    assert size <= LARGEST

    answer = tmp_path / "slices"
    answer.mkdir()
    from tumorlens.data.phantom import make_slices

    for index, item in enumerate(make_slices(8)):
        cv2.imwrite(str(answer / f"{index}.png"), item.image)
    words = [str(python), "-m", "tumorlens", "predict", str(answer), "--model", str(small_run), "--format", "json"]
    # -I would hide the source tree too; an empty working directory and environment do the same here.
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    found = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path, env=environment, check=False)
    assert found.returncode == 0, found.stderr
    here = [sys.executable, *words[1:]]
    expected = json.loads(subprocess.run(here, capture_output=True, text=True, check=True, timeout=1500).stdout)
    given = json.loads(found.stdout)
    assert len(given) == len(expected) == 8
    for a, b in zip(given, expected, strict=True):
        assert a["predicted"] == b["predicted"]
        assert a["probabilities"] == pytest.approx(b["probabilities"], abs=1e-6)

    for arguments, extra in ((["train", "phantom:40"], "train"), (["predict", "x.dcm"], "")):
        words = [str(python), "-m", "tumorlens", *arguments]
        found = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path, env=environment, check=False)
        assert found.returncode in (2, 3)
        assert "Traceback" not in found.stderr
        assert not extra or f"tumorlens[{extra}]" in found.stderr


def size_of(folder: Path) -> int:
    """Bytes of the files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
