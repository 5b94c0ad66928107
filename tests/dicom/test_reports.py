"""Answers as DICOM: objects that independent programs accept, about the right images, with the right numbers."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from tests.dicom.conformance import verified
from tests.web.conftest import EXAMPLES, dicom_frames

from tumorlens.dicom.headers import clean
from tumorlens.dicom.secondary_capture import secondary_capture
from tumorlens.dicom.structured_report import Evaluated, structured_report, telling
from tumorlens.errors import UsageError
from tumorlens.inference import Prediction, SeriesPrediction
from tumorlens.labels import NO_TUMOR
from tumorlens.pipeline.model import Model

pydicom = pytest.importorskip("pydicom")
highdicom = pytest.importorskip("highdicom")


def drawn(folder: Path, count: int = 4) -> list[Path]:
    """A series of drawn slices, one blank, in the headers that archives really have: an age without its unit."""
    folder.mkdir(parents=True, exist_ok=True)
    uid = pydicom.uid.generate_uid
    study, series, frame = uid(), uid(), uid()
    paths = []
    for number in range(count):
        path = dicom_frames(folder / f"{number}.dcm", 1)
        data = pydicom.dcmread(path)
        del data.NumberOfFrames
        if number == 0:
            data.PixelData = bytes(len(data.PixelData))
        data.StudyInstanceUID, data.SeriesInstanceUID, data.FrameOfReferenceUID = study, series, frame
        data.PatientName, data.PatientBirthDate, data.PatientSex = "Doe^Jane", "19660101", "F"
        data.add_new("PatientAge", "AS", "42")
        data.StudyID, data.AccessionNumber, data.StudyDate, data.StudyTime = "1", "A7", "20261128", "101500"
        data.ReferringPhysicianName, data.SeriesNumber, data.InstanceNumber = "", 3, number + 1
        data.ImageOrientationPatient = ["1", "0", "0", "0", "1", "0"]
        data.ImagePositionPatient = ["-80", "-90", f"{5 * number}"]
        data.SliceThickness, data.PositionReferenceIndicator = 5, ""
        data.save_as(path)
        paths.append(path)
    return paths


def evaluated(model: Model, paths: list[Path]) -> tuple[list[Evaluated], SeriesPrediction | None]:
    headers = {str(path): pydicom.dcmread(path, stop_before_pixels=True) for path in paths}
    answers = list(model.predict_paths(map(str, paths)))
    slices = [Evaluated(headers[one.path], one) for one in answers if isinstance(one, Prediction)]
    return slices, next((one for one in answers if isinstance(one, SeriesPrediction)), None)


@pytest.fixture(scope="module")
def reported(model: Model, tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Evaluated], SeriesPrediction, Path]:
    folder = tmp_path_factory.mktemp("series")
    slices, series = evaluated(model, drawn(folder / "in"))
    assert series is not None
    structured_report(slices, series).save_as(folder / "sr.dcm")
    return slices, series, folder / "sr.dcm"


def test_a_report_reads_back_with_the_numbers_and_images_it_was_made_of(
    reported: tuple[list[Evaluated], SeriesPrediction, Path],
) -> None:
    slices, series, path = reported
    read = highdicom.sr.srread(path)
    assert (read.CompletionFlag, read.VerificationFlag) == ("PARTIAL", "UNVERIFIED")
    assert read.StudyInstanceUID == slices[0].header.StudyInstanceUID
    assert read.PatientID == slices[0].header.PatientID
    whole, *keys = read.content.get_image_measurement_groups()
    found = {one.name.value: one.value for one in whole.get_measurements()}
    assert found == {f"p_{name}"[:16]: pytest.approx(p, abs=1e-6) for name, p in series.probabilities.items()}
    said = [(one.name.value, one.value.value) for one in whole.get_qualitative_evaluations()]
    assert ("class", series.predicted) in said
    names = {one.answer.id: str(one.header.SOPInstanceUID) for one in slices}
    referenced = {str(one.referenced_sop_instance_uid) for one in whole.source_images}
    assert referenced == {names[one] for one in series.supporting}
    assert [str(one.source_images[0].referenced_sop_instance_uid) for one in keys] == [
        str(one.header.SOPInstanceUID) for one in telling(slices, series)
    ]
    identity = series.model
    assert identity["sha256"] in read.to_json()
    assert f"tumorlens {identity['name']}" in read.to_json()


def test_of_a_series_without_a_tumour_the_most_suspicious_slices_are_shown(
    reported: tuple[list[Evaluated], SeriesPrediction, Path],
) -> None:
    slices, series, _ = reported
    names, answered = series.probabilities, next(one for one in slices if one.answer.predicted)
    shares = {"a": 0.9, "b": 0.3, "c": 0.6, "derived": 0.1, "d": 0.8, "e": 0.7}
    healthy = [
        replace(
            answered, answer=replace(answered.answer, id=name, probabilities=dict.fromkeys(names, 0.0) | {NO_TUMOR: p})
        )
        for name, p in shares.items()
    ]

    def shown(predicted: str | None) -> list[str]:
        told = replace(series, predicted=predicted, supporting=("b",), answered=tuple("abcde"))
        return [one.answer.id for one in telling(healthy, told)]

    assert shown(NO_TUMOR) == ["b", "c", "e"]  # not the derived one, which has no part in the answer
    assert shown("glioma") == ["a", "b", "c"]  # all the same to it
    assert shown(None) == ["a", "d", "e"]


def test_a_report_passes_independent_programs(reported: tuple[list[Evaluated], SeriesPrediction, Path]) -> None:
    path = reported[2]
    verified(path)
    if not shutil.which("dsrdump"):
        pytest.skip("needs dsrdump: apt-get install dcmtk")
    told = subprocess.run(["dsrdump", path], capture_output=True, text=True, check=True).stdout
    assert "Imaging Measurement Report" in told
    assert "99TUMORLENS" in told


def test_the_same_answer_is_the_same_object(reported: tuple[list[Evaluated], SeriesPrediction, Path]) -> None:
    slices, series, path = reported
    again, first = structured_report(slices, series), pydicom.dcmread(path)
    assert (again.SOPInstanceUID, again.SeriesInstanceUID) == (first.SOPInstanceUID, first.SeriesInstanceUID)
    assert structured_report(slices[:2], series).SOPInstanceUID != first.SOPInstanceUID


def test_frames_are_referenced_by_number(model: Model, tmp_path: Path) -> None:
    path = dicom_frames(tmp_path / "frames.dcm", 3)
    data = pydicom.dcmread(path)
    data.StudyInstanceUID, data.PatientName, data.StudyID = pydicom.uid.generate_uid(), "", ""
    data.save_as(path)
    slices, series = evaluated(model, [path])
    report = structured_report(slices, series)
    report.save_as(tmp_path / "sr.dcm")
    _, *keys = highdicom.sr.srread(tmp_path / "sr.dcm").content.get_image_measurement_groups()
    numbers = [key.source_images[0].referenced_frame_numbers for key in keys]
    assert numbers == [[one.answer.frame + 1] for one in telling(slices, series)]  # type: ignore[operator]


def test_what_is_refused_has_a_verdict_and_no_class(model: Model, tmp_path: Path) -> None:
    slices, _ = evaluated(model, drawn(tmp_path, 1))
    structured_report(slices).save_as(tmp_path / "sr.dcm")
    verified(tmp_path / "sr.dcm")
    (group,) = highdicom.sr.srread(tmp_path / "sr.dcm").content.get_image_measurement_groups()
    assert [one.value.value for one in group.get_qualitative_evaluations()] == ["not_brain_mri"]
    assert group.get_measurements() == []


def test_a_mask_in_a_series_is_refused(model: Model, tmp_path: Path) -> None:
    """As by every other way to ask."""
    paths = drawn(tmp_path / "in")
    data = pydicom.dcmread(paths[1])
    data.PixelData = ((data.pixel_array > 90) * np.uint16(1)).tobytes()
    data.save_as(paths[1])
    slices, series = evaluated(model, paths)
    assert "blank" in str(slices[0].answer.reason)
    assert "grey values" in str(slices[1].answer.reason)
    assert slices[1].answer.verdict == "not_brain_mri"
    assert series is not None
    assert series.aside == {"blank": 1, "not_brain_mri": 1}


def test_a_capture_shows_the_slice_and_says_what_it_is(
    model: Model, reported: tuple[list[Evaluated], SeriesPrediction, Path], tmp_path: Path
) -> None:
    one = telling(reported[0], reported[1])[0]
    secondary_capture(one, model.map(one.answer)).save_as(tmp_path / "sc.dcm")
    verified(tmp_path / "sc.dcm")
    read = pydicom.dcmread(tmp_path / "sc.dcm")
    assert read.SourceImageSequence[0].ReferencedSOPInstanceUID == one.header.SOPInstanceUID
    assert list(read.PatientOrientation) == ["L", "P"]
    assert read.ImageType[0] == "DERIVED"
    pixels = read.pixel_array
    assert np.ptp(pixels.astype(int), axis=2).max() > 50  # coloured
    assert cv2.mean(pixels[:26])[0] > 3  # the stamp
    # The program that reads it back takes it for what it is.
    (refused,) = model.predict_paths([str(tmp_path / "sc.dcm")])
    assert not isinstance(refused, Prediction)


def test_slices_of_several_series_need_several_reports(model: Model, tmp_path: Path) -> None:
    both = [*evaluated(model, drawn(tmp_path / "a", 2))[0], *evaluated(model, drawn(tmp_path / "b", 2))[0]]
    with pytest.raises(UsageError, match="several series"):
        structured_report(both)
    with pytest.raises(UsageError, match="at least one"):
        structured_report([])


def test_wrong_values_are_left_out_and_long_numbers_rounded(tmp_path: Path) -> None:
    header = pydicom.dcmread(drawn(tmp_path, 1)[0], stop_before_pixels=True)
    header.add_new("StudyDate", "DA", "2026.11.28x")
    header.add_new("SliceThickness", "DS", pydicom.valuerep.DSdecimal("4.99999999999999999999"))
    made = clean(header)
    assert "PatientAge" not in made
    assert not made.StudyDate
    assert made.SliceThickness == 5
    assert len(str(made.SliceThickness)) <= 16
    assert header.PatientAge == "42"  # the source is left alone


@pytest.mark.shared
def test_a_real_series(model: Model, shared_data: Path, tmp_path: Path) -> None:
    slices, series = evaluated(model, sorted((shared_data / "dicom" / "t1w_head").glob("*.dcm")))
    structured_report(slices, series).save_as(tmp_path / "sr.dcm")
    verified(tmp_path / "sr.dcm")
    one = telling(slices, series)[0]
    secondary_capture(one, model.map(one.answer)).save_as(tmp_path / "sc.dcm")
    verified(tmp_path / "sc.dcm")
    assert EXAMPLES.is_dir()
