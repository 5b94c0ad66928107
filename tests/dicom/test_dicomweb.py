"""``predict dicomweb:…`` against a real server: the answers are those for the files, and nothing of them is left."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.dicom.archive import without_environment
from tests.dicom.conftest import ORTHANC, PLUGIN, Pacs

from tumorlens.cli.main import main
from tumorlens.data.dicomweb import searching
from tumorlens.errors import EnvironmentFailure
from tumorlens.inference import Failure, Prediction, SeriesPrediction
from tumorlens.inference.result import Answer
from tumorlens.pipeline.archiving import Archive, answer_archive
from tumorlens.pipeline.model import Model
from tumorlens.pipeline.reporter import Reporter
from tumorlens.pipeline.spreading import Workers

pydicom = pytest.importorskip("pydicom")
pytest.importorskip("requests")


@pytest.fixture(autouse=True)
def unknown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    without_environment(monkeypatch, tmp_path)


@pytest.fixture(scope="module")
def files(shared_data: Path) -> list[Path]:
    return sorted((shared_data / "dicom" / "t1w_head").glob("*.dcm"))[:8]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, shared_data: Path, files: list[Path]) -> Iterator[Pacs]:
    """A head in single slices, a volume in one compressed file, and pictures of other kinds."""
    if ORTHANC is None or PLUGIN is None:
        pytest.skip("needs Orthanc: apt-get install orthanc orthanc-dicomweb")
    one = Pacs(tmp_path_factory.mktemp("orthanc"))
    try:
        for path in [*files, *(shared_data / "dicom" / name for name in OTHERS)]:
            one.add(path)
        yield one
    finally:
        one.stop()


VOLUME = "mr/emri_small_jpeg_2k_lossless.dcm"
OTHERS = (VOLUME, "not_brain_mr/explicit_VR-UN.dcm", "not_brain_mr/US1_J2KR.dcm")


def base(server: Pacs) -> str:
    return f"dicomweb:{server.url}/dicom-web"


def uids(path: Path) -> tuple[str, str, str]:
    data = pydicom.dcmread(path, stop_before_pixels=True)
    return str(data.StudyInstanceUID), str(data.SeriesInstanceUID), str(data.SOPInstanceUID)


def alike(answers: list[Answer], others: list[Answer]) -> None:
    assert [type(one) for one in answers] == [type(one) for one in others]
    for one, other in zip(answers, others, strict=True):
        assert isinstance(one, (Prediction, SeriesPrediction))
        assert isinstance(other, (Prediction, SeriesPrediction))
        assert (one.predicted, one.verdict, one.set) == (other.predicted, other.verdict, other.set)
        assert one.probabilities == pytest.approx(other.probabilities, abs=1e-6)


@pytest.mark.parametrize("page", [3, searching.PAGE])
@pytest.mark.parametrize("how", ["study", "series", "query", "series query", "one by one"])
def test_a_head_is_answered_as_from_its_files(
    how: str, page: int, server: Pacs, files: list[Path], model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searching, "PAGE", page)
    study, series, _ = uids(files[0])
    patient = pydicom.dcmread(files[0], stop_before_pixels=True).PatientID
    where = {
        "study": [f"/studies/{study}"],
        "series": [f"/studies/{study}/series/{series}"],
        "query": [f"?PatientID={patient}&StudyDate=20130101-20131231&Modality=MR"],
        "series query": [f"?SeriesInstanceUID={series}"],
        "one by one": [f"/studies/{study}/series/{series}/instances/{uids(path)[2]}" for path in files],
    }
    answers = list(model.predict_paths(base(server) + one for one in where[how]))
    # As the server has them in order: by their numbers.
    ordered = sorted(files, key=lambda path: int(pydicom.dcmread(path, stop_before_pixels=True).InstanceNumber))
    alike(answers, list(model.predict_paths(map(str, files if how == "one by one" else ordered))))
    assert {one.path for one in answers[:-1]} == {
        f"{base(server)}/studies/{study}/series/{series}/instances/{uids(path)[2]}" for path in files
    }
    assert answers[-1].path == f"{base(server)}/studies/{study}/series/{series}"


def test_a_file_of_several_frames_comes_as_it_is_stored(server: Pacs, shared_data: Path, model: Model) -> None:
    path = shared_data / "dicom" / VOLUME
    study, series, instance = uids(path)
    answers = list(model.predict_paths([f"{base(server)}/studies/{study}"]))
    alike(answers, list(model.predict_paths([str(path)])))
    name = f"{base(server)}/studies/{study}/series/{series}/instances/{instance}"
    assert [one.as_dict()["id"] for one in answers] == [*(f"{name}#{n}" for n in range(10)), name]


def test_other_kinds_are_told_and_the_rest_is_answered(server: Pacs, shared_data: Path, model: Model) -> None:
    answers = list(model.predict_paths([f"{base(server)}/studies"]))
    failed = {one.path: one.error.code for one in answers if isinstance(one, Failure)}
    assert failed == {
        "{}/studies/{}/series/{}".format(base(server), *uids(shared_data / "dicom" / name)): "not_mr"
        for name in OTHERS[1:]
    }
    assert sum(isinstance(one, Prediction) for one in answers) == 18
    assert sum(isinstance(one, SeriesPrediction) for one in answers) == 2


@pytest.mark.parametrize(
    ("where", "code"),
    [
        ("/studies/1.2", "not_found"),
        ("/studies/1.2/series/3", "not_found"),
        ("/studies/1.2/series/3/instances/4", "not_found"),
        ("?PatientID=nobody", "not_found"),
        ("", "usage"),
        ("/../app?PatientID=nobody", "usage"),
    ],
)
def test_what_is_not_there(where: str, code: str, server: Pacs, model: Model) -> None:
    (failure,) = model.predict_paths([base(server) + where])
    assert isinstance(failure, Failure)
    assert failure.error.code == code
    assert failure.error.hint
    assert "nobody" not in str(failure)


def test_the_wrong_path_of_the_right_server(server: Pacs, model: Model) -> None:
    # Orthanc has studies of its own kind at its root, and a web page.
    wrong = [f"dicomweb:{server.url}?PatientID=1", f"dicomweb:{server.url}/app/explorer.html?PatientID=1"]
    failures = list(model.predict_paths(wrong))
    assert [one.error.code for one in failures if isinstance(one, Failure)] == ["bad_answer", "not_found"]
    assert all("/dicom-web" in one.error.hint for one in failures if isinstance(one, Failure))


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_answers_in_a_file_are_the_same(jobs: str, server: Pacs, model: Model, tmp_path: Path) -> None:
    named = [f"{base(server)}/studies?StudyDate=20000101-", f"{base(server)}?PatientID=nobody"]
    out = tmp_path / "answers.jsonl"
    assert main(["predict", *named, "--out", str(out), "--jobs", jobs]) == 1
    written = [{**json.loads(line), "ms": None} for line in out.read_text().splitlines()]
    shown = [{**one.as_dict(), "ms": None} for one in model.predict_paths(named)]
    assert "nobody" not in out.read_text()
    assert [one.get("id", one["path"]) for one in written] == [one.get("id", one["path"]) for one in shown]
    for one, other in zip(written, shown, strict=True):
        assert one.get("probabilities") == pytest.approx(other.get("probabilities"), abs=1e-6)


# Every file that Python opens to write, and every folder it makes, from the first to the last line.
_WATCHED = """
import os, sys
def watch(event, args):
    if event == "open" and args[0] != os.devnull and (args[2] or 0) & (os.O_WRONLY | os.O_RDWR):
        os.write(2, b"WROTE %r\\n" % (args[0],))
    elif event in ("os.mkdir", "os.rename", "shutil.copyfile", "tempfile.mkstemp", "tempfile.mkdtemp"):
        os.write(2, b"WROTE %r\\n" % (args,))
