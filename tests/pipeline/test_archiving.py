"""Answers for an archive: the same as one by one, complete and never double, whatever stops the run in between."""

from __future__ import annotations

import csv
import io
import json
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import tumorlens
from tumorlens.cli.main import main
from tumorlens.data.inputs import Item
from tumorlens.data.phantom import make_slices
from tumorlens.errors import EnvironmentFailure, InputError, MissingExtraError, ModelError, UsageError
from tumorlens.pipeline import archiving, keeping, sharing
from tumorlens.pipeline.answering import Answerer, Order, Part, packed, part_of
from tumorlens.pipeline.archiving import Archive, _check_seen, answer_archive
from tumorlens.pipeline.keeping import Ledger, state_of
from tumorlens.pipeline.model import Model
from tumorlens.pipeline.reporter import Reporter
from tumorlens.pipeline.spreading import Workers


class Told(Reporter):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)

    warn = note


@pytest.fixture(scope="module")
def model() -> Model:
    return tumorlens.load()


def mr(path: Path, series: str, place: float, pixels: np.ndarray) -> None:
    """A slice as an MR file."""
    pydicom = pytest.importorskip("pydicom")
    data = pydicom.Dataset()
    data.SOPClassUID, data.SOPInstanceUID = pydicom.uid.MRImageStorage, pydicom.uid.generate_uid()
    data.Modality, data.SeriesInstanceUID = "MR", series
    data.Rows, data.Columns = pixels.shape
    data.SamplesPerPixel, data.PhotometricInterpretation, data.PixelRepresentation = 1, "MONOCHROME2", 0
    data.BitsAllocated = data.BitsStored = 16
    data.HighBit = 15
    data.ImageOrientationPatient, data.ImagePositionPatient = [1, 0, 0, 0, 1, 0], [0, 0, place]
    data.PixelData = pixels.astype(np.uint16).tobytes()
    data.file_meta = pydicom.dataset.FileMetaDataset()
    data.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    path.parent.mkdir(parents=True, exist_ok=True)
    data.save_as(path, enforce_file_format=True)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some of everything: pictures, two DICOM series mixed over folders, a volume, masks, text, damaged files."""
    root = tmp_path_factory.mktemp("archive") / "scans"
    pictures = [one.image for one in make_slices(40, seed=3)]
    for number, image in enumerate(pictures):
        path = root / f"p{number % 7}" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), image)
    chance = random.Random(0)
    places = [(series, place) for series in ("1.2.3", "1.2.4") for place in range(24)]
    chance.shuffle(places)
    for number, (series, place) in enumerate(places):
        mr(root / f"p{number % 5}" / "dicom" / f"IM{number}", series, place, pictures[place].astype(np.uint16) * 9)
    nibabel = pytest.importorskip("nibabel")
    volume = np.stack([cv2.resize(one, (64, 64)).astype(np.int16) for one in pictures[:6]], axis=2)
    nibabel.save(nibabel.Nifti1Image(volume, np.diag([1.0, 1.0, 5.0, 1.0])), root / "p3" / "head.nii.gz")
    np.savez(root / "more.npz", images=np.stack([cv2.resize(one, (64, 64)) for one in pictures[:5]]))
    cv2.imwrite(str(root / "p1" / "1_mask.png"), pictures[0])
    (root / "p2" / "text.jpg").write_text("hello")
    (root / "p2" / "cut.png").write_bytes((root / "p2" / "2.png").read_bytes()[:200])
    (root / "p2" / "nothing.dcm").write_bytes(b"")
    (root / "p4" / "readme.txt").write_text("hello")
    (root / "p4" / "LICENSE").write_text("hello")
    return root


def asked(out: Path, *named: str | Path, **changes: Any) -> Archive:
    known: dict[str, Any] = {"form": "jsonl", "model": None, "engine": "onnxruntime", "workers": Workers(1)}
    return Archive([str(name) for name in named], out, **{**known, **changes})


def answer(what: Archive, model: Model, names: Iterable[str] | None = None) -> list[str]:
    told = Told()
    answer_archive(what, model, what.named if names is None else names, told)
    return told.notes


def entries(path: Path) -> list[dict[str, Any]]:
    """What a file holds, but for how long it took."""
    lines = path.read_text().splitlines()
    return [{**json.loads(line), "ms": None} for line in lines]


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


# What is committed is what was answered; where a moment is counted, it does not depend on how fast anything is.
PROGRAM = """
import multiprocessing, os, signal, sys
from tumorlens.pipeline import keeping
from tumorlens.pipeline.keeping import Ledger
keeping._SECONDS = 0.0
whom, after = sys.argv[1], int(sys.argv[2])
add, parts = Ledger.add, 0

def killing(self, keys, part):
    global parts
    add(self, keys, part)
    parts += 1
    if parts == after:
        if whom == "worker":
            os.kill(multiprocessing.active_children()[0].pid, signal.SIGKILL)
        else:
            print("workers", *[child.pid for child in multiprocessing.active_children()], flush=True)
            os.kill(os.getpid(), signal.SIGKILL)

