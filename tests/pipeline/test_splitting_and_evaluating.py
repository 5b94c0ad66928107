"""Copies, leaks and unusable files in ``split`` and ``evaluate``."""

from __future__ import annotations

import csv
import importlib.util
import json
import shutil
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tumorlens import config, data
from tumorlens.audit import clusters
from tumorlens.audit.clusters import Clusters
from tumorlens.data.manifest import Manifest, Row
from tumorlens.errors import DataError
from tumorlens.evaluation.localisation import read_places
from tumorlens.pipeline.dividing import split
from tumorlens.pipeline.evaluating import evaluate
from tumorlens.pipeline.reporter import Reporter
from tumorlens.pipeline.training import train
from tumorlens.report.summary import scores_text

QUICK = config.load(None, ["evaluate.bootstrap=100"])


class Kept(Reporter):
    """Keeps what was said."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.warnings: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)

    def warn(self, text: str) -> None:
        self.warnings.append(text)


@pytest.fixture
def copied(phantom_folder: Path, tmp_path: Path) -> Path:
    """The phantom without patients, each tenth picture there twice, with one file that is no picture."""
    folder = tmp_path / "set"
    for name in ("glioma", "meningioma", "no_tumor", "pituitary"):
        shutil.copytree(phantom_folder / name, folder / name)
        for path in sorted((folder / name).glob("*.png"))[::10]:
            shutil.copyfile(path, path.with_name(f"copy_of_{path.name}"))
    (folder / "glioma" / "text.jpg").write_text("hello")
    return folder


def test_split_keeps_copies_together_and_leaves_out_what_is_no_picture(copied: Path, tmp_path: Path) -> None:
    for folds in (0, 4):
        divided = split(copied, folds=folds)
        assert [item.code for item in divided.skipped] == ["not_an_image"]
        divided.write_csv(tmp_path / "m.csv")
        parts = defaultdict(set)
        for row in csv.DictReader((tmp_path / "m.csv").open()):
            assert row["group"]
            assert "text.jpg" not in row["path"]
            parts[row["path"].replace("copy_of_", "")].add(row["fold" if folds else "split"])
        assert all(len(found) == 1 for found in parts.values())


def test_a_named_group_column_may_divide_patients_and_says_so(phantom_folder: Path, tmp_path: Path) -> None:
    with (phantom_folder / "manifest.csv").open() as file:
        found = list(csv.DictReader(file))
    with (tmp_path / "m.csv").open("w") as file:
        writer = csv.DictWriter(file, ["path", "label", "patient", "group"])
        writer.writeheader()
        for number, row in enumerate(found):
            path = phantom_folder / row["path"]
            writer.writerow({"path": path, "label": row["label"], "patient": row["patient"], "group": number // 3})

    def divided_patients(manifest: Manifest) -> int:
        parts = defaultdict(set)
        for row in manifest:
            parts[row.patient].add(row.split)
        return sum(len(found) > 1 for found in parts.values())

    assert divided_patients(split(tmp_path / "m.csv")) == 0
    tell = Kept()
    named = split(tmp_path / "m.csv", settings=config.load(None, ["data.group_column=group"]), reporter=tell)
    assert divided_patients(named) > 0
    assert any("patients have slices in more than one group" in note for note in tell.notes)


def test_leaks_inside_the_given_data_are_scored_apart(finished_run: Path, phantom_folder: Path, tmp_path: Path) -> None:
    bundle = shutil.copytree(finished_run / "bundle", tmp_path / "alone")  # knows nothing about its training data
    manifest = data.read(str(phantom_folder / "manifest.csv"))
    tested = set(sorted({row.patient for row in manifest})[::4])
    rows = [replace(row, split="test" if row.patient in tested else "train") for row in manifest]
    for number, row in enumerate([row for row in rows if row.split == "train"][:6]):
        copy = tmp_path / f"copy{number}.png"
        shutil.copyfile(row.path, copy)
        rows.append(Row(path=str(copy), label=row.label, source="copies", split="test"))
    tell = Kept()
    document = evaluate(bundle, Manifest(tuple(rows)), settings=QUICK, reporter=tell)
    assert document["n"] == sum(row.patient in tested for row in manifest)
    assert document["as_shipped"]["n"] == document["n"] + 6
    assert any("6 slices share a patient or picture" in text for text in tell.warnings)
    assert document["skipped"] == []


def test_what_a_run_was_trained_on_is_no_test(finished_run: Path, phantom_folder: Path, tmp_path: Path) -> None:
    with (finished_run / "manifest.csv").open() as file:
        parts = {Path(row["path"]).name: row["split"] for row in csv.DictReader(file)}
    whole = evaluate(finished_run, phantom_folder / "manifest.csv", settings=QUICK)
    assert whole["n"] == sum(part == "test" for part in parts.values())
    assert whole["as_shipped"]["n"] == len(parts)
    # By its pictures too: here nobody says which patient is which.
    folder = tmp_path / "renamed"
    for number, path in enumerate(sorted((phantom_folder / "glioma").glob("*.png"))):
        (folder / "glioma").mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, folder / "glioma" / f"{number}.png")
    expected = sum(parts[path.name] == "test" for path in (phantom_folder / "glioma").glob("*.png"))
    assert evaluate(finished_run / "bundle", folder, settings=QUICK)["n"] == expected
    trained = [row for row in data.read(str(phantom_folder / "manifest.csv")) if parts[Path(row.path).name] == "train"]
    with pytest.raises(DataError) as error:
        evaluate(finished_run, Manifest(tuple(trained)), settings=QUICK)
    assert error.value.code == "all_leaked"


def test_a_likeness_is_no_leak_but_no_case_of_its_own_either(
    finished_run: Path, phantom_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (finished_run / "manifest.csv").open() as file:
        parts = {Path(row["path"]).name: row["split"] for row in csv.DictReader(file)}
    pictures = sorted((phantom_folder / "glioma").glob("*.png"))
    (tmp_path / "set" / "glioma").mkdir(parents=True)
    for number, path in enumerate(pictures):
        shutil.copyfile(path, tmp_path / "set" / "glioma" / f"{number}.png")
    find = clusters.find

    def alike(looks: Any, *more: Any) -> Clusters:
        return replace(find(looks, *more), alike={(i, i + 1): 0.9 for i in range(len(looks) - 1)})

    apart = evaluate(finished_run / "bundle", tmp_path / "set", settings=QUICK)
    monkeypatch.setattr(clusters, "find", alike)
    chained = evaluate(finished_run / "bundle", tmp_path / "set", settings=QUICK)
    assert chained["n"] == apart["n"] == sum(parts[path.name] == "test" for path in pictures)
    assert chained["groups"] == 1 < apart["groups"]


def test_maps_are_scored_as_after_a_training(finished_run: Path, phantom_folder: Path, tmp_path: Path) -> None:
    """The same slices, the same network: the same numbers, and the same with the weights shuffled."""
    same = config.load(finished_run / "config.toml")
    document = evaluate(finished_run, phantom_folder / "manifest.csv", out=tmp_path / "out", settings=same)
    trained = json.loads((finished_run / "metrics.json").read_text())
    assert set(document["localisation"]) == {"class", "class_shuffled", "centre", "head"}
    for what, found in document["localisation"].items():
        for name in ("n", "hit_rate", "energy", "iou"):
            assert found.get(name) == pytest.approx(trained["localisation"][what].get(name), abs=1e-6)
    assert document["pointing_game"] == trained["test"]["pointing_game"]
    assert document["pointing_game"]["n"] == document["localisation"]["class"]["n"] > 0
    assert "Map on the tumour" in scores_text(document)
    kept = [(one.id, one.what, one.hit) for one in read_places(tmp_path / "out" / "maps.csv")]
    run = [(one.id, one.what, one.hit) for one in read_places(finished_run / "maps.csv")]
    assert {(Path(name).name, *rest) for name, *rest in kept} == {(Path(name).name, *rest) for name, *rest in run}


def test_without_masks_no_map_is_scored(finished_run: Path, phantom_folder: Path, tmp_path: Path) -> None:
    bundle = shutil.copytree(finished_run / "bundle", tmp_path / "alone")
    manifest = data.read(str(phantom_folder / "manifest.csv"))
    bare = manifest.with_rows(replace(row, mask="") for row in manifest.rows[:40])
    document = evaluate(bundle, bare, settings=QUICK)
    assert document["pointing_game"] is document["localisation"] is None


def test_masks_that_cannot_be_used_are_told(finished_run: Path, phantom_folder: Path, tmp_path: Path) -> None:
    bundle = shutil.copytree(finished_run / "bundle", tmp_path / "alone")
    manifest = data.read(str(phantom_folder / "manifest.csv"))
    (tmp_path / "mask.png").write_text("no picture")
    first = next(i for i, row in enumerate(manifest) if row.mask)
    rows = [replace(row, mask=str(tmp_path / "mask.png")) if i == first else row for i, row in enumerate(manifest)]
    tell = Kept()
    evaluate(bundle, Manifest(tuple(rows)), settings=QUICK, reporter=tell)
    assert any("1 masks are not used" in text for text in tell.warnings)


def test_without_onnx_the_weights_are_not_shuffled_and_that_is_told(
    finished_run: Path, phantom_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "onnx" else found(name, *rest))
    bundle = shutil.copytree(finished_run / "bundle", tmp_path / "alone")
    tell = Kept()
    document = evaluate(bundle, phantom_folder / "manifest.csv", settings=QUICK, reporter=tell)
    assert "class" in document["localisation"]
    assert "class_shuffled" not in document["localisation"]
    assert any("shuffled" in note for note in tell.notes)


def test_a_shipped_validation_set_that_copies_training_is_scored_without_the_copies(
    phantom_folder: Path, tmp_path: Path
) -> None:
    fast = ["preprocess.size=32", "model.name=plain", "model.width=8", "model.depth=2", "train.epochs=1"]
    fast += ["data.audit=copies", "evaluate.report=false"]
    manifest = data.read(str(phantom_folder / "manifest.csv"))
    patients = sorted({row.patient for row in manifest})
    part_of = {name: ("val", "test", "train", "train")[i % 4] for i, name in enumerate(patients)}
    rows = [replace(row, split=part_of[row.patient]) for row in manifest]
    for number, row in enumerate([row for row in rows if row.split == "train"][:7]):
        copy = tmp_path / f"copy{number}.png"
        shutil.copyfile(row.path, copy)
        rows.append(Row(path=str(copy), label=row.label, source="copies", split="val"))
    tell = Kept()
    settings = config.load(None, [*fast, "evaluate.bootstrap=100"])
    run = train(Manifest(tuple(rows)), settings=settings, out=tmp_path / "run", reporter=tell)
    validation = run.metrics["validation"]
    assert validation["n"] == sum(part == "val" for row in manifest for part in [part_of[row.patient]])
    assert validation["as_shipped"]["n"] == validation["n"] + 7
    assert run.metrics["leaked_validation"]["removed"] == 7
    assert run.metrics["leaked"] is None
    assert any("7 validation slices" in text for text in tell.warnings)
    audit = json.loads((run.folder / "audit.json").read_text())
    assert audit["leaks"]["val_in_train_exact"] == 7
    assert audit["verdict"] == "serious"
