"""Answers for an archive: the same as one by one, each input once, and in a file that nothing else can spoil."""

from __future__ import annotations

import csv
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.pipeline.scans import Told, answer, asked, entries

from tumorlens.cli.main import main
from tumorlens.data.inputs import Item
from tumorlens.errors import UsageError
from tumorlens.pipeline import archiving, keeping
from tumorlens.pipeline.answering import Part
from tumorlens.pipeline.keeping import Ledger, state_of
from tumorlens.pipeline.model import Model


def named(entry: dict[str, Any]) -> str:
    return str(entry.get("id") or entry["path"])


@pytest.fixture(scope="module")
def whole(archive: Path, model: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The answers of a run that nothing stopped."""
    out = tmp_path_factory.mktemp("whole") / "answers.jsonl"
    answer(asked(out, archive, archive / "more.npz"), model)
    return out


def test_the_answers_are_those_of_one_by_one_and_the_series_come_last(archive: Path, model: Model, whole: Path) -> None:
    notes = Told()
    one_by_one = [a.as_dict() for a in model.predict_paths([str(archive), str(archive / "more.npz")], reporter=notes)]
    found = entries(whole)
    assert [named(entry) for entry in found] == [named(entry) for entry in one_by_one]
    assert [entry.get("id") for entry in found[-2:]] == [entry["id"] for entry in one_by_one[-2:]]
    assert [len(entry["slices"]) for entry in found[-2:]] == [24, 24]
    for mine, other in zip(found, one_by_one, strict=True):
        if "error" in mine:
            assert mine["error"] == other["error"]
        else:
            assert mine["probabilities"] == pytest.approx(other["probabilities"], abs=1e-6)
            assert mine.get("slices") == (list(other["slices"]) if "slices" in other else None)
    assert sorted(path.name for path in whole.parent.iterdir()) == [whole.name, state_of(whole).name]
    assert state_of(whole).stat().st_size < 20_000  # that it is complete, and no more


def test_what_is_said_is_what_is_said_without_a_file(archive: Path, model: Model, tmp_path: Path) -> None:
    told = Told()
    list(model.predict_paths([str(archive)], reporter=told))
    notes = answer(asked(tmp_path / "a.jsonl", archive), model)
    assert set(told.notes) <= set(notes)
    assert any("3 files that are no images" in note for note in notes)  # and the .npz, a data set of its own
    assert any("text.jpg" in note for note in notes)


@pytest.mark.parametrize(("form", "after"), [("jsonl", 0), ("jsonl", 3), ("csv", 1)])
def test_a_run_that_was_stopped_goes_on_and_ends_with_the_same_file(
    form: str, after: int, archive: Path, model: Model, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / f"answers.{form}"
    straight = tmp_path / f"straight.{form}"
    answer(asked(straight, archive, archive / "more.npz", form=form), model)

    add = Ledger.add
    parts = 0

    def stopping(self: Ledger, keys: list[bytes], part: Part) -> None:
        nonlocal parts
        parts += 1
        if parts > after:
            self._write(part.text[: len(part.text) // 2])  # as far as a process came that is gone
            raise KeyboardInterrupt
        add(self, keys, part)

    monkeypatch.setattr(Ledger, "add", stopping)
    monkeypatch.setattr(keeping, "_SECONDS", 0.0)
    what = asked(out, archive, archive / "more.npz", form=form)
    with pytest.raises(KeyboardInterrupt):
        answer(what, model)
    monkeypatch.undo()
    assert state_of(out).exists()
    with out.open("ab") as file:
        file.write(b'{"id": "half a li')
    with pytest.raises(UsageError) as caught:
        answer(what, model)
    assert caught.value.code == "exists"
    assert "--resume" in caught.value.hint
    notes = answer(asked(out, archive, archive / "more.npz", form=form, resume=True), model)
    assert any("going on" in note for note in notes) == (after > 0)
    if form == "jsonl":
        assert entries(out) == entries(straight) == entries(whole)
    else:
        assert out.read_bytes() == straight.read_bytes()
        rows = list(csv.DictReader(out.open()))
        assert {row["error"] for row in rows} >= {"mask", "not_an_image", "empty"}
        assert sum(row["series"] == "true" for row in rows) == 3
    ended = out.read_bytes()
    assert any("is complete" in note for note in answer(asked(out, *what.named, form=form, resume=True), model))
    assert out.read_bytes() == ended


def test_other_settings_are_refused(
    archive: Path, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "a.jsonl"
    monkeypatch.setattr(keeping, "_SECONDS", 0.0)

    def stopped() -> Iterator[str]:
        yield str(archive / "p0")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        answer(asked(out, archive), model, stopped())
    before = out.read_bytes()
    for changes, said in (
        ({"form": "csv"}, "another format"),
        ({"engine": "openvino"}, "another engine"),
        ({"maps": str(tmp_path / "maps")}, "another folder of maps"),
    ):
        with pytest.raises(UsageError, match=said) as caught:
            answer(asked(out, archive, resume=True, **changes), model)
        assert caught.value.code == "other_run"
    with pytest.raises(UsageError, match="another list of inputs"):
        answer(asked(out, archive / "p1", resume=True), model)
    with pytest.raises(UsageError, match="another list of inputs"):  # another name of the same folder, in all answers
        answer(asked(out, f"{archive}/", resume=True), model)
    monkeypatch.setattr(archiving, "__version__", "0.0.1")
    with pytest.raises(UsageError, match="another version of tumorlens"):
        answer(asked(out, archive, resume=True), model)
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="another working folder"):
        answer(asked(out, archive, resume=True), model)
    assert out.read_bytes() == before


def test_another_model_is_refused(archive: Path, model: Model, tmp_path: Path) -> None:
    out = tmp_path / "a.jsonl"
    ledger = Ledger(out, {"model": "0" * 64}, "", resume=False)
    ledger.commit()
    ledger.close()
    with pytest.raises(UsageError, match="another model") as caught:
        answer(asked(out, archive, resume=True), model)
    assert caught.value.code == "other_run"


def test_an_input_that_occurs_twice_is_answered_once(archive: Path, model: Model, tmp_path: Path) -> None:
    out = tmp_path / "a.jsonl"
    picture, nothing = archive / "p0" / "0.png", archive / "p2" / "nothing.dcm"
    answer(asked(out, picture, nothing, archive / "p0", archive / "p2", picture), model)
    ids = [named(entry) for entry in entries(out)]
    assert len(ids) == len(set(ids))
    assert ids[:2] == [str(picture), str(nothing)]


def test_a_mask_that_is_named_itself_is_answered_though_its_folder_was_read(
    archive: Path, model: Model, tmp_path: Path
) -> None:
    out = tmp_path / "a.jsonl"
    mask = archive / "p1" / "1_mask.png"
    answer(asked(out, archive / "p1", mask), model)
    codes = [entry.get("error", {}).get("code") for entry in entries(out) if entry["path"] == str(mask)]
    assert codes == ["mask", None]


def test_a_long_npz_is_divided_and_a_volume_is_not() -> None:
    frames = tuple(range(2500))
    long, volume = Item("set.NPZ!images", frames), Item("head.nii", frames)
    found = [item for items in archiving._together([long, volume]) for item in items]
    assert [len(item.frames or ()) for item in found] == [1024, 1024, 452, 2500]
    assert sum((item.frames or () for item in found[:3]), ()) == frames


def test_a_file_of_answers_without_its_state_is_left_alone(archive: Path, model: Model, tmp_path: Path) -> None:
    out = tmp_path / "a.jsonl"
    for content in ("", "somebody's\n"):
        out.write_text(content)
        with pytest.raises(UsageError, match=r"without a\.jsonl\.state") as caught:
            answer(asked(out, archive, resume=True), model)
        assert caught.value.code == "exists"
        assert out.read_text() == content


def test_the_second_time_ends_like_the_first(archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, code in (("p0", 0), ("p2", 1), ("none", 3)):
        words = ["predict", str(archive / name), "--out", str(tmp_path / name), "--jobs", "1", "--resume"]
        assert main(words) == code
        content = (tmp_path / name).read_bytes()
        capsys.readouterr()
        assert main(words) == code
        assert "is complete" in capsys.readouterr().err
        assert (tmp_path / name).read_bytes() == content
        assert main([*words, "--format", "csv"]) == 2


def test_what_is_being_written_is_no_input(archive: Path, model: Model, tmp_path: Path) -> None:
    folder = tmp_path / "scans"
    shutil.copytree(archive / "p0", folder)
    maps = folder / "a-maps"
    notes = answer(asked(folder / "p.jsonl", folder, maps=str(maps)), model)
    found = entries(folder / "p.jsonl")
    assert not [entry for entry in found if "a-maps" in named(entry)]
    assert not [note for note in notes if "passed over" in note]
    assert not [entry for entry in found if "p.jsonl" in named(entry)]
    assert len(list(maps.iterdir())) == sum(entry.get("map") is not None for entry in found) > 0


def test_a_folder_of_other_files_and_an_empty_one_are_failures(model: Model, tmp_path: Path) -> None:
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "a.txt").write_text("hello")
    (tmp_path / "none").mkdir()
    out = tmp_path / "a.jsonl"
    answer(asked(out, tmp_path / "text", tmp_path / "none"), model)
    found = {entry["path"]: entry["error"]["message"] for entry in entries(out)}
    assert "only 1 files that are no images" in found[str(tmp_path / "text")]
    assert "no files" in found[str(tmp_path / "none")]


def test_names_that_are_no_text(model: Model, archive: Path, tmp_path: Path) -> None:
    name = os.fsdecode(bytes(tmp_path / "b") + b"\xff.png")
    shutil.copy(archive / "p0" / "0.png", name)
    out = tmp_path / "a.jsonl"
    answer(asked(out, name), model)
    (entry,) = entries(out)
    assert entry["path"] == name


def test_the_command_line(archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "a.csv"
    assert main(["predict", str(archive / "p2"), "--out", str(out), "--format", "csv"]) == 1
    said = capsys.readouterr()
    assert not said.out
    assert "text.jpg" in said.err
    assert "inputs that could not be used" in said.err
    assert out.read_text().startswith("id,path,frame,series,predicted,p_glioma")
    for words, hint in (
        (["--out", str(tmp_path / "b"), "--format", "table"], "every line of the file"),
        (["--resume"], "name the file"),
        (["--jobs", "2"], "name the file"),
        (["--ray", "auto"], "name the file"),
        (["--out", str(tmp_path / "b"), "--jobs", "0"], "expected 1 or more"),
        (["--out", str(tmp_path / "b"), "--ray", ""], "auto, or host:port"),
        (["--out", str(archive / "p0")], "name another file"),
        (["--maps", str(archive / "p0")], "name a new folder"),
        (["--out", str(out)], "name another file"),
    ):
        assert main(["predict", str(archive / "p0"), *words]) == 2
        assert hint in capsys.readouterr().err
    assert main(["predict", str(archive / "p0" / "none.png"), "--out", str(tmp_path / "c")]) == 3