Ledger.add = killing
from tumorlens.cli.main import main
sys.exit(main(sys.argv[3:]))
"""


def ended(log: Path, whom: str, after: int, *words: str | Path) -> int:
    """The exit code of the command, one process of which is killed after so many parts; 0 for none."""
    command = [sys.executable, "-c", PROGRAM, whom, str(after), "predict", *map(str, words)]
    return subprocess.run(command, stdout=log.open("ab"), stderr=subprocess.STDOUT, check=False, timeout=300).returncode


def runs(pid: int) -> bool:
    """Whether a process is there and has not ended; somebody else may have yet to ask how it has."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks at the processes of Linux")
@pytest.mark.timeout(600)
def test_kills_at_any_moment_lose_nothing_and_double_nothing(archive: Path, model: Model, tmp_path: Path) -> None:
    folder = tmp_path / "scans"
    for number in range(3):
        shutil.copytree(archive, folder / str(number), copy_function=os.link)
    straight = tmp_path / "straight.jsonl"
    answer(asked(straight, folder), model)
    out, log = tmp_path / "answers.jsonl", tmp_path / "log"
    words = [folder, "--out", out, "--jobs", "2", "--resume"]  # where there is nothing to go on with, it begins
    for after in (1, 3):
        assert ended(log, "command", after, *words) == -signal.SIGKILL, log.read_text()
    deadline = time.monotonic() + 60
    below = [
        int(pid) for line in log.read_text().splitlines() if line.startswith("workers") for pid in line.split()[1:]
    ]
    assert below
    while any(map(runs, below)):  # nobody else would end them
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert ended(log, "worker", 2, *words) == 1, log.read_text()  # another takes its place
    assert "a worker died" in log.read_text()
    assert "going on" in log.read_text()
    assert entries(out) == entries(straight)
    names = ["answers.jsonl", "answers.jsonl.state", "log", "scans", "straight.jsonl", "straight.jsonl.state"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names


@pytest.mark.timeout(600)
def test_a_file_that_kills_its_worker_and_one_that_brings_out_a_fault_become_failures(
    poisoned: None, archive: Path, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archiving, "_TOGETHER", 2)
    for name in ("a", "poison", "odd", "z"):
        path = tmp_path / "scans" / f"{name}.png"
        path.parent.mkdir(exist_ok=True)
        shutil.copy(archive / "p0" / "0.png", path)
    out = tmp_path / "a.jsonl"
    notes = answer(asked(out, tmp_path / "scans", workers=Workers(2)), model)
    found = {Path(entry["path"]).stem: entry.get("error") for entry in entries(out)}
    assert {name: error and error["code"] for name, error in found.items()} == {
        "a": None,
        "poison": "crashed",
        "odd": "internal",
        "z": None,
    }
    assert "ZeroDivisionError at sitecustomize.py" in found["odd"]["message"]
    assert "what the file holds" not in out.read_text()
    assert any("a worker died" in note for note in notes)
    assert any("poison.png killed the process" in note for note in notes)


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks at the processes of Linux")
def test_who_stops_does_not_wait_for_what_is_in_work(
    poisoned: None, archive: Path, model: Model, tmp_path: Path
) -> None:
    order = Order(None, model.predictor.bundle.sha256, "onnxruntime", "jsonl", None, os.getcwd())
    shutil.copy(archive / "p0" / "0.png", tmp_path / "slow.png")
    chunks = iter([packed([Item(str(path))]) for path in (archive / "p0" / "0.png", tmp_path / "slow.png")])
    parts = sharing.answered(chunks, order, Workers(2), model, Told())
    assert part_of(next(parts)).used == 1
    below = [child.pid for child in multiprocessing.active_children() if child.pid]
    assert below
    parts.close()
    deadline = time.monotonic() + 60
    while any(map(runs, below)):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_workers_that_die_whatever_they_are_asked_stop_the_run(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sharing, "_alone", lambda chunk, order: None)
    order = Order(None, model.predictor.bundle.sha256, "onnxruntime", "jsonl", None, os.getcwd())
    with pytest.raises(EnvironmentFailure) as caught:
        sharing._one_by_one(packed([Item("a.png")]), order, model.labels)
    assert caught.value.code == "workers_died"


def test_a_network_that_fails_whatever_it_is_asked_makes_no_answers(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tumorlens.load()
    monkeypatch.setattr(broken.predictor, "run", lambda *_: 1 / 0)
    monkeypatch.setattr(broken.predictor, "predict_slices", lambda *_: 1 / 0)
    out = tmp_path / "a.jsonl"
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        answer(asked(out, archive / "p0"), broken)
    assert not out.read_text()


def test_a_run_that_goes_on_reads_in_processes_of_their_own(
    archive: Path, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    apart: list[bool] = []
    real = archiving.answered

    def seen(*given: Any, **named: Any) -> Any:
        apart.append(named.pop("apart"))
        return real(*given, **named)

    monkeypatch.setattr(archiving, "answered", seen)

    def stopped() -> Iterator[str]:
        raise KeyboardInterrupt
        yield

    what = asked(tmp_path / "a.jsonl", archive / "p0" / "0.png", resume=True)
    with pytest.raises(KeyboardInterrupt):
        answer(what, model, stopped())
    answer(what, model)
    assert apart == [False, True]


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


def test_the_state_commits_about_once_a_second(tmp_path: Path) -> None:
    assert 0 < keeping._SECONDS <= 5
    ledger = Ledger(tmp_path / "a", {}, "", resume=False)
    ledger._committed -= 10
    ledger.add([b"1"], Part(text="one\n", used=1))
    ledger.close()
    again = Ledger(tmp_path / "a", {}, "", resume=True)
    assert again.before == 1
    again.close()


def test_a_worker_that_sees_something_else_makes_no_answers(archive: Path, model: Model, tmp_path: Path) -> None:
    chunk = packed([Item(str(archive / "p0" / "0.png"))])
    right = Order(None, model.predictor.bundle.sha256, "onnxruntime", "jsonl", None, os.getcwd())
    assert part_of(Answerer(right)(chunk)).used == 1
    for wrong, kind in (
        (replace(right, sha256="0" * 64), ModelError),
        (replace(right, folder=str(tmp_path / "none")), EnvironmentFailure),
    ):
        part = part_of(Answerer(wrong)(chunk))
        assert not part.text
        with pytest.raises(kind) as caught:
            part.check()
        assert caught.value.code == "not_shared"
    unseen = part_of(Answerer(right)(packed([Item(str(tmp_path / "later.png"))])))
    _check_seen(unseen)  # here it is not, either
    (tmp_path / "later.png").touch()
    with pytest.raises(EnvironmentFailure) as caught:
        _check_seen(unseen)
    assert caught.value.code == "not_shared"
    other = part_of(Answerer(replace(right, version="0.0.1"))(chunk))
    with pytest.raises(EnvironmentFailure, match=r"0\.0\.1"):
        other.check()
    broken = part_of(Answerer(right)(b"{"))
    with pytest.raises(RuntimeError, match="JSONDecodeError"):
        broken.check()


def test_what_a_machine_lacks_is_no_answer(
    archive: Path, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = Order(None, model.predictor.bundle.sha256, "onnxruntime", "jsonl", None, os.getcwd())
    picture = str(archive / "p0" / "0.png")

    def lacking(*_: Any) -> Any:
        raise MissingExtraError("pydicom", "dicom")

    def forbidden(*_: Any) -> Any:
        raise InputError("not allowed", code="no_permission")

    monkeypatch.setattr("tumorlens.pipeline.model.frames_of", lacking)
    part = part_of(Answerer(order, model)(packed([Item(picture)])))
    with pytest.raises(MissingExtraError, match="pydicom"):
        part.check()
    monkeypatch.setattr("tumorlens.pipeline.model.frames_of", forbidden)
    part = part_of(Answerer(order, model)(packed([Item(picture), Item(str(tmp_path / "a.zip") + "!x.png")])))
    assert [path for path, _ in part.unseen] == [picture, str(tmp_path / "a.zip")]
    with pytest.raises(EnvironmentFailure) as caught:  # this process may read it
        _check_seen(part)
    assert caught.value.code == "not_shared"


def test_a_disk_that_is_gone_makes_no_answers(archive: Path, model: Model, tmp_path: Path) -> None:
    order = Order(None, model.predictor.bundle.sha256, "onnxruntime", "jsonl", None, os.getcwd())
    disk = tmp_path / "disk"
    (disk / "p0").mkdir(parents=True)
    shutil.copy(archive / "p0" / "0.png", disk / "p0")
    for path, root in ((disk / "p0" / "7.png", disk), (disk / "p0" / "7.png", "")):  # one file alone; one named itself
        _check_seen(part_of(Answerer(order, model)(packed([Item(str(path), root=str(root))]))))
    for path, root in (
        (disk / "p1" / "7.png", disk),
        (disk / "p0" / "7.png", tmp_path / "other"),
        (tmp_path / "empty" / "7.png", tmp_path),
    ):
        (tmp_path / "empty").mkdir(exist_ok=True)
        part = part_of(Answerer(order, model)(packed([Item(str(path), root=str(root))])))
        with pytest.raises(EnvironmentFailure, match="is gone"):
            _check_seen(part)


def test_a_cluster_that_is_not_there_leaves_nothing_behind(
    archive: Path, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: Any) -> Any:
        raise EnvironmentFailure("there is no Ray cluster", code="no_cluster")

    monkeypatch.setattr(archiving, "check", lambda workers: None)
    monkeypatch.setattr(archiving, "connected", refused)
    with pytest.raises(EnvironmentFailure):
        answer(asked(tmp_path / "a.jsonl", archive, workers=Workers(0, "auto")), model)
    assert not list(tmp_path.iterdir())
