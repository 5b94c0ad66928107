"""The same slice through every door gives the same answer."""

from __future__ import annotations

import json
import subprocess
import sys
import weakref
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import tumorlens
from tumorlens import io
from tumorlens.errors import EnvironmentFailure, InputError, UsageError
from tumorlens.inference import Failure, Prediction, SeriesPrediction
from tumorlens.pipeline.model import Model
from tumorlens.pipeline.reporter import Reporter


@pytest.fixture(scope="module")
def model(finished_run: Path) -> Model:
    return tumorlens.load(finished_run)


@pytest.fixture(scope="module")
def picture(phantom_folder: Path) -> Path:
    return sorted((phantom_folder / "glioma").glob("*.png"))[0]


def close(a: dict[str, float], b: dict[str, float]) -> bool:
    return a.keys() == b.keys() and all(abs(a[name] - b[name]) <= 1e-6 for name in a)


def test_path_bytes_array_slice_list_and_command_line_agree(model: Model, picture: Path, finished_run: Path) -> None:
    by_path = model.predict(str(picture))
    assert isinstance(by_path, Prediction)
    assert by_path.predicted in model.labels
    assert sum(by_path.probabilities.values()) == pytest.approx(1)
    array = cv2.imread(str(picture), cv2.IMREAD_GRAYSCALE)
    others = [
        model.predict(picture.read_bytes()),
        model.predict(array),
        model.predict(np.repeat(array[..., None], 3, axis=2)),
        model.predict(tumorlens.Slice(array.astype(np.float32), "s")),
        *model.predict([picture, array])[-2:],  # type: ignore[index]
    ]
    assert all(close(by_path.probabilities, other.probabilities) for other in others)  # type: ignore[union-attr]
    command = [
        sys.executable,
        "-m",
        "tumorlens",
        "predict",
        str(picture),
        "--model",
        str(finished_run),
        "--format",
        "json",
    ]
    (entry,) = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    assert close(by_path.probabilities, entry["probabilities"])
    assert {**entry, "ms": 0, "probabilities": 0} == {**by_path.as_dict(), "ms": 0, "probabilities": 0}


def test_a_batch_gives_what_single_slices_give(model: Model, phantom_folder: Path) -> None:
    paths = sorted(phantom_folder.glob("*/*.png"))[:40]
    together = model.predict(paths)
    assert isinstance(together, list)
    for path, answer in list(zip(paths, together, strict=True))[::7]:
        assert close(model.predict(path).probabilities, answer.probabilities)  # type: ignore[union-attr]


def test_the_contract_fields_are_there_and_the_later_ones_null(model: Model, picture: Path) -> None:
    entry = model.predict(picture).as_dict()  # type: ignore[union-attr]
    assert list(entry) == [
        "id", "path", "frame", "predicted", "probabilities", "set", "verdict", "reason", "map", "model", "ms",
    ]  # fmt: skip
    assert entry["set"] is entry["verdict"] is entry["reason"] is entry["map"] is None
    assert set(entry["model"]) == {"name", "version", "sha256"}


def test_a_volume_gets_an_answer_for_the_series(model: Model, tmp_path: Path) -> None:
    nibabel = pytest.importorskip("nibabel")
    volume = np.random.default_rng(0).integers(0, 900, (60, 50, 5)).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(volume, np.diag([1.0, 1.0, 5.0, 1.0])), tmp_path / "head.nii.gz")
    answers = model.predict(tmp_path / "head.nii.gz")
    assert isinstance(answers, list)
    assert len(answers) == 6
    series = answers[-1]
    assert isinstance(series, SeriesPrediction)
    assert len(series.slices) == 5
    for name in model.labels:
        assert series.probabilities[name] == pytest.approx(np.mean([a.probabilities[name] for a in answers[:5]]))  # type: ignore[union-attr]
    assert [a.id for a in model.predict_paths([str(tmp_path)])] == [a.id for a in answers]  # type: ignore[union-attr]


