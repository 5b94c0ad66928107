"""What a new user does wrong gets one clear message, the right exit code and no traceback."""

from __future__ import annotations

import io
import json
import os
import shutil
import struct
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tumorlens.cli.main import main


def tumorlens(*arguments: object, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "tumorlens", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, **environment},
        timeout=800,
    )
    assert "Traceback" not in done.stderr + done.stdout
    return done


def huge_png(path: Path) -> None:
    """A PNG of 30 000 × 30 000 pixels in a few kilobytes: a decompression bomb."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 0, 0, 0, 0)
    body = zlib.compress(bytes(1_000_000), 9)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b""))


def test_a_wrong_path_suggests_the_right_one(tmp_path: Path) -> None:
    (tmp_path / "brain_tumors").mkdir()
    done = tumorlens("train", "brain_tumor", cwd=tmp_path)
    assert done.returncode == 3
    assert "brain_tumor" in done.stderr
    assert "brain_tumors" in done.stderr.partition("hint:")[2]


def test_an_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    done = tumorlens("train", "set", cwd=tmp_path)
    assert done.returncode == 3
    assert done.stderr.count("error:") == 1


def test_one_class_only(phantom_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "glioma").symlink_to(phantom_folder / "glioma")
    done = tumorlens("train", f"glioma={phantom_folder / 'glioma'}", cwd=tmp_path)
    assert done.returncode == 3
    assert "only one class" in done.stderr
    assert not (tmp_path / "runs").exists()


def test_text_named_jpg_and_a_bomb_among_good_pictures(
    finished_run: Path, phantom_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "text.jpg").write_text("hello")
    huge_png(tmp_path / "huge.png")
    good = next(iter((phantom_folder / "glioma").glob("*.png")))
    done = tumorlens("predict", "text.jpg", "huge.png", good, "--model", finished_run, "--format", "json", cwd=tmp_path)
    assert done.returncode == 1
    entries = json.loads(done.stdout)
    assert [entry.get("error", {}).get("code") for entry in entries] == ["not_an_image", "too_large", None]
    alone = tumorlens("predict", "text.jpg", "--model", finished_run, "--format", "json", cwd=tmp_path)
    assert alone.returncode == 3
    assert json.loads(alone.stdout)[0]["error"]["hint"]


@pytest.mark.parametrize(
    "arguments", [["--set", "train.epoch=3"], ["--set", "train.epochs=-1"], ["--config", "none.toml"]]
)
def test_wrong_settings(arguments: list[str], tmp_path: Path) -> None:
    done = tumorlens("train", "phantom:40", *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.count("error:") == 1
    assert "hint:" in done.stderr


def test_an_unknown_command_option_or_nothing(tmp_path: Path) -> None:
    wrong = tumorlens("trian", cwd=tmp_path)
    assert wrong.returncode == 2
    assert "did you mean train?" in wrong.stderr
    misspelt = tumorlens("train", "phantom", "--modle", "plain", cwd=tmp_path)
    assert misspelt.returncode == 2
    assert "did you mean --model?" in misspelt.stderr
    early = tumorlens("-q", "audit", "phantom:8")
    assert early.returncode == 2
    assert "tumorlens audit -q" in early.stderr
    assert tumorlens("train", cwd=tmp_path).returncode == 2
    assert tumorlens("predict", "--fast", "x", cwd=tmp_path).returncode == 2
    bare = tumorlens(cwd=tmp_path)
    assert bare.returncode == 2
    assert "  train " in bare.stderr
    text = tumorlens("train", "--help").stdout
    assert "kaggle:owner/name" in text
    assert "examples:\n  tumorlens train" in text
    assert "default: planned" in text
    assert "shipped" not in tumorlens("predict", "--help").stdout + tumorlens("info", "--help").stdout


def test_predicting_without_a_model(phantom_folder: Path) -> None:
    """The model that ships answers; the masks in the folder are named, and counted by the exit code."""
    done = tumorlens("predict", phantom_folder / "pituitary", "--format", "csv")
    assert done.returncode == 0
    assert "p_pituitary" in done.stdout
    assert done.stdout.count("pituitary/") >= 10


def test_resuming_what_is_no_run(tmp_path: Path) -> None:
    done = tumorlens("train", "--resume", tmp_path)
    assert done.returncode == 2
    assert "not the folder of a run" in done.stderr


@pytest.mark.parametrize("command", ["train", "crossval", "tune"])
@pytest.mark.parametrize("option", [["--seed", "0"], ["--out", "x"], ["--name", "x"], ["--fold-column", "x"]])
def test_what_a_run_begins_with_is_not_given_to_a_resumed_one(
    command: str, option: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, "--resume", str(tmp_path), *option]) == 2
    assert "a resumed run keeps" in capsys.readouterr().err


@pytest.fixture
def small_disk(tmp_path: Path) -> Path:
    """A disk of 1 MB, where this process may mount one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"cannot mount a small disk here: {mounted.stderr.decode().strip()}")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk(small_disk: Path, phantom_folder: Path) -> None:
    settings = ["--set", "preprocess.size=64", "--epochs", "1"]
    run = tumorlens("train", phantom_folder / "manifest.csv", "--out", small_disk / "run", *settings)
    assert run.returncode == 4
    assert "no space left on the disk" in run.stderr
    assert run.stderr.count("error:") == 1
    cache = tumorlens(
        "train",
        phantom_folder / "manifest.csv",
        "--out",
        small_disk.parent / "run2",
        *settings,
        TUMORLENS_CACHE=str(small_disk / "c"),
    )
    assert cache.returncode == 4
    assert cache.stderr.count("error:") == 1
    assert "TUMORLENS_CACHE" in cache.stderr


