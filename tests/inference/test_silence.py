"""Libraries that report their use to their makers do not: no identifier, no file of theirs, no uploader."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ASK = """
import sys, tumorlens
model = tumorlens.load(engine=sys.argv[1])
print(model.predict(f"{tumorlens.__path__[0]}/web/static/examples/glioma.png").predicted)
print([name for name in sys.modules if "openvino_telemetry" in name and sys.modules[name] is not None])
"""


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_an_answer_leaves_nothing_for_anybody(engine: str, tmp_path: Path) -> None:
    if engine == "openvino":
        pytest.importorskip("openvino")
    home = tmp_path / "home"
    home.mkdir()
    environment = {
        "PATH": "/usr/bin", "HOME": str(home), "TMPDIR": str(home), "PYTHONPATH": ":".join(sys.path),
        "TUMORLENS_CACHE": str(tmp_path / "cache"), "PYTHONDONTWRITEBYTECODE": "1",
    }  # fmt: skip
    done = subprocess.run([sys.executable, "-c", ASK, engine], env=environment, capture_output=True, text=True)
    assert done.stdout.splitlines() == ["glioma", "[]"], done.stderr
    assert [str(path) for path in home.rglob("*")] == []
