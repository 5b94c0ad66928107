"""Nothing in a bundle names a file, a folder or a patient."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import msgspec

from tumorlens import data
from tumorlens.bundle.info import BundleInfo
from tumorlens.pipeline.public import public_sources
from tumorlens.pipeline.training import train
from tumorlens.preprocess.recipe import Recipe

SETTINGS = {
    "preprocess": {"size": 32},
    "model": {"name": "plain", "width": 8, "depth": 2, "weights": "/home/anna/secretweights.h5"},
    "train": {"epochs": 1},
    "evaluate": {"bootstrap": 100},
}


def hospital(phantom_folder: Path, folder: Path) -> Path:
    """The phantom as a ward keeps it: a folder per patient, a fold per patient, an empty file, one picture twice."""
    manifest = data.read(str(phantom_folder / "manifest.csv"))
    patients = {name: f"mueller-hans-{number:03d}" for number, name in enumerate(sorted({r.patient for r in manifest}))}
    rows = []
    for number, row in enumerate(manifest):
        name = patients[row.patient]
        path = folder / f"ordner_{name}" / f"aufnahme_{number:04d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(row.path, path)
        half = "left-half" if int(name[-3:]) % 2 else "right-half"
        rows.append([str(path), "notumor" if row.label == "no_tumor" else row.label, name, half])
    tested = next(row for row in rows if row[3] == "left-half")
    trained = next(row for row in rows if row[3] == "right-half")
    shutil.copyfile(trained[0], tested[0])
    (folder / "leeraufnahme.png").write_bytes(b"")
    rows.append([str(folder / "leeraufnahme.png"), "glioma", "mueller-hans-000", "left-half"])
    table = folder / "kopfambulanz.csv"
    with table.open("w", newline="") as file:
        csv.writer(file).writerows([["path", "label", "patient", "fold"], *rows])
    return table


def test_nothing_in_a_bundle_names_a_file_a_folder_or_a_patient(phantom_folder: Path, tmp_path: Path) -> None:
    table = hospital(phantom_folder, tmp_path / "ward7")
    run = train(table, settings={**SETTINGS, "data": {"test_fold": "left-half"}}, out=tmp_path / "run")
    assert run.metrics["leaked"]["removed"] > 0
    assert [item["code"] for item in run.metrics["data"]["skipped"]] == ["empty"]
    assert run.metrics["data"]["notes"]

    private = ["mueller-hans", "ordner_", "aufnahme", "kopfambulanz", "ward7", "-half", "secretweights", tmp_path.name]
    private += run.metrics["data"]["notes"]
    everything = {path.name: path.read_bytes().lower() for path in run.bundle.rglob("*") if path.is_file()}
    for word in private:
        assert [name for name, content in everything.items() if word.lower().encode() in content] == [], word

    card = everything["MODEL_CARD.md"]
    assert b"1 local data set" in card
    assert b"files left out: 1" in card


def test_published_data_sets_keep_their_names() -> None:
    facts = {"kaggle": [{"dataset": "owner/name"}]}
    assert public_sources(["phantom"], {}) == ["phantom"]
    assert public_sources(["anna", "owner/name", "ward/7"], facts) == ["owner/name", "2 local data sets"]


def test_a_model_of_the_phantom_alone_says_so() -> None:
    info = BundleInfo(name="n", version="1", created="", labels=("a", "b"), recipe=Recipe(), outputs=("logits",))
    assert not info.caution
    for sources, cautious in ((["phantom"], True), (["phantom", "1 local data set"], False)):
        assert bool(msgspec.structs.replace(info, data={"sources": sources}).caution) is cautious
