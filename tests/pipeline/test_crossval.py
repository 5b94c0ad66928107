"""Cross-validation on the phantom: every slice tested once by each seed, resumable, spread over processes."""

from __future__ import annotations

import csv
import html
import json
import os
import pickle
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from tests.pipeline.conftest import PLAIN

from tumorlens import config, data
from tumorlens.errors import DataError, EnvironmentFailure, Interrupted, MissingExtraError, TumorLensError, UsageError
from tumorlens.evaluation import PredictionTable
from tumorlens.evaluation.repeated import repeated_scores
from tumorlens.pipeline.comparing import compare
from tumorlens.pipeline.crossvalidating import CrossValidation, crossval, resume
from tumorlens.pipeline.reporter import Reporter
from tumorlens.pipeline.spreading import Workers
from tumorlens.pipeline.training import resume as resume_training
from tumorlens.report import words

OVERRIDES = (
    *PLAIN,
    "evaluate.folds=2",
    "evaluate.seeds=2",
    "data.audit=copies",
)
FAST = config.load(None, OVERRIDES)
ONE_SEED = msgspec.structs.replace(FAST, evaluate=msgspec.structs.replace(FAST.evaluate, seeds=1))
TRAININGS = [(seed, fold) for seed in (0, 1) for fold in ("1", "2")]