def test_unusable_inputs_are_answers_in_a_list_and_errors_alone(model: Model, picture: Path, tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("hello")
    with pytest.raises(InputError):
        model.predict(tmp_path / "text.jpg")
    answers = model.predict([tmp_path / "text.jpg", picture, tmp_path / "none.png", b""])
    assert isinstance(answers, list)
    assert [type(answer) for answer in answers] == [Failure, Prediction, Failure, Failure]
    assert [a.error.code for a in answers if isinstance(a, Failure)] == ["not_an_image", "not_found", "empty"]
    with pytest.raises(InputError, match="expected numbers"):
        model.predict(np.zeros((2, 3, 4, 5)))
    with pytest.raises(UsageError):
        model.predict(3)  # type: ignore[arg-type]
    wrong, right = model.predict([3, picture])  # type: ignore[list-item]
    assert isinstance(wrong, Failure)
    assert wrong.error.code == "usage"
    assert isinstance(right, Prediction)


def test_maps_are_written_one_per_slice(model: Model, phantom_folder: Path, tmp_path: Path) -> None:
    paths = [str(path) for path in sorted((phantom_folder / "pituitary").glob("*.png"))[:3]]
    answers = list(model.predict_paths(paths, map_folder=tmp_path / "maps"))
    written = [Path(str(answer.map)) for answer in answers]  # type: ignore[union-attr]
    assert len(set(written)) == 3
    for path in written:
        picture = cv2.imread(str(path))
        assert min(picture.shape[:2]) >= 256
        assert np.ptp(picture.astype(int), axis=2).max() > 0  # coloured somewhere
        assert picture[-20:].max() > 200  # the caption


def test_maps_of_slices_with_like_names_are_kept_apart_and_replaced(
    model: Model, picture: Path, tmp_path: Path
) -> None:
    for name in ("a/p1.001.slice1.png", "a/p1.001.slice2.png", "b/p1.001.slice1.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(picture.read_bytes())
    for _ in range(2):
        answers = list(model.predict_paths([str(tmp_path / "a"), str(tmp_path / "b")], map_folder=tmp_path / "maps"))
        assert len({answer.map for answer in answers}) == 3  # type: ignore[union-attr]
    assert len(list((tmp_path / "maps").iterdir())) == 3
    assert all("p1.001.slice" in path.name for path in (tmp_path / "maps").iterdir())
    with pytest.raises(EnvironmentFailure, match="cannot write to"):
        list(model.predict_paths([str(picture)], map_folder=picture))


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
def test_a_coloured_array_gives_what_its_file_gives(kind: type, model: Model, tmp_path: Path) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (40, 30, 3))
    colour = (noise * (257 if kind is np.uint16 else 1)).astype(kind)
    if kind is np.float32:
        np.savez(tmp_path / "a.npz", images=colour[None])
        (by_file,) = model.predict_paths([str(tmp_path / "a.npz")])
    else:
        cv2.imwrite(str(tmp_path / "a.png"), colour[..., ::-1])
        by_file = model.predict(tmp_path / "a.png")  # type: ignore[assignment]
    assert close(model.predict(colour).probabilities, by_file.probabilities)  # type: ignore[union-attr]


def test_pictures_that_share_a_file_are_no_series(model: Model, tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 255, (4, 28, 28)).astype(np.uint8)
    np.savez(tmp_path / "set.npz", train_images=images, train_labels=np.arange(9))  # labels do not matter here
    for answers in (list(model.predict_paths([str(tmp_path / "set.npz")])), model.predict(tmp_path / "set.npz")):
        assert [type(answer) for answer in answers] == [Prediction] * 4  # type: ignore[union-attr]


def dicom(path: Path, series: str, place: float, **fields: object) -> str:
    """A slice of noise as an MR file."""
    pydicom = pytest.importorskip("pydicom")
    data = pydicom.Dataset()
    data.SOPClassUID, data.SOPInstanceUID = pydicom.uid.MRImageStorage, pydicom.uid.generate_uid()
    data.Modality, data.SeriesInstanceUID = "MR", series
    pixels = np.random.default_rng(int(place)).integers(0, 900, (40, 40)).astype(np.uint16)
    data.Rows, data.Columns = pixels.shape
    data.SamplesPerPixel, data.PhotometricInterpretation, data.PixelRepresentation = 1, "MONOCHROME2", 0
    data.BitsAllocated = data.BitsStored = 16
    data.HighBit = 15
    data.ImageOrientationPatient, data.ImagePositionPatient = [1, 0, 0, 0, 1, 0], [0, 0, place]
    data.PixelData = pixels.tobytes()
    for name, value in fields.items():
        setattr(data, name, value)
    data.file_meta = pydicom.dataset.FileMetaDataset()
    data.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    path.parent.mkdir(parents=True, exist_ok=True)
    data.save_as(path, enforce_file_format=True)
    return str(path)


def test_files_of_one_dicom_series_get_an_answer_in_the_order_they_lie(model: Model, tmp_path: Path) -> None:
    places = {"a.dcm": 30.0, "b.dcm": 10.0, "c.dcm": 20.0}
    paths = {name: dicom(tmp_path / "scan" / name, "1.2.3", place) for name, place in places.items()}
    dicom(tmp_path / "scan" / "other.dcm", "1.2.4", 5.0)
    for inputs in ([str(tmp_path / "scan")], [*paths.values(), str(tmp_path / "scan" / "other.dcm")]):
        *slices, series = model.predict_paths(inputs)
        assert len(slices) == 4
        assert isinstance(series, SeriesPrediction)
        assert series.id == f"{tmp_path / 'scan'}#1.2.3"
        assert series.slices == (paths["b.dcm"], paths["c.dcm"], paths["a.dcm"])
        for name in model.labels:
            mean = np.mean([s.probabilities[name] for s in slices if s.id in series.slices])  # type: ignore[union-attr]
            assert series.probabilities[name] == pytest.approx(mean)


@pytest.mark.parametrize(
    ("fields", "code", "said"),
    [
        ({"Modality": "CT"}, "not_mr", "CT"),
        ({"Modality": "OT"}, "not_mr", "OT"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"}, "not_mr", "Secondary Capture"),
        ({"Modality": "", "SOPClassUID": "1.2.840.10008.5.1.4.1.1.2"}, "not_mr", "CT Image Storage"),
        ({"BodyPartExamined": "KNEE"}, "not_head", "KNEE"),
        ({"BodyPartExamined": "HEART"}, "not_head", "HEART"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, "localiser", "scout"),
        ({"ImageType": ["DERIVED", "SECONDARY"]}, None, ""),
        ({"ImageType": "ORIGINAL"}, None, ""),
        ({"BodyPartExamined": "HEADNECK"}, None, ""),
        ({"BodyPartExamined": ""}, None, ""),
        ({"Modality": ""}, None, ""),
    ],
)
def test_what_is_no_mr_of_a_head_by_its_own_header_is_no_answer(
    fields: dict[str, object], code: str | None, said: str, model: Model, tmp_path: Path
) -> None:
    path = dicom(tmp_path / "a.dcm", "1.2.3", 1.0, **fields)
    (answer,) = model.predict_paths([path])
    if code is None:
        assert isinstance(answer, Prediction)
        return
    assert isinstance(answer, Failure)
    assert answer.error.code == code
    assert said in answer.error.message
    for source in (path, Path(path).read_bytes()):
        with pytest.raises(InputError) as caught:
            model.predict(source)
        assert caught.value.code == code


def test_the_rules_of_a_training_set_do_not_hold_for_predicting(model: Model, picture: Path, tmp_path: Path) -> None:
    content = picture.read_bytes()
    for name in ("root.png", "sub/b.png", "yes/1.png", "no/1.png", "brain/yes/1.png", "brain/no/1.png", "x.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    for name in ("x_mask.png", "masks/root.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    (tmp_path / "readme.txt").write_text("hello")
    (tmp_path / "LICENSE").write_text("hello")
    notes: list[str] = []

    class Notes(Reporter):
        def note(self, text: str) -> None:
            notes.append(text)

    answers = list(model.predict_paths([str(tmp_path)], reporter=Notes()))
    assert len([a for a in answers if isinstance(a, Prediction)]) == 7
    failed = {Path(a.path).name: a.error for a in answers if isinstance(a, Failure)}
    assert {name: error.code for name, error in failed.items()} == {"x_mask.png": "mask", "root.png": "mask"}
    assert [note for note in notes if "2 files that are no images" in note] == notes


def test_every_unusable_file_of_a_folder_is_an_entry_of_its_own(model: Model, tmp_path: Path) -> None:
    (tmp_path / "junk.dcm").write_bytes(b"\xf1junk" * 50)
    (tmp_path / "text.jpg").write_text("hello")
    (tmp_path / "nothing.png").write_bytes(b"")
    answers = list(model.predict_paths([str(tmp_path)]))
    assert {Path(a.path).name: a.error.code for a in answers if isinstance(a, Failure)} == {
        "junk.dcm": "not_an_image",
        "text.jpg": "not_an_image",
        "nothing.png": "empty",
    }
    alone = list(model.predict_paths([str(tmp_path / "junk.dcm")]))
    assert [a.error.code for a in alone if isinstance(a, Failure)] == ["not_an_image"]
    assert alone[0].error.hint  # type: ignore[union-attr]
    (tmp_path / "empty").mkdir()
    (empty,) = model.predict_paths([str(tmp_path / "empty")])
    assert isinstance(empty, Failure)
    assert "class" not in empty.error.hint


def test_a_volume_is_never_in_memory_as_a_whole(model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez(tmp_path / "many.npz", images=np.zeros((200, 20, 20), np.uint8))
    alive: list[weakref.ref[np.ndarray]] = []
    most = 0
    read = io.read_slice

    def counted(path: str, frame: int | None = None) -> tumorlens.Slice:
        nonlocal most
        found = read(path, frame)
        alive.append(weakref.ref(found.pixels))
        most = max(most, sum(ref() is not None for ref in alive))
        return found

    monkeypatch.setattr(io, "read_slice", counted)
    assert sum(1 for _ in model.predict_paths([str(tmp_path / "many.npz")])) == 200
    assert most <= 64


def test_a_model_says_what_it_is(model: Model) -> None:
    assert repr(model).startswith("<Model compact ")
    assert "glioma" in repr(model)


def points(scores: dict[str, Any] | None) -> dict[str, float]:
    """The numbers that do not depend on how often is resampled."""
    return {k: v for k, v in (scores or {}).items() if isinstance(v, int | float) and "ci95" not in k}


def test_evaluate_agrees_with_the_runs_own_scores(finished_run: Path) -> None:
    metrics = json.loads((finished_run / "metrics.json").read_text())
    said = metrics["test"]
    again = tumorlens.evaluate(finished_run, finished_run / "manifest.csv")
    assert again["accuracy"] == said["accuracy"]
    assert again["nll"] == pytest.approx(said["nll"])
    assert again["confusion"] == said["confusion"]
    assert (again["patients"], again["by_patient"]) == (said["patients"], metrics["patients"])
    for key in ("series", "calibration"):
        assert points(again[key]) == pytest.approx(points(metrics[key])), key
    for kind, parts in metrics["subgroups"].items():
        assert {name: one["accuracy"] for name, one in again["subgroups"][kind].items()} == {
            name: one["accuracy"] for name, one in parts.items()
        }
