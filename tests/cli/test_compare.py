"""``tumorlens compare`` on real runs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tumorlens.cli.main import main
from tumorlens.evaluation import PredictionTable


def compare(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = main(["compare", *map(str, arguments)])
    return code, *capsys.readouterr()


def test_a_run_against_another(finished_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = PredictionTable.read_csv(finished_run / "predictions.csv")
    tested = table.where("test")
    # Another network that answers every slice with the class after the one that is right.
    codes = [(tested.names.index(label) + 1) % len(tested.names) for label in tested.labels]
    wrong = PredictionTable.build(
        tested.names,
        tested.ids,
        tested.labels,
        [[float(k == code) for k in range(len(tested.names))] for code in codes],
        patients=tested.patients,
        sources=tested.sources,
    )
    wrong.write_csv(tmp_path / "other.csv")
    code, out, _ = compare(capsys, finished_run, tmp_path / "other.csv", "--json")
    assert code == 0
    document = json.loads(out)
    metrics = json.loads((finished_run / "metrics.json").read_text())["test"]
    assert document["accuracy"]["a"] == metrics["accuracy"]
    assert document["patient_accuracy"]["a"] == metrics["patient_accuracy"]
    assert (document["n"], document["groups"]) == (metrics["n"], metrics["groups"])
    assert document["accuracy"]["b"] == 0
    _, text, _ = compare(capsys, finished_run, tmp_path / "other.csv")
    assert "One run of each" in text
    assert ("A is better" in text) == (document["better"] == "a")


def test_the_same_run_twice(finished_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = compare(capsys, finished_run, finished_run)
    assert code == 0
    assert "No evidence of a difference: both are right and wrong about the same slices." in out


def test_what_is_no_run_is_refused(finished_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    code, _, error = compare(capsys, finished_run, tmp_path / "empty")
    assert code == 2
    assert "holds no predictions.csv" in error
    shutil.copy(finished_run / "config.toml", tmp_path / "empty")
    code, _, error = compare(capsys, finished_run, tmp_path / "empty")
    assert code == 2
    assert "has not finished" in error
    (tmp_path / "text.csv").write_text("a,b\n1,2\n")
    code, _, error = compare(capsys, finished_run, tmp_path / "text.csv")
    assert code == 3
    assert "line 1" in error
