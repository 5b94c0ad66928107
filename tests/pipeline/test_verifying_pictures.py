"""``tumorlens verify`` with the pictures at hand: they are found by what they hold, and the network is asked again."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import msgspec
import pytest
from tests.pipeline.test_verifying import AGAIN, checks, rewritten, wrong

from tumorlens import bundle, config
from tumorlens.cli.main import main
from tumorlens.pipeline.verifying.pages import settings_of
from tumorlens.report.card import model_card


def test_a_bundle_is_asked_again_where_its_pictures_are_at_hand(
    gated_run: Path, phantom_folder: Path, tmp_path: Path
) -> None:
    alone = shutil.copytree(gated_run / "bundle", tmp_path / "alone")
    found = checks(alone, data=[phantom_folder], slices=30)
    assert found[AGAIN].ok
    assert found[AGAIN].detail.startswith("30 slices")
    held = len((gated_run / "predictions.csv").read_text().splitlines()) - 1
    assert f"{held} of its {held} slices are in DATA" in found[AGAIN].detail
    assert found["classes, against DATA"].ok
    # The same through the command, of a run whose pictures are looked for elsewhere.
    words = ["verify", str(gated_run), "-q", "--slices", "5", "--data", str(phantom_folder)]
    assert main(words) == 0


def test_other_pictures_and_other_classes_are_told(gated_run: Path, phantom_folder: Path, tmp_path: Path) -> None:
    other = shutil.copytree(phantom_folder, tmp_path / "other")
    (other / "glioma").rename(other / "x")
    (other / "pituitary").rename(other / "glioma")
    (other / "x").rename(other / "pituitary")
    (other / "manifest.csv").unlink()
    assert "classes, against DATA" in wrong(gated_run / "bundle", data=other, slices=5)
    found = checks(gated_run / "bundle", data="phantom:20", slices=5)
    assert found[AGAIN].ok is None
    assert found[AGAIN].detail.startswith("none of the")


def test_pictures_are_found_whatever_columns_the_model_was_trained_with(
    gated_run: Path, phantom_folder: Path, tmp_path: Path
) -> None:
    """By what their files hold, so a folder without such columns does as well."""
    alone = Path(shutil.copytree(gated_run / "bundle", tmp_path / "alone"))
    loaded = bundle.load(alone)
    settings = settings_of(loaded)
    columns = msgspec.structs.replace(settings.data, group_column="clinic", fold_column="official")
    public = json.loads(loaded.read("metrics.json"))
    card = model_card(public, config.to_toml(msgspec.structs.replace(settings, data=columns)))
    rewritten(alone, {"MODEL_CARD.md": card.encode()})
    found = checks(alone, data=phantom_folder, slices=5)
    assert found[AGAIN].ok
    assert [check for check in found.values() if check.ok is False] == []


def test_text_in_a_picture_is_no_difference(gated_run: Path, phantom_folder: Path, tmp_path: Path) -> None:
    """The table says what the product says of slices whose header warns of burnt-in text."""
    pydicom = pytest.importorskip("pydicom")
    import cv2

    from tumorlens.evaluation import PredictionTable
    from tumorlens.inference import Predictor
    from tumorlens.pipeline.evaluating import evaluate
    from tumorlens.pipeline.reporter import Reporter
    from tumorlens.pipeline.verifying.reasking import asked_again

    with (gated_run / "predictions.csv").open(newline="") as file:
        sure = [row for row in csv.DictReader(file) if row["accepted"] == "true"][:8]
    assert len(sure) == 8, "the run accepts some answers"
    places = {row["id"]: row["path"] for row in csv.DictReader((gated_run / "manifest.csv").open(newline=""))}
    lines = ["path,label,patient"]
    for number, row in enumerate(sure):
        data = pydicom.Dataset()
        data.SOPClassUID, data.SOPInstanceUID = pydicom.uid.MRImageStorage, pydicom.uid.generate_uid()
        data.Modality, data.PatientID, data.BurnedInAnnotation = "MR", f"P{number}", "YES" if number % 2 else "NO"
        pixels = cv2.imread(str(gated_run / places[row["id"]]), cv2.IMREAD_GRAYSCALE)
        data.Rows, data.Columns = pixels.shape
        data.SamplesPerPixel, data.PhotometricInterpretation, data.PixelRepresentation = 1, "MONOCHROME2", 0
        data.BitsAllocated, data.BitsStored, data.HighBit = 8, 8, 7
        data.PixelData = pixels.tobytes()
        data.file_meta = pydicom.dataset.FileMetaDataset()
        data.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
        data.save_as(tmp_path / f"{number}.dcm", enforce_file_format=True)
        lines.append(f"{number}.dcm,{row['label']},P{number}")
    (tmp_path / "some.csv").write_text("\n".join(lines) + "\n")
    alone = shutil.copytree(gated_run / "bundle", tmp_path / "alone")
    evaluate(alone, tmp_path / "some.csv", settings={"data": {"audit": "copies"}}, out=tmp_path / "out")
    table = PredictionTable.read_csv(tmp_path / "out" / "predictions.csv")
    assert set(table.burnt_in) == {True, False}
    assert not any(accepted for accepted, text in zip(table.accepted, table.burnt_in, strict=True) if text)
    assert any(accepted for accepted, text in zip(table.accepted, table.burnt_in, strict=True) if not text)
    where: dict[str, tuple[str, int | None]] = {name: (name, None) for name in table.ids}
    found = asked_again(table, where, Predictor(bundle.load(alone)), 8, 0, Reporter())
    assert (found.ok, found.detail.split(",")[0]) == (True, f"{len(table)} slices")
