from __future__ import annotations

import email
import re
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

import tumorlens

TEMPLATES = {"report.html.j2", "style.css", "charts.js"}


@pytest.fixture(scope="module")
def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_it_carries_every_module_and_data_file(names: set[str], root: Path):
    here = {
        path.relative_to(root / "src").as_posix()
        for path in (root / "src").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".pyc"
    }
    assert here <= names
    assert {f"tumorlens/report/templates/{name}" for name in TEMPLATES} <= names
    assert "tumorlens/py.typed" in names


def test_it_carries_nothing_else(names: set[str]):
    assert {name.split("/")[0] for name in names} == {"tumorlens", f"tumorlens-{tumorlens.__version__}.dist-info"}
    assert not [name for name in names if "test" in name.lower() or name.endswith(".pyc")]


def test_it_is_small(wheel: Path):
    """The model that ships may take eight of these."""
    assert wheel.stat().st_size < 10_000_000


def test_its_metadata(wheel: Path, names: set[str]):
    folder = f"tumorlens-{tumorlens.__version__}.dist-info"
    with zipfile.ZipFile(wheel) as archive:
        found = email.message_from_bytes(archive.read(f"{folder}/METADATA"))
    assert found["Version"] == tumorlens.__version__
    assert found["License-Expression"] == "Apache-2.0"
    assert found["Requires-Python"] == "<3.14,>=3.11"
    assert {f"{folder}/licenses/LICENSE", f"{folder}/licenses/THIRD_PARTY_LICENSES.md"} <= names
    assert {"train", "report", "dicom", "nifti", "kaggle", "train-gpu"} <= set(found.get_all("Provides-Extra"))


def test_one_version_everywhere(root: Path):
    citation = (root / "CITATION.cff").read_text(encoding="utf-8")
    assert re.search(r"^version: (.+)$", citation, re.MULTILINE)[1] == tumorlens.__version__
    assert metadata.version("tumorlens") == tumorlens.__version__
    assert tumorlens.__version__ in (root / "CHANGELOG.md").read_text(encoding="utf-8")
    assert "version" not in tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
