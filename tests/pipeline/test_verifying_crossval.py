"""``tumorlens verify`` of a cross-validation, of its last network, and of the folds of a training."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.pipeline.conftest import PLAIN

from tumorlens import bundle, config
from tumorlens.bundle.info import sha256
from tumorlens.cli.main import main
from tumorlens.errors import UsageError
from tumorlens.pipeline import crossscoring
from tumorlens.pipeline.crossvalidating import crossval, resume
from tumorlens.pipeline.training import train
from tumorlens.pipeline.verifying import Check, verify
from tumorlens.pipeline.verifying.pages import settings_of
from tumorlens.report.card import model_card
from tumorlens.training.shuffled import shuffled

SMALL = (*PLAIN, "evaluate.folds=2", "data.audit=copies")
SCORES, POOLED = "scores, from the trainings' predictions.csv", "out-of-fold answers of seed 0"
TRAININGS, REPORT = "scores of each training, from its predictions.csv", "report, from metrics.json"
FITTED, VERDICTS = "calibration, sets and thresholds, fitted again", "sets and verdicts, from the probabilities"
PUBLIC, TABLE, FACTS = (
    "metrics.json of the bundle",
    "predictions.csv of the bundle",
    "network and data, from bundle.json",
)
KERAS, AGAIN = "network, against the Keras network of its training", "answers again"
OWN = "scores, from the bundle's predictions.csv"
STORED = "claims that a bundle alone cannot show"


@pytest.fixture(scope="module")
def made(phantom_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cross-validation with a network trained on all slices. Only to be read."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TUMORLENS_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        out = tmp_path_factory.mktemp("verified") / "cv"
        # The last network is trained to the end all the same: no slices are left to choose an epoch by.
        early = ("train.patience=5", "train.keep=best")
        settings = config.load(None, (*SMALL, *early, "evaluate.final=true"))
        return crossval(phantom_folder / "manifest.csv", settings=settings, out=out).folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(made, tmp_path / "cv"))


@pytest.fixture
def alone(made: Path, tmp_path: Path) -> Path:
    """A copy of its bundle."""
    return Path(shutil.copytree(made / "bundle", tmp_path / "alone"))


def checks(model: Path, **options: Any) -> dict[str, Check]:
    return {check.name: check for check in verify(model, slices=options.pop("slices", 4), **options)}


def wrong(model: Path, **options: Any) -> set[str]:
    return {name for name, check in checks(model, **options).items() if check.ok is False}


def changed(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def lied(path: Path, column: str, text: str) -> bytes:
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(row | {column: text} for row in rows)
    return path.read_bytes()


def rewritten(model: Path, change: Callable[[dict[str, Any]], object], files: dict[str, bytes], **fields: Any) -> None:
    """Another bundle whose scores, card and SHA-256s agree."""
    loaded = bundle.load(model)
    public = json.loads(loaded.read("metrics.json"))
    change(public)
    card = model_card(public, config.to_toml(settings_of(loaded))).encode()
    kept = {name: loaded.read(name) for name in loaded.info.files}
    files = {**kept, "metrics.json": json.dumps(public).encode(), "MODEL_CARD.md": card, **files}
    bundle.write_bundle(loaded.where, msgspec.structs.replace(loaded.info, **fields), files)


def nothing(document: dict[str, Any]) -> None:
    """Change nothing."""


def test_an_honest_one_holds(made: Path) -> None:
    found = checks(made, slices=40)
    assert [check for check in found.values() if check.ok is not True] == []
    assert {SCORES, POOLED, f"{POOLED}, against manifest.csv", TRAININGS, REPORT, FITTED, PUBLIC, TABLE} < set(found)
    assert found[f"{AGAIN}, fold 1"].detail.startswith("20 slices")
    assert "40 slices that it learned from" in found[AGAIN].detail
    assert found[KERAS].detail.startswith("64 slices")


def test_its_bundle_alone_holds_and_is_asked_about_what_it_learned_from(alone: Path, phantom_folder: Path) -> None:
    found = checks(alone, data=phantom_folder, slices=30)
    assert [name for name, check in found.items() if check.ok is not True] == [STORED]
    assert found[STORED].ok is None
    assert "out_of_fold" in found[STORED].detail
    assert {OWN, FITTED, VERDICTS, "temperatures of the folds, fitted again", "classes, against DATA"} < set(found)
    assert "30 slices that it learned from" in found[AGAIN].detail


def test_pictures_that_are_gone_hide_nothing_else(folder: Path) -> None:
    lied(folder / "manifest.csv", "path", "/nowhere.png")
    found = checks(folder)
    assert {name for name, check in found.items() if check.ok is not True} == {
        f"{AGAIN}, fold 1", f"{AGAIN}, fold 2", AGAIN, KERAS,
    }  # fmt: skip
    assert all(check.ok is not False for check in found.values())


def test_a_training_that_has_not_finished_is_named(folder: Path) -> None:
    for number, missing in (("1", "bundle"), ("2", "")):
        place = folder / "seed-0" / "folds" / number
        shutil.move(place / missing, folder / "away")
        with pytest.raises(UsageError, match=f"{place} has not finished") as caught:
            verify(folder)
        assert f"tumorlens crossval --resume {folder}" in caught.value.hint
        assert main(["verify", str(folder), "-q"]) == 2
        shutil.move(folder / "away", place / missing)


def test_damaged_scores_of_a_training_are_named(folder: Path) -> None:
    path = folder / "seed-0" / "folds" / "1" / "metrics.json"
    whole = json.loads(path.read_text())
    without = {key: value for key, value in whole.items() if key != "test"}
    for text in (json.dumps(without), json.dumps(whole | {"training": {}}), path.read_text()[:99], "[]"):
        path.write_text(text)
        with pytest.raises(UsageError, match=f"{path} is damaged") as caught:
            verify(folder)
        assert "tumorlens crossval --resume" in caught.value.hint


def test_a_damaged_audit_is_found(folder: Path) -> None:
    path = folder / "audit.json"
    path.write_text(path.read_text()[:99])
    (found,) = verify(folder)
    assert (found.name, found.ok) == (SCORES, False)
    assert "damaged" in found.detail


def test_a_last_network_that_is_not_there_is_told(folder: Path) -> None:
    (folder / "bundle" / "bundle.json").unlink()
    found = checks(folder)
    assert [check for check in found.values() if check.ok is False] == []
    last = found["network trained on every slice"]
    assert last.ok is None
    assert f"tumorlens crossval --resume {folder}" in last.detail


def test_a_finished_one_is_left_alone_by_a_newer_version(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != "log.txt"}
    monkeypatch.setattr(crossscoring, "__version__", "99.0")
    again = resume(folder)
    assert [path for path, content in before.items() if path.read_bytes() != content] == []
    assert again.metrics == json.loads((folder / "metrics.json").read_text())
    assert again.report == folder / "report.html"
    assert wrong(folder) == set()
    # What is missing is made: a report, and the scores of trainings that were not all there.
    (folder / "report.html").unlink()
    assert resume(folder).report == folder / "report.html"
    assert (folder / "report.html").is_file()
    (folder / "seed-0" / "folds" / "1" / "metrics.json").unlink()
    assert resume(folder).metrics["versions"]["tumorlens"] == "99.0"


def test_changed_claims_are_found(folder: Path) -> None:
    changed(folder / "metrics.json", lambda found: found["selective"].update(coverage=0.987))
    changed(folder / "seed-0" / "folds" / "1" / "metrics.json", lambda found: found["test"].update(accuracy=0.987))
    lied(folder / "seed-0" / "folds" / "predictions.csv", "set", "glioma")
    page = folder / "report.html"
    page.write_text(page.read_text().replace("<h1>", "<h1>Approved. "))
    assert wrong(folder) == {SCORES, TRAININGS, POOLED, REPORT}


def test_a_label_that_is_another_in_the_manifest_is_found(folder: Path) -> None:
    for number in "12":
        lied(folder / "seed-0" / "folds" / number / "predictions.csv", "patient", "somebody")
    assert f"{POOLED}, against manifest.csv" in wrong(folder)


def test_trust_that_was_changed_everywhere_is_found(folder: Path) -> None:
    conformal = json.loads(json.dumps(bundle.load(folder).info.conformal))
    conformal["quantiles"]["glioma"] = 0.5
    changed(folder / "metrics.json", lambda found: found.update(conformal=conformal))
    rewritten(folder, lambda found: found.update(conformal=conformal), {}, conformal=conformal)
    assert {SCORES, PUBLIC, FITTED} <= wrong(folder)
    assert wrong(folder / "bundle") == {FITTED}


def test_another_last_network_is_found(folder: Path, phantom_folder: Path) -> None:
    """Everything that is stored agrees with it: name, SHA-256, scores and card."""
    network = shuffled(bundle.load(folder).model, 1)
    rewritten(folder, lambda found: found["model"].update(sha256=sha256(network)), {"model.onnx": network})
    assert KERAS in wrong(folder)
    assert wrong(folder / "bundle") == set(), "without pictures nothing speaks against it"
    rewritten(folder, lambda found: found["model"].update(sha256="0" * 64), {})
    assert wrong(folder / "bundle") == {FACTS}


def test_sets_verdicts_and_temperatures_of_a_bundle_follow_from_its_answers(alone: Path, tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    for column, text in (("set", "glioma"), ("accepted", "true")):
        table.write_bytes(bundle.load(alone).read("predictions.csv"))
        assert text in table.read_text()
        other = Path(shutil.copytree(alone, tmp_path / column))
        rewritten(other, nothing, {"predictions.csv": lied(table, column, text)})
        assert VERDICTS in wrong(other)

    def hide(found: dict[str, Any]) -> None:
        del found["calibration"]["temperatures"]

    rewritten(alone, hide, {})
    assert "temperatures of the folds, fitted again" in wrong(alone)


def test_the_folds_of_a_training_are_checked(phantom_folder: Path, tmp_path: Path) -> None:
    settings = config.load(None, (*SMALL, "train.epochs=1", "evaluate.report=false"))
    run = train(phantom_folder / "manifest.csv", settings=settings, out=tmp_path / "run").folder
    found = checks(run)
    assert [check for check in found.values() if check.ok is False] == []
    assert found["answers of the folds"].detail == "240 answers"
    changed(run / "metrics.json", lambda told: told["cross_validation"]["folds"][0].update(accuracy=0.987))
    lied(run / "folds" / "predictions.csv", "accepted", "true")
    assert wrong(run) == {"scores, from predictions.csv", PUBLIC, "answers of the folds"}
    lied(run / "folds" / "2" / "predictions.csv", "label", "glioma")
    assert "answers of the folds, against manifest.csv" in wrong(run)
