"""The whole pipeline on the phantom: what a run leaves behind, and what it does with difficult data."""

from __future__ import annotations

import csv
import json
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import cv2
import msgspec
import pytest
from tests.pipeline.conftest import PLAIN

from tumorlens import config, data
from tumorlens.data.manifest import Manifest
from tumorlens.errors import ConfigError, DataError, EnvironmentFailure, Interrupted, UsageError
from tumorlens.evaluation.metrics import evaluate_table
from tumorlens.evaluation.table import PredictionTable
from tumorlens.pipeline.reporter import Reporter
from tumorlens.pipeline.training import Run, resume, train

FAST = config.load(
    None,
    [
        *PLAIN,
        "data.audit=copies",
        "evaluate.report=false",
    ],
)
DRAWN = msgspec.structs.replace(FAST, evaluate=msgspec.structs.replace(FAST.evaluate, report=True))


@pytest.fixture(scope="module")
def straight(phantom_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run that nothing stopped, with :data:`FAST`. Only to be read."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TUMORLENS_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        return train(phantom_folder / "manifest.csv", settings=FAST, out=tmp_path_factory.mktemp("straight") / "run")


def test_everything_the_contract_lists_is_there(finished_run: Path) -> None:
    names = {path.name for path in finished_run.iterdir()}
    assert {
        "config.toml", "manifest.csv", "audit.json", "audit.html", "history.csv", "metrics.json", "predictions.csv",
        "report.html",
        "figures", "bundle", "checkpoints", "log.txt",
    } <= names  # fmt: skip
    for figure in ("history", "grid", "confusion", "roc", "pr", "augmentation"):
        for kind in ("png", "svg"):
            assert (finished_run / "figures" / f"{figure}.{kind}").stat().st_size > 1000
    assert not [
        path for path in finished_run.rglob("*") if path.name.endswith(".part") or path.name.startswith("part-")
    ]


def test_its_scores_are_those_of_its_predictions(finished_run: Path) -> None:
    metrics = json.loads((finished_run / "metrics.json").read_text())
    table = PredictionTable.read_csv(finished_run / "predictions.csv")
    for split, name in (("val", "validation"), ("test", "test")):
        again = evaluate_table(table.where(split), bootstrap=200, seed=0, alpha=0.05)
        elsewhere = {"as_shipped", "pointing_game"}  # from leaked slices and from maps.csv
        assert all(metrics[name][key] == value for key, value in again.items() if key not in elsewhere)
    assert metrics["test"]["unit"] == "patient"
    shown = metrics["localisation"]["class"]
    assert metrics["test"]["pointing_game"]["hit_rate"] == shown["hit_rate"]
    assert shown["n"] == sum(label != "no_tumor" for label in table.where("test").labels)


def test_no_patient_is_on_two_sides(finished_run: Path) -> None:
    with (finished_run / "manifest.csv").open() as file:
        rows = list(csv.DictReader(file))
    splits: dict[str, set[str]] = {}
    for row in rows:
        splits.setdefault(row["patient"], set()).add(row["split"])
    assert all(len(found) == 1 for found in splits.values())
    assert {row["split"] for row in rows} == {"train", "val", "test"}


def test_the_report_and_the_card_show_the_measured_numbers(finished_run: Path) -> None:
    metrics = json.loads((finished_run / "metrics.json").read_text())
    shown = f"{100 * metrics['test']['accuracy']:.1f}"
    assert shown in (finished_run / "report.html").read_text()
    assert shown in (finished_run / "bundle" / "MODEL_CARD.md").read_text()


class StopAfter(Reporter):
    """Stops a run from outside after some steps, as Ctrl-C does."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def batch(self, *_: object) -> None:
        self.left -= 1
        if self.left == 0:
            signal.raise_signal(signal.SIGINT)


def test_a_run_of_the_same_seed_that_was_stopped_resumes_to_the_same_bundle(
    straight: Run, phantom_folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(Interrupted) as caught:
        train(phantom_folder / "manifest.csv", settings=FAST, out=tmp_path / "run", reporter=StopAfter(3))
    assert f"tumorlens train --resume {tmp_path / 'run'}" in caught.value.hint
    resumed = resume(tmp_path / "run")
    for name in ("bundle/model.onnx", "predictions.csv"):
        assert (straight.folder / name).read_bytes() == (resumed.folder / name).read_bytes()


def test_another_seed_gives_another_model(straight: Run, phantom_folder: Path, tmp_path: Path) -> None:
    other = msgspec.structs.replace(FAST, seed=1)
    run = train(phantom_folder / "manifest.csv", settings=other, out=tmp_path / "run")
    assert (run.bundle / "model.onnx").read_bytes() != (straight.bundle / "model.onnx").read_bytes()


class StopAtTheEnd(Reporter):
    """Ctrl-C in the very last step."""

    def batch(self, epoch: int, epochs: int, step: int, steps: int, loss: float, accuracy: float) -> None:
        if (epoch, step) == (epochs, steps):
            signal.raise_signal(signal.SIGINT)


def test_a_run_stopped_after_its_last_step_or_while_finishing_goes_on(
    phantom_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    with pytest.raises(Interrupted, match="after epoch 2 of 2"):
        train(phantom_folder / "manifest.csv", settings=FAST, out=run, reporter=StopAtTheEnd())
    assert not (run / "bundle").exists()

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("tumorlens.pipeline.finishing.model_card", stop)
        with pytest.raises(Interrupted) as caught:
            resume(run)
    assert f"tumorlens train --resume {run}" in caught.value.hint
    assert not (run / "bundle").exists()

    done = resume(run)
    assert done.metrics["training"]["epochs"] == 2
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in run.rglob("*") if path.is_file()}
    again = resume(run)
    assert (again.metrics, again.report) == (done.metrics, done.report)
    assert {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in run.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"model": {"name": "nosuch"}}, ConfigError),
        ({"model": {"name": "efficientnetv2b0", "weights": "/nowhere.h5"}}, ConfigError),
        ({"train": {"device": "gpu:7"}}, EnvironmentFailure),
        ({"train": {"device": "gpu:abc"}}, ConfigError),
        (config.Settings(train=config.TrainSettings(learning_rate=float("inf"))), ConfigError),
        (3, ConfigError),
    ],
)
def test_wrong_settings_are_refused_before_anything_is_read_or_made(
    settings: object, error: type[Exception], tmp_path: Path
) -> None:
    with pytest.raises(error):
        train(tmp_path / "not-even-there", settings=settings, out=tmp_path / "run")  # type: ignore[arg-type]
    assert not (tmp_path / "run").exists()


def test_resuming_with_other_images_is_refused(phantom_folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(phantom_folder, tmp_path / "set")
    with pytest.raises(Interrupted):
        train(copy / "manifest.csv", settings=FAST, out=tmp_path / "run", reporter=StopAfter(1))
    victim = next(iter((copy / "glioma").glob("*.png")))
    shutil.copyfile(next(iter((copy / "no_tumor").glob("*.png"))), victim)
    with pytest.raises(DataError, match="not those that"):
        resume(tmp_path / "run")


def test_leaked_test_slices_leave_the_headline_and_are_scored_as_shipped(phantom_folder: Path, tmp_path: Path) -> None:
    manifest = data.read(str(phantom_folder / "manifest.csv"))
    patients = sorted({row.patient for row in manifest})
    tested = set(patients[::4])
    rows = [replace(row, split="test" if row.patient in tested else "train") for row in manifest]
    # Ten training pictures are shipped in the test folder too, under other names and without a patient; four of them
    # mirrored and re-encoded.
    trained = [row for row in rows if row.split == "train"][::9][:10]
    for number, row in enumerate(trained):
        copy = tmp_path / f"copy{number}.jpg"
        if number < 4:
            cv2.imwrite(str(copy), cv2.imread(row.path, cv2.IMREAD_GRAYSCALE)[:, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 80])
        else:
            shutil.copyfile(row.path, copy)
        rows.append(replace(row, path=str(copy), id=str(copy), patient="", group="", split="test"))
    run = train(Manifest(tuple(rows)), settings=DRAWN, out=tmp_path / "run")
    assert run.metrics["leaked"]["removed"] == 10
    assert run.metrics["as_shipped"]["n"] == run.metrics["test"]["n"] + 10
    assert run.metrics["as_shipped"]["leaky"] is True
    audit = json.loads((run.folder / "audit.json").read_text())
    assert (audit["leaks"]["test_in_train_exact"], audit["leaks"]["test_in_train_near"]) == (6, 4)
    assert audit["verdict"] == "serious"
    assert "as shipped" in (run.folder / "report.html").read_text().lower()


def test_a_test_set_that_was_trained_on_as_a_whole_is_refused_before_training(
    phantom_folder: Path, tmp_path: Path
) -> None:
    rows = [replace(row, split="train") for row in data.read(str(phantom_folder / "manifest.csv"))]
    divided = [*rows[20:], *(replace(row, patient="one") for row in rows[:10])]
    divided += [replace(row, patient="one", split="test") for row in rows[10:20]]
    with pytest.raises(DataError, match="no honest test score"):
        train(Manifest(tuple(divided)), settings=FAST, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_unreadable_files_are_listed_and_do_not_stop_the_run(phantom_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    for name in ("glioma", "no_tumor"):
        shutil.copytree(phantom_folder / name, folder / name)
    (folder / "glioma" / "text.JPG").write_text("hello")
    (folder / "glioma" / "nothing.png").write_bytes(b"")
    whole = next(iter((folder / "no_tumor").glob("*.png"))).read_bytes()
    (folder / "no_tumor" / "cut.png").write_bytes(whole[: len(whole) // 2])
    run = train(folder, settings=FAST, out=tmp_path / "run")
    assert {Path(item["path"]).name: item["code"] for item in run.metrics["data"]["skipped"]} == {
        "text.JPG": "not_an_image",
        "nothing.png": "empty",
        "cut.png": "truncated",
    }


def test_a_class_left_empty_stops_the_run_and_is_named(phantom_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    shutil.copytree(phantom_folder / "glioma", folder / "glioma")
    (folder / "pituitary").mkdir()
    (folder / "pituitary" / "a.png").write_text("hello")
    with pytest.raises(DataError, match="class 'pituitary'"):
        train(folder, settings=FAST, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_an_existing_folder_is_not_overwritten(phantom_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "keep.txt").write_text("mine")
    with pytest.raises(UsageError, match="not empty"):
        train(phantom_folder / "manifest.csv", settings=FAST, out=tmp_path)
    assert (tmp_path / "keep.txt").read_text() == "mine"


def test_folds_test_every_slice_once_by_a_network_that_saw_none_of_its_group(
    straight: Run, phantom_folder: Path, tmp_path: Path
) -> None:
    settings = msgspec.structs.replace(FAST, evaluate=msgspec.structs.replace(DRAWN.evaluate, folds=3))
    run, manifest = tmp_path / "run", data.read(str(phantom_folder / "manifest.csv"))
    assert straight.report is None

    class StopInFoldTwo(Reporter):
        """Ctrl-C in the middle of the second fold."""

        def __init__(self) -> None:
            self.told: list[str] = []

        def note(self, text: str) -> None:
            self.told.append(text)

        def batch(self, *_: object) -> None:
            if self.told.count("fold 2 of 3"):
                signal.raise_signal(signal.SIGINT)

    with pytest.raises(Interrupted) as caught:
        train(manifest, settings=settings, out=run, reporter=StopInFoldTwo(), name="cv")
    assert f"tumorlens train --resume {run}" in caught.value.hint
    first = (run / "folds" / "1" / "metrics.json").read_bytes()
    done = resume(run)
    assert (run / "folds" / "1" / "metrics.json").read_bytes() == first

    pooled = PredictionTable.read_csv(run / "folds" / "predictions.csv")
    assert sorted(pooled.ids) == sorted(row.id for row in manifest)
    found = done.metrics["cross_validation"]
    again = evaluate_table(pooled, bootstrap=100, seed=0, alpha=0.05)
    assert all(found[key] == value for key, value in again.items() if key != "as_shipped")
    assert [item["fold"] for item in found["folds"]] == ["1", "2", "3"]
    for number in "123":
        with (run / "folds" / number / "manifest.csv").open() as file:
            rows = list(csv.DictReader(file))
        tested = {row["patient"] for row in rows if row["split"] == "test"}
        assert not tested & {row["patient"] for row in rows if row["split"] != "test"}
    assert done.report is not None
    assert "Cross-validation, 3 folds" in done.report.read_text()
    assert not (run / "folds" / "1" / "report.html").exists()
    # The network that is deployed is that of the run itself, whatever was trained beside it.
    assert (run / "bundle" / "model.onnx").read_bytes() == (straight.bundle / "model.onnx").read_bytes()


def test_folds_that_cannot_be_made_are_refused_before_training(phantom_folder: Path, tmp_path: Path) -> None:
    rows = [row for row in data.read(str(phantom_folder / "manifest.csv")) if row.label in ("glioma", "no_tumor")]
    patients = {row.label: sorted({r.patient for r in rows if r.label == row.label}) for row in rows}
    kept = {name for names in patients.values() for name in names[:4]}
    few = Manifest(tuple(row for row in rows if row.patient in kept))
    settings = msgspec.structs.replace(FAST, evaluate=msgspec.structs.replace(FAST.evaluate, folds=90))
    with pytest.raises(DataError, match="cannot be divided into 90 folds"):
        train(few, settings=settings, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
