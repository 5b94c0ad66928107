"""The phantom in the cache, where several processes may draw it at once."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from tumorlens import data
from tumorlens.data import phantom, phantoms


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TUMORLENS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def folder_of(manifest: data.Manifest) -> Path:
    return Path(manifest.rows[0].path).parents[1]


def test_it_is_drawn_once_and_anew_where_it_was_deleted_in_part(cache: Path) -> None:
    first = phantoms.read_phantom("8", seed=3)
    drawn = folder_of(first)
    stamps = {path: path.stat().st_mtime_ns for path in drawn.rglob("*.png")}
    assert phantoms.read_phantom("8", seed=3).rows == first.rows
    assert {path: path.stat().st_mtime_ns for path in drawn.rglob("*.png")} == stamps
    (drawn / "manifest.csv").unlink()
    assert phantoms.read_phantom("8", seed=3).rows == first.rows
    assert all(Path(row.path).is_file() for row in first)
    assert [path.name for path in cache.iterdir()] == [drawn.name], "nothing is left lying about"


def test_a_faster_process_keeps_what_it_may_be_reading(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = folder_of(phantoms.read_phantom("8", seed=3))
    elsewhere = cache.with_name("elsewhere")
    drawn.rename(elsewhere)
    write = phantom.write_phantom

    def slower(*given: Any) -> Path:
        made = write(*given)
        shutil.move(elsewhere, drawn)
        return made

    monkeypatch.setattr(phantom, "write_phantom", slower)
    of_other = {path.relative_to(elsewhere): path.stat().st_ino for path in elsewhere.rglob("*.png")}
    assert len(phantoms.read_phantom("8", seed=3)) == 8
    assert {path.relative_to(drawn): path.stat().st_ino for path in drawn.rglob("*.png")} == of_other
    assert [path.name for path in cache.iterdir()] == [drawn.name]