sys.dont_write_bytecode = True
sys.addaudithook(watch)
from tumorlens.cli.main import main
sys.exit(main())
"""


def test_the_command_writes_no_file_and_names_nobody(server: Pacs, files: list[Path], tmp_path: Path) -> None:
    data = pydicom.dcmread(files[0], stop_before_pixels=True)
    name, patient = str(data.PatientName), str(data.PatientID)
    assert name == "Jane_Doe"  # what must not be found below
    query = f"?PatientName={name}&PatientID={patient}"
    command = [sys.executable, "-c", _WATCHED, "predict", "-v", "--format", "jsonl", base(server) + query]
    command += [f"{base(server)}?PatientName=nobody_{name}", f"{base(server)}/nowhere{query}"]
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    done = subprocess.run(
        command, cwd=scratch, env={**os.environ, "TMPDIR": str(scratch)}, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 1, done.stderr
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [one["error"]["code"] for one in answers if "error" in one] == ["not_found", "not_found"]
    assert sum("probabilities" in one for one in answers) == len(files) + 1
    assert name.split("_")[0] not in done.stdout + done.stderr
    assert "PatientID=" not in done.stdout + done.stderr
    assert "WROTE" not in done.stderr
    assert not list(scratch.iterdir())


def test_into_a_file_each_series_is_an_input_of_its_own(server: Pacs, model: Model, tmp_path: Path) -> None:
    asked = Archive([f"{base(server)}/studies"], tmp_path / "a.jsonl", "jsonl", None, "onnxruntime", workers=Workers(1))
    answer_archive(asked, model, asked.named, Reporter())
    found = [{**json.loads(line), "ms": None} for line in asked.out.read_text().splitlines()]
    others = [json.loads(json.dumps({**one.as_dict(), "ms": None})) for one in model.predict_paths(asked.named)]
    assert {one.get("id", one["path"]) for one in found} == {one.get("id", one["path"]) for one in others}
    assert len(found) == len(others)
    with pytest.raises(EnvironmentFailure) as caught:  # no answer: when the server is back, --resume asks again
        answer_archive(replace(asked, named=[GONE], out=tmp_path / "b.jsonl"), model, [GONE], Reporter())
    assert caught.value.code == "unreachable"
    state = (tmp_path / "b.jsonl.state").read_bytes()
    assert b"Meier" not in state
    assert hashlib.sha256(json.dumps([GONE]).encode()).hexdigest().encode() not in state  # names can be guessed


GONE = "dicomweb:http://127.0.0.1:9/dicom-web?PatientName=Meier"