def test_json_is_alone_on_stdout(finished_run: Path, phantom_folder: Path) -> None:
    done = tumorlens("evaluate", finished_run, phantom_folder / "manifest.csv", "--json")
    assert done.returncode == 0
    document = json.loads(done.stdout)
    assert {
        "n",
        "groups",
        "accuracy",
        "accuracy_ci95",
        "per_class",
        "confusion",
        "ece",
        "as_shipped",
        "conformal",
    } <= set(document)
    info = tumorlens("info", finished_run, "--json")
    assert json.loads(info.stdout)["labels"] == ["glioma", "meningioma", "no_tumor", "pituitary"]


@pytest.mark.parametrize("style", ["table", "json", "jsonl", "csv"])
def test_every_format(style: str, finished_run: Path, phantom_folder: Path) -> None:
    paths = sorted((phantom_folder / "no_tumor").glob("*.png"))[:2]
    done = tumorlens("predict", *paths, "--model", finished_run, "--format", style)
    assert done.returncode == 0
    assert all(str(path) in done.stdout for path in paths)


def test_a_list_on_stdin_is_answered_in_its_order(finished_run: Path, phantom_folder: Path) -> None:
    paths = sorted((phantom_folder / "no_tumor").glob("*.png"), reverse=True)[:2]
    listed = subprocess.run(
        [sys.executable, "-m", "tumorlens", "predict", "-", "--model", str(finished_run), "--format", "jsonl"],
        input="\n".join(map(str, paths)),
        capture_output=True,
        text=True,
    )
    assert [json.loads(line)["path"] for line in listed.stdout.splitlines()] == [str(path) for path in paths]


def test_split_and_config_write_what_train_reads(phantom_folder: Path, tmp_path: Path) -> None:
    done = tumorlens("split", phantom_folder / "manifest.csv", "--folds", 4, "--out", tmp_path / "m.csv")
    assert done.returncode == 0
    assert done.stdout.count("fold ") == 4
    again = tumorlens("split", tmp_path / "m.csv", "--fractions", "60,20,20", "--out", tmp_path / "n.csv")
    assert again.returncode == 0
    assert (tmp_path / "n.csv").read_text().count(",test,") > 20
    (tmp_path / "c.toml").write_text(tumorlens("config").stdout)
    assert tumorlens("config", "--config", tmp_path / "c.toml").stdout == (tmp_path / "c.toml").read_text()


