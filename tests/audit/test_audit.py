"""The whole audit on a data set with planted faults: command, JSON, exit codes, cleaned manifest."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from tumorlens.data.phantom import make_slices


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Training and Testing folders with mirrored leaks, a copy under another class, and a text file."""
    folder = tmp_path_factory.mktemp("faulty") / "set"
    taken: dict[str, list[np.ndarray]] = {}
    seen = set()
    for item in make_slices(130, seed=901):
        if item.patient not in seen and item.label in ("glioma", "no_tumor"):
            seen.add(item.patient)
            taken.setdefault(item.label, []).append(item.image)
    for label, pictures in taken.items():
        for i, picture in enumerate(pictures):
            part = "Testing" if i % 3 == 0 else "Training"
            path = folder / part / label / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), picture)
    glioma = taken["glioma"]
    cv2.imwrite(str(folder / "Testing" / "glioma" / "mirrored.png"), glioma[1][:, ::-1])
    cv2.imwrite(str(folder / "Testing" / "glioma" / "same.png"), glioma[2])
    cv2.imwrite(str(folder / "Training" / "no_tumor" / "wrong.jpg"), glioma[4], [cv2.IMWRITE_JPEG_QUALITY, 70])
    (folder / "Training" / "glioma" / "text.png").write_text("no picture")
    return folder


def tumorlens(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tumorlens", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_planted_faults_are_found(faulty: Path, tmp_path: Path) -> None:
    done = tumorlens("audit", faulty, "--json", "--strict", "--fix", tmp_path / "clean.csv")
    assert done.returncode == 1, done.stderr
    document = json.loads(done.stdout)
    assert document["verdict"] == "serious"
    leaks = document["leaks"]
    assert (leaks["test_in_train_exact"], leaks["test_in_train_near"]) == (1, 1)
    transforms = {Path(pair["a"]).name: pair["transform"] for pair in leaks["pairs"]}
    assert transforms == {"mirrored.png": "hflip", "same.png": "identity"}
    assert {(pair["a_split"], pair["b_split"], pair["b_label"]) for pair in leaks["pairs"]} == {
        ("test", "train", "glioma")
    }
    assert leaks["slices_of_crossing_groups"] == 2
    assert leaks["per_class"]["glioma"]["leaked"] == 2
    [conflict] = document["label_conflicts"]
    assert sorted(Path(path).name for path in conflict["paths"]) == ["4.png", "wrong.jpg"]
    assert document["exact_duplicates"] == {"groups": 1, "redundant": 1}
    assert document["near_duplicates"]["redundant"] == 2
    assert document["near_duplicates"]["mirrored"] == 1
    assert [Path(item["path"]).name for item in document["unreadable"]] == ["text.png"]
    assert set(document["shortcuts"]) >= {"header", "border", "histogram", "thumbnail"}
    assert document["groups"][conflict["paths"][0]] == document["groups"][conflict["paths"][1]]
    kinds = [item["kind"] for item in document["findings"]]
    assert {"leaks", "conflicts", "copies", "unreadable", "patients"} <= set(kinds)

    rows = list(csv.DictReader((tmp_path / "clean.csv").open()))
    excluded = {Path(row["path"]).name: row["code"] for row in csv.DictReader((tmp_path / "clean.excluded.csv").open())}
    assert excluded["wrong.jpg"] == excluded["4.png"] == "conflict"
    # The test set keeps its slice, training gives up the copy.
    assert {"mirrored.png", "same.png"} <= {Path(row["path"]).name for row in rows}
    assert excluded["1.png"] == excluded["2.png"] == "copy"
    again = tumorlens("audit", tmp_path / "clean.csv", "--json")
    assert json.loads(again.stdout)["near_duplicates"]["redundant"] == 0
    assert json.loads(again.stdout)["leaks"]["pairs"] == []


def test_the_text_says_what_and_what_to_do(faulty: Path, tmp_path: Path) -> None:
    done = tumorlens("audit", faulty, "--out", tmp_path / "out", "-q")
    assert done.returncode == 0
    assert done.stdout.startswith("Do not believe a score")
    assert "By class: glioma 2 of" in done.stdout and "for example" in done.stdout
    assert done.stdout.splitlines()[1].endswith("1 file left out")
    assert "2 of" in done.stdout and "mirrored or turned" in done.stdout.replace("\n  ", " ")
    page = (tmp_path / "out" / "audit.html").read_text()
    assert "The test set repeats what is trained on" in page
    assert page.count("data:image/") >= 4
    assert json.loads((tmp_path / "out" / "audit.json").read_text())["verdict"] == "serious"


def test_variants_of_patient_ids_across_folds(faulty: Path, tmp_path: Path) -> None:
    pictures = sorted(faulty.rglob("Training/*/[0-9]*.png"))[:24]
    table = tmp_path / "m.csv"
    with table.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "label", "patient", "myfold"])
        for i, path in enumerate(pictures):
            shutil.copy(path, tmp_path / f"{i}.png")
            patient = "7a" if i == 0 else "7" if i == 1 else f"p{i}x"
            writer.writerow([f"{i}.png", path.parent.name, patient, i % 3])
    done = tumorlens("audit", table, "--fold-column", "myfold", "--json")
    found = json.loads(done.stdout)["patient_variants"]
    assert found == {"groups": 1, "patients": 2, "slices": 2, "crossing": 1, "crossing_slices": 2}
    held = tumorlens("audit", table, "--fold-column", "myfold", "--test-fold", "1", "--json")
    assert json.loads(held.stdout)["leaks"]["test_n"] == len(pictures) // 3
    assert tumorlens("audit", table, "--fold-column", "myfold", "--test-fold", "9").returncode == 3
    joined = tumorlens("audit", table, "--json", "--set", "data.join_patient_variants=true")
    groups = json.loads(joined.stdout)["groups"]
    by_name = {Path(name).name: value for name, value in groups.items()}
    assert by_name["0.png"] == by_name["1.png"]
    assert len(set(groups.values())) == len(pictures) - 1
