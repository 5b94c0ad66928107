"""What a report says of a series as a whole stands on all of its files."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.web.conftest import EXAMPLES, dicom_frames

from tumorlens import io as reading
from tumorlens.dicom.answering import objects_of
from tumorlens.dicom.queue import Instance
from tumorlens.errors import InputError
from tumorlens.inference import Prediction
from tumorlens.io.slice import Slice
from tumorlens.pipeline.model import Model

cv2 = pytest.importorskip("cv2")
pydicom = pytest.importorskip("pydicom")
highdicom = pytest.importorskip("highdicom")


def enhanced(path: Path, picture: str, frames: int) -> Path:
    """A file of one series: a drawn picture, and the same darker and darker."""
    data = pydicom.dcmread(dicom_frames(path, 1))
    grey = cv2.imread(str(EXAMPLES / picture), cv2.IMREAD_GRAYSCALE).astype(np.uint16)
    data.Rows, data.Columns, data.NumberOfFrames = *grey.shape, frames
    data.PixelData = np.stack([grey * (frames + 4 - number) for number in range(frames)]).tobytes()
    data.StudyInstanceUID, data.SeriesInstanceUID = "1.2.3", "1.2.3.4"
    data.PatientName = data.StudyID = ""
    data.save_as(path)
    return path


def groups(paths: list[Path], model: Model) -> dict[str, Any]:
    """What the report says of the files, by what it is about."""
    instances = [Instance(str(pydicom.dcmread(one).SOPInstanceUID), "1.2.3.4", "1.2.3", one) for one in paths]
    made = (io.BytesIO(content) for content in objects_of(instances, model).values())
    (report,) = (one for one in made if pydicom.dcmread(one, stop_before_pixels=True).Modality == "SR")
    report.seek(0)
    found = highdicom.sr.srread(report).content.get_image_measurement_groups()
    return {str(one.tracking_identifier): one for one in found}


@pytest.mark.parametrize(
    ("first", "frames", "second"), [("no_tumor.png", 3, "meningioma.png"), ("meningioma.png", 1, "no_tumor.png")]
)
def test_the_whole_series_is_all_files_of_it(
    first: str, frames: int, second: str, model: Model, tmp_path: Path
) -> None:
    paths = [enhanced(tmp_path / "a.dcm", first, frames), enhanced(tmp_path / "b.dcm", second, 3)]
    slices = [one for one in model.predict_paths(map(str, paths)) if isinstance(one, Prediction)]
    assert len(slices) == frames + 3
    whole = model.gathering(slices[0])
    for one in slices:
        whole.add(one)
    expected = whole.answer()
    told = groups(paths, model)["Whole series"]
    measured = {one.name.value: one.value for one in told.get_measurements()}
    assert measured == {f"p_{name}"[:16]: pytest.approx(p, abs=1e-6) for name, p in expected.probabilities.items()}
    sops = {str(pydicom.dcmread(path).SOPInstanceUID): str(path) for path in paths}
    referenced = {sops[str(one.referenced_sop_instance_uid)] for one in told.source_images}
    assert referenced == {name.partition("#")[0] for name in expected.supporting}


def test_of_a_file_that_breaks_off_nothing_is_said_as_a_whole(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [enhanced(tmp_path / "a.dcm", "no_tumor.png", 3), enhanced(tmp_path / "b.dcm", "meningioma.png", 3)]
    read, seen = reading.read_slice, []

    def broken(path: str, frame: int | None = None) -> Slice:
        if path == str(paths[1]) and frame == 2:
            raise InputError("a frame is damaged", code="corrupt")
        seen.append(path)
        return read(path, frame)

    monkeypatch.setattr(reading, "read_slice", broken)
    monkeypatch.setattr("tumorlens.pipeline.readahead.TOGETHER", 2)  # what comes before is answered by then
    assert set(groups(paths, model)) == {"Key slice"}
    assert seen.count(str(paths[1])) == 2


def test_one_slice_alone_is_no_series(model: Model, tmp_path: Path) -> None:
    assert set(groups([enhanced(tmp_path / "a.dcm", "glioma.png", 1)], model)) == {"Key slice"}