def test_libraries_print_nothing_about_damaged_pictures(finished_run: Path, tmp_path: Path) -> None:
    import cv2
    import numpy as np

    noise = np.random.default_rng(0).integers(0, 255, (64, 64)).astype(np.uint8)
    jpeg = cv2.imencode(".jpg", noise)[1].tobytes()
    for number in range(8):  # several, so that threads decode them
        (tmp_path / f"{number}.jpg").write_bytes(jpeg[:-900] + b"\0" * 100 + b"\xff\xd9")
    done = tumorlens("predict", tmp_path, "--model", finished_run)
    assert "JPEG" not in done.stderr
    told = tumorlens("predict", tmp_path, "--model", finished_run, "-v")
    assert told.returncode == done.returncode


@pytest.mark.parametrize(
    ("content", "said", "code"),
    [
        (b"\x89PNG\r\n\x1a\n" + bytes(50), "stdin holds no text", 2),
        (b"a.png\0b.png\0", "stdin holds no text", 2),
        (b" \n\n", "the list on stdin is empty", 3),
    ],
)
def test_what_is_no_list_on_stdin(content: bytes, said: str, code: int, finished_run: Path) -> None:
    command = [sys.executable, "-m", "tumorlens", "predict", "-", "--model", str(finished_run)]
    done = subprocess.run(command, input=content, capture_output=True)
    assert done.returncode == code
    assert said.encode() in done.stderr
    assert b"Traceback" not in done.stderr
    assert b"\x1a" not in done.stderr + done.stdout


def test_a_list_on_stdin_may_have_spaces_around_its_lines(finished_run: Path, phantom_folder: Path) -> None:
    path = next(iter((phantom_folder / "no_tumor").glob("*.png")))
    command = [sys.executable, "-m", "tumorlens", "predict", "-", "--model", str(finished_run), "--format", "jsonl"]
    done = subprocess.run(command, input=f"  {path} \r\n\n".encode(), capture_output=True, check=True)
    assert json.loads(done.stdout)["path"] == str(path)


def test_json_is_closed_and_its_entries_end_their_lines_whatever_happens(
    capsys: pytest.CaptureFixture[str],
) -> None:
    from tumorlens.cli.predict import _json
    from tumorlens.errors import InputError
    from tumorlens.inference import Failure

    def stopped() -> Iterator[Failure]:
        for name in "ab":
            sys.stderr.write(f"{name} is wrong\n")
            yield Failure(name, InputError("wrong"))
            assert capsys.readouterr().out.endswith("}\n")
        raise KeyboardInterrupt

    written = io.StringIO()

    class Both(io.StringIO):
        def write(self, text: str) -> int:
            sys.stdout.write(text)
            return written.write(text)

    with pytest.raises(KeyboardInterrupt):
        _json(stopped(), (), Both())
    assert [entry["path"] for entry in json.loads(written.getvalue())] == ["a", "b"]


def test_files_beside_the_images_and_unwritable_places(
    finished_run: Path, phantom_folder: Path, tmp_path: Path
) -> None:
    good = next(iter((phantom_folder / "glioma").glob("*.png")))
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "a.png").write_bytes(good.read_bytes())
    (tmp_path / "set" / "readme.txt").write_text("hello")
    walked = tumorlens("predict", tmp_path / "set", "--model", finished_run)
    assert walked.returncode == 0
    assert "1 files that are no images" in walked.stderr
    named = tumorlens("predict", tmp_path / "set" / "readme.txt", good, "--model", finished_run)
    assert named.returncode == 1
    assert named.stderr.count("readme.txt") == 1
    maps = tumorlens("predict", good, "--model", finished_run, "--maps", good)
    assert maps.returncode == 4
    assert f"cannot write to {good}" in maps.stderr


