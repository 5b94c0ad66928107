"""The example notebook runs from top to bottom, in a minute, on the phantom."""

from __future__ import annotations

import html
import re
import time
from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
pytest.importorskip("keras")


@pytest.fixture
def notebook(root: Path):
    return nbformat.read(root / "examples" / "first_model.ipynb", as_version=4)


def test_it_is_stored_without_outputs(notebook):
    nbformat.validate(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert not cell.outputs
            assert cell.execution_count is None


def test_it_uses_the_phantom_only(notebook):
    text = "\n".join(cell.source for cell in notebook.cells)
    assert "shared" not in text
    assert "phantom" in text


@pytest.mark.timeout(280)
def test_it_runs(notebook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TUMORLENS_NOTEBOOK_SLICES", "160")
    monkeypatch.setenv("TUMORLENS_NOTEBOOK_EPOCHS", "2")
    begun = time.monotonic()
    nbclient.NotebookClient(notebook, timeout=800, resources={"metadata": {"path": str(tmp_path)}}).execute()
    print(f"{time.monotonic() - begun:.0f} s")  # noqa: T201 - shown when the test fails
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert not [output for output in outputs if output.output_type == "error"]
    shown = [output["data"] for output in outputs if "data" in output]
    assert sum("image/png" in data for data in shown) >= 5
    charts = [data["text/html"] for data in shown if "<iframe" in data.get("text/html", "")]
    assert len(charts) == 2
    # The charts carry their own scripts: nothing is loaded from another host.
    assert not [chart for chart in charts if re.search(r"<script[^>]*src=|cdn\.", html.unescape(chart))]
    run = next((tmp_path / "runs").iterdir())
    assert (run / "report.html").is_file()
    assert (run / "bundle" / "model.onnx").is_file()
