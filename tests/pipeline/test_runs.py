"""Who owns a run folder, and which folders can be begun or continued."""

from __future__ import annotations

from pathlib import Path

import pytest

from tumorlens.config import Settings
from tumorlens.data.manifest import Manifest, Row
from tumorlens.errors import EnvironmentFailure, UsageError
from tumorlens.pipeline import locking, runs
from tumorlens.pipeline.training import resume


def begin(folder: Path) -> None:
    manifest = Manifest((Row("a.png", label="glioma"), Row("b.png", label="no_tumor")))
    runs.begin(folder, Settings(), manifest, runs.Start("n", runs.now(), "f"))


def test_a_run_killed_before_it_began_can_be_begun_again(tmp_path: Path) -> None:
    half = tmp_path / "half"
    with runs.new_folder(half, "n"):
        begin(half)
    (half / "config.toml").unlink()
    (half / ".config.toml.x.part").write_text("")
    with pytest.raises(UsageError) as caught:
        resume(half)
    assert f"--out {half}" in caught.value.hint
    with runs.new_folder(half, "n") as folder:
        assert folder == half


def test_a_finished_run_with_damaged_scores_says_so(tmp_path: Path) -> None:
    begin(tmp_path)
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "bundle.json").write_text("{}")
    (tmp_path / "metrics.json").write_text('{"test": ')
    with pytest.raises(UsageError, match=r"metrics\.json is damaged"):
        resume(tmp_path)


@pytest.mark.parametrize("name", ["manifest.csv", "config.toml", "notes.txt"])
def test_a_folder_of_somebody_elses_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("mine")
    with pytest.raises(UsageError, match="not empty") as caught, runs.new_folder(tmp_path, "n"):
        pass
    assert ("--resume" in caught.value.hint) is (name == "config.toml")
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_one_process_per_run(tmp_path: Path) -> None:
    with runs.new_folder(tmp_path / "run", "n") as folder:
        begin(folder)
        (folder / ".bundle.x.part").mkdir()  # what the running process is writing
        with pytest.raises(UsageError, match="is running"):
            resume(folder)
        with pytest.raises(UsageError), runs.new_folder(folder, "n"):
            pass
        assert (folder / ".bundle.x.part").is_dir()
    with locking.held(folder):
        pass


def test_runs_begun_in_the_same_second_get_folders_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with runs.new_folder(None, "n") as a, runs.new_folder(None, "n") as b, runs.new_folder(None, "n") as c:
        assert len({a, b, c}) == 3


@pytest.mark.parametrize("name", ["run.json", "manifest.csv"])
def test_a_run_that_lost_a_file_says_which(name: str, tmp_path: Path) -> None:
    begin(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(UsageError, match=f"{name} is missing"):
        resume(tmp_path)


def test_a_damaged_run_says_so(tmp_path: Path) -> None:
    begin(tmp_path)
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(UsageError, match=r"run\.json is damaged"):
        runs.reopen(tmp_path)


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentFailure, match="cannot write to"), runs.new_folder(tmp_path / "file" / "run", "n"):
        pass
