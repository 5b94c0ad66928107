"""The file of answers and its state: what was committed is kept, once, and what is somebody else's is left."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from tumorlens.errors import EnvironmentFailure, UsageError
from tumorlens.pipeline import keeping
from tumorlens.pipeline.answering import Part
from tumorlens.pipeline.keeping import Ledger, state_of


def test_one_file_is_written_by_one_process(tmp_path: Path) -> None:
    out = tmp_path / "a.jsonl"
    with Ledger(out, {}, "", resume=False):
        with pytest.raises(UsageError) as caught:
            Ledger(out, {}, "", resume=True)
        assert caught.value.code == "running"
    with pytest.raises(UsageError) as caught:
        Ledger(out, {}, "", resume=False)
    assert caught.value.code == "exists"


def test_what_was_not_committed_is_forgotten_and_what_was_is_kept(tmp_path: Path) -> None:
    out = tmp_path / "a.jsonl"
    ledger = Ledger(out, {"a": "b"}, "head\n", resume=False)
    ledger.add([b"1"], Part(text="one\n", used=1, slices=[{"series": "s", "n": 1}], roots={"r": (1, 0, "")}))
    ledger.commit()
    ledger.add([b"2"], Part(text="two\n", failed=["no"], slices=[{"series": "s", "n": 2}], roots={"r": (0, 1, "x")}))
    ledger.close()  # as a kill does
    again = Ledger(out, {"a": "b"}, "head\n", resume=True)
    assert (again.before, again.used, again.failed) == (1, 1, 0)
    assert again.begin([b"1", b"2"]) == {b"2"}
    assert again.begin([b"2"]) == set()  # in work
    assert list(again.series()) == []
    assert again.roots() == [("r", 1, 0, "")]
    again.add([b"2"], Part(text="zwei\n", used=1, slices=[{"series": "s", "n": 3}], roots={"r": (0, 2, "y")}))
    assert list(again.series()) == [("s", [{"series": "s", "n": 1}, {"series": "s", "n": 3}])]
    assert again.roots() == [("r", 1, 2, "y")]
    again.commit()
    again.close()
    assert out.read_text() == "head\none\nzwei\n"
    out.write_text("head\n")
    with pytest.raises(EnvironmentFailure) as caught:
        Ledger(out, {"a": "b"}, "head\n", resume=True)
    assert caught.value.code == "changed"


def test_a_state_without_its_file_is_begun_again_and_a_foreign_one_is_left_alone(tmp_path: Path) -> None:
    out = tmp_path / "a.jsonl"
    ledger = Ledger(out, {"a": "b"}, "", resume=False)
    ledger.add([b"1"], Part(text="one\n", used=1))
    ledger.commit()
    ledger.close()
    out.unlink()
    with Ledger(out, {"a": "c"}, "", resume=True) as fresh:
        assert fresh.before == 0
    assert out.read_bytes() == b""
    other = tmp_path / "b.jsonl"
    state_of(other).write_text("somebody's notes, longer than the head of a database would have to be to be one" * 20)
    with pytest.raises((UsageError, EnvironmentFailure)):
        Ledger(other, {}, "", resume=False)
    assert state_of(other).read_text().startswith("somebody")
    assert not other.exists()


def test_a_full_disk_is_one_clear_error_and_gives_up_the_lock(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full")
    out = tmp_path / "a.jsonl"
    ledger = Ledger(out, {}, "", resume=False)
    assert ledger._file is not None
    ledger._file.close()
    with pytest.raises(EnvironmentFailure) as caught, ledger:
        ledger._file = io.BufferedWriter(io.FileIO("/dev/full", "w"))
        ledger.add([b"1"], Part(text="one\n", used=1))
    assert caught.value.code == "disk_full"
    with Ledger(out, {}, "", resume=True) as again:
        assert again.before == 0


def test_the_state_commits_about_once_a_second(tmp_path: Path) -> None:
    assert 0 < keeping._SECONDS <= 5
    ledger = Ledger(tmp_path / "a", {}, "", resume=False)
    ledger._committed -= 10
    ledger.add([b"1"], Part(text="one\n", used=1))
    ledger.close()
    again = Ledger(tmp_path / "a", {}, "", resume=True)
    assert again.before == 1
    again.close()