@pytest.fixture(scope="module")
def done(phantom_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> CrossValidation:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TUMORLENS_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        out = tmp_path_factory.mktemp("crossval") / "cv"
        return crossval(phantom_folder / "manifest.csv", settings=FAST, out=out)


def answers(folder: Path, seed: int) -> PredictionTable:
    return PredictionTable.read_csv(folder / f"seed-{seed}" / "folds" / "predictions.csv")


def test_every_slice_is_tested_once_by_each_seed_and_by_a_network_that_saw_none_of_its_patient(
    done: CrossValidation, phantom_folder: Path
) -> None:
    every = sorted(row.id for row in data.read(str(phantom_folder / "manifest.csv")))
    for seed in (0, 1):
        assert sorted(answers(done.folder, seed).ids) == every
    for seed, fold in TRAININGS:
        with (done.folder / f"seed-{seed}" / "folds" / fold / "manifest.csv").open() as file:
            rows = list(csv.DictReader(file))
        tested = {row["patient"] for row in rows if row["split"] == "test"}
        assert tested == {row["patient"] for row in rows if row["fold"] == fold}
        assert not tested & {row["patient"] for row in rows if row["split"] != "test"}


def test_its_scores_are_those_of_its_answers(done: CrossValidation) -> None:
    tables = [answers(done.folder, seed) for seed in (0, 1)]
    assert done.metrics["scores"] == repeated_scores(tables, bootstrap=100, seed=0)
    stored = json.loads((done.folder / "metrics.json").read_text())
    assert stored == json.loads(json.dumps(done.metrics))
    assert [(item["seed"], item["fold"]) for item in done.metrics["folds"]] == TRAININGS
    for item in done.metrics["folds"]:
        table = answers(done.folder, item["seed"]).where(
            [fold == item["fold"] for fold in answers(done.folder, item["seed"]).folds]
        )
        hits = [said == true for said, true in zip(table.predicted, table.labels, strict=True)]
        assert (item["n"], item["accuracy"]) == (len(hits), np.mean(hits))


def test_the_report_shows_the_measured_numbers(done: CrossValidation) -> None:
    assert done.report is not None
    text = done.report.read_text()
    for score in (done.metrics["scores"]["accuracy"]["mean"], *(item["accuracy"] for item in done.metrics["folds"])):
        assert f"{100 * score:.1f}" in text
    assert (done.folder / "figures" / "folds.svg").is_file()
    for chart in ("reliability", "risk"):
        assert f'id="chart-{chart}"' in text
    assert "Answers of the first seed" in text


def test_its_checklist_knows_what_a_cross_validation_knows(done: CrossValidation) -> None:
    text = html.unescape(re.sub(r"<[^>]+>", " ", (done.folder / "checklist.html").read_text())).replace("\u202f", " ")
    scores = done.metrics["scores"]
    for part in (
        f"Accuracy {words.percent(scores['accuracy']['mean'])}",
        f"{len(TRAININGS)} trainings of {done.metrics['folds'][0]['epochs']} epoch",
        "At random over groups, stratified by class: 2 folds",
        "seeds: 0, 1.",
        "between folds and over 2 seeds",
        f"fold 1: {sum(done.metrics['data']['counts']['1'].values())}",
    ):
        assert part.replace("\u202f", " ") in text, part
    assert text.count("Open: to be written by people.") > 10


def test_it_can_be_compared_with_another(done: CrossValidation) -> None:
    found = compare(done.folder, done.folder)
    assert (found["on"], found["runs"], found["better"]) == ("cross-validation", {"a": 2, "b": 2}, None)


class StopIn(Reporter):
    """Ctrl-C in the first step of a training, counted from 1."""

    def __init__(self, training: int) -> None:
        self.left = training

    def batch(self, epoch: int, epochs: int, step: int, steps: int, loss: float, accuracy: float) -> None:
        self.left -= (epoch, step) == (1, 1)
        if self.left == 0:
            signal.raise_signal(signal.SIGINT)


def test_a_stopped_one_goes_on_to_the_same_scores(done: CrossValidation, phantom_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "cv"
    with pytest.raises(Interrupted) as stopped:
        crossval(phantom_folder / "manifest.csv", settings=ONE_SEED, out=out, reporter=StopIn(2))
    assert f"tumorlens crossval --resume {out}" in stopped.value.hint
    first = (out / "seed-0" / "folds" / "1" / "metrics.json").read_bytes()
    # What has not finished cannot be scored or taken for a training.
    with pytest.raises(UsageError, match="is no single training"):
        resume_training(out)
    with pytest.raises(UsageError, match="has not finished"):
        compare(out, done.folder)
    again = resume(out)
    assert (out / "seed-0" / "folds" / "1" / "metrics.json").read_bytes() == first
    assert answers(out, 0).ids == answers(done.folder, 0).ids
    assert np.array_equal(answers(out, 0).probabilities, answers(done.folder, 0).probabilities)
    assert again.metrics["scores"]["accuracy"]["by_run"] == done.metrics["scores"]["accuracy"]["by_run"][:1]


def test_a_killed_worker_costs_no_training(done: CrossValidation, phantom_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "cv"
    options = [word for change in OVERRIDES for word in ("--set", change)]
    command = [sys.executable, "-m", "tumorlens", "crossval", str(phantom_folder / "manifest.csv"), *options]
    command += ["--seeds", "1", "--jobs", "2", "--out", str(out)]
    with (tmp_path / "log").open("wb") as log:
        driver = subprocess.Popen(command, stdout=log, stderr=log)
    killed = None
    while killed is None and driver.poll() is None:
        time.sleep(0.05)
        if any(out.glob("seed-*/folds/*/history.csv")):
            killed = next(iter(workers_of(driver.pid)), None)
            if killed is not None:
                os.kill(killed, signal.SIGKILL)
    assert driver.wait(timeout=600) == 0, (tmp_path / "log").read_text()
    assert killed is not None
    assert "a worker died" in (tmp_path / "log").read_text()
    assert sorted(answers(out, 0).ids) == sorted(answers(done.folder, 0).ids)


def workers_of(parent: int) -> list[int]:
    """Processes below another that train."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            words = status.read_text().rpartition(")")[2].split()
            line = (status.parent / "cmdline").read_bytes()
        except OSError:
            continue
        if int(words[1]) == parent and b"loky" in line and b"resource_tracker" not in line:
            found.append(int(status.parent.name))
    return found


def test_folds_that_the_data_bring_are_kept_and_what_they_leak_is_left_out(
    phantom_folder: Path, tmp_path: Path
) -> None:
    plain = data.read(str(phantom_folder / "manifest.csv"))
    patients = sorted({row.patient for row in plain})
    divided = {name: str(i % 2) for i, name in enumerate(patients)}
    # One fold is kept for a test.
    divided |= dict.fromkeys(patients[-4:], "kept")
    kept = sum(row.patient in patients[-4:] for row in plain)
    # One patient's slices lie in both folds.
    torn = [row.id for row in plain if row.patient == patients[0]]
    rows = [replace(row, split="", fold="1" if row.id == torn[0] else divided[row.patient]) for row in plain]
    settings = msgspec.structs.replace(
        FAST,
        data=msgspec.structs.replace(FAST.data, fold_column="fold", test_fold="kept"),
        evaluate=msgspec.structs.replace(FAST.evaluate, folds=0, seeds=1, report=False),
    )
    made = crossval(plain.with_rows(rows), settings=settings, out=tmp_path / "cv").metrics
    assert sorted(made["data"]["counts"]) == ["0", "1"]
    assert set(made["leaked"]["ids"]) == set(torn)
    assert made["scores"]["n"] == len(plain) - kept - len(torn)
    assert (made["as_shipped"]["n"], made["as_shipped"]["leaky"]) == (len(plain) - kept, True)
    assert f"fold kept is kept for a test: its {kept} slices take no part" in made["data"]["notes"]
    with pytest.raises(DataError, match="no slice is in fold"):
        crossval(plain, settings=settings, out=tmp_path / "none")
    assert made["scores"]["accuracy"]["sd"] is None
    assert compare(tmp_path / "cv", tmp_path / "cv")["n"] == len(plain) - kept - len(torn)
    with pytest.raises(DataError, match="fewer than two folds"):
        crossval(
            plain.with_rows(replace(row, fold="kept" if row.fold == "kept" else "a") for row in rows),
            settings=settings,
            out=tmp_path / "one",
        )
    assert not (tmp_path / "one").exists()


def test_what_cannot_work_is_refused_at_once(phantom_folder: Path, tmp_path: Path, done: CrossValidation) -> None:
    with pytest.raises(UsageError, match="found 0 jobs"):
        crossval(phantom_folder / "manifest.csv", out=tmp_path / "a", workers=Workers(0))
    with pytest.raises(UsageError, match="not the folder of a run"):
        resume(tmp_path)
    with pytest.raises(UsageError, match="already exists") as caught:
        crossval(phantom_folder / "manifest.csv", settings=FAST, out=done.folder)
    assert f"tumorlens crossval --resume {done.folder}" in caught.value.hint
    shutil.copytree(done.folder, tmp_path / "damaged")
    (tmp_path / "damaged" / "manifest.csv").unlink()
    with pytest.raises(UsageError, match="is missing"):
        resume(tmp_path / "damaged")


@pytest.mark.parametrize(
    "error",
    [
        TumorLensError("found", hint="do", code="own"),
        DataError("found", hint="do", code="changed"),
        EnvironmentFailure("found"),
        MissingExtraError("Ray", "ray"),
    ],
)
def test_errors_travel_between_processes(error: TumorLensError) -> None:
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    assert type(again) is type(error)
    assert again.as_dict() == error.as_dict()
    assert str(again) == str(error)