def test_split_tells_what_it_left_out_and_what_is_where(phantom_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    shutil.copytree(phantom_folder / "glioma", folder / "glioma")
    shutil.copytree(phantom_folder / "no_tumor", folder / "notumor")
    (folder / "glioma" / "text.jpg").write_text("hello")
    (folder / "glioma" / "nothing.png").write_bytes(b"")
    done = tumorlens("split", folder, "--out", tmp_path / "m.csv", "-v")
    assert done.returncode == 0
    assert [line.split(":")[0] for line in done.stdout.splitlines()[:3]] == ["split train", "split val", "split test"]
    assert "no_tumor" in done.stdout
    assert "notumor → no_tumor" in done.stderr
    assert "2 inputs were left out (empty 1, not_an_image 1)" in done.stderr
    assert "nothing.png" in done.stderr


def test_split_does_not_write_over_files(phantom_folder: Path, tmp_path: Path) -> None:
    table = tmp_path / "mine.csv"
    rows = (phantom_folder / "manifest.csv").read_text().splitlines()
    table.write_text("\n".join([rows[0], *(f"{phantom_folder}/{row}" for row in rows[1:])]))
    before = table.read_bytes()
    for arguments in (["--out", table], ["--out", table, "--force"], ["--out", tmp_path / "x.xlsx"]):
        assert tumorlens("split", table, *arguments).returncode == 2
    other = tmp_path / "other.csv"
    other.write_text("precious")
    refused = tumorlens("split", table, "--out", other)
    assert refused.returncode == 2
    assert "--force" in refused.stderr
    assert (table.read_bytes(), other.read_text()) == (before, "precious")
    done = tumorlens("split", table, "--out", other, "--force", "--fractions", "80,0,20")
    assert done.returncode == 0
    assert "split val" not in done.stdout
    mixed = tumorlens("split", table, "--out", tmp_path / "f.csv", "--folds", 3, "--fold-column", "plane")
    assert mixed.returncode == 2


def test_evaluate_tells_what_it_could_not_use(finished_run: Path, phantom_folder: Path, tmp_path: Path) -> None:
    bundle = finished_run / "bundle"
    folder = tmp_path / "set"
    for name in ("glioma", "no_tumor"):
        shutil.copytree(phantom_folder / name, folder / name)
    (folder / "glioma" / "text.jpg").write_text("hello")
    os.rename(next((folder / "glioma").glob("*.png")), os.fsencode(folder) + b"/glioma/caf\xe9.png")
    done = tumorlens("evaluate", bundle, folder, "--json", "--out", tmp_path / "scores")
    assert done.returncode == 1
    assert sorted(item["code"] for item in json.loads(done.stdout)["skipped"]) == ["bad_name", "not_an_image"]
    assert "2 inputs were left out (bad_name 1, not_an_image 1)" in done.stderr
    assert (tmp_path / "scores" / "metrics.json").is_file()
    nowhere = tumorlens("evaluate", bundle, folder, "--out", "/proc/nowhere")
    assert nowhere.returncode == 4
    assert "/proc/nowhere" in nowhere.stderr
    assert "fault in tumorlens" not in nowhere.stderr


@pytest.mark.parametrize(
    ("command", "found", "hint"),
    [
        ("predict x --engine openvno", "--engine: found 'openvno', expected one of onnxruntime,", "mean openvino?"),
        ("export m --to tflite --out o", "--to: found 'tflite', expected one of onnx,", "did you mean litert?"),
        ("predict x --format xml", "--format: found 'xml', expected one of table, json,", "predict --help"),
        ("serve --port abc", "serve: argument --port: invalid int value: 'abc'", "tumorlens serve --help"),
        ("info", "info: the following arguments are required: MODEL", "tumorlens info --help"),
        ("compare gone other", "gone does not exist", "did you mean gone.csv?"),
        ("deidentify nothing out", "there are no files in nothing", "give a DICOM image"),
        ("split gone.csv --out s.csv", "the first: no.png does not exist", "relative to the folder that it lies in"),
        # What is asked for is judged before what is given is read.
        ("train gone --out nothing-free", "nothing-free already exists and is not empty", "choose another --out"),
        ("crossval gone --out nothing-free", "already exists and is not empty", "choose another --out"),
        ("tune gone --out nothing-free", "already exists and is not empty", "choose another --out"),
    ],
)
def test_every_mistake_is_told_in_two_lines(
    command: str,
    found: str,
    hint: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nothing").mkdir()
    (tmp_path / "nothing-free").mkdir()
    (tmp_path / "nothing-free" / "notes.txt").write_text("mine")
    (tmp_path / "gone.csv").write_text("path,label\nno.png,glioma\n")
    assert main(command.split()) in (2, 3)
    error, advice = capsys.readouterr().err.splitlines()
    assert error.startswith("tumorlens: error: ")
    assert found in error
    assert advice.startswith("hint: ")
    assert hint in advice
