"""``predict dicomweb:…`` and the matches of a query: each is found once, and what is none is told."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from tests.dicom.archive import Archive, Handler, send
from tests.dicom.hostile_dicomweb import added, asked, endless, fixed, place

from tumorlens.cli.main import main
from tumorlens.data.dicomweb import searching
from tumorlens.inference import Prediction, SeriesPrediction
from tumorlens.io.limits import Limits
from tumorlens.pipeline.model import Model

pytestmark = pytest.mark.usefixtures("impatient")


def test_answers_are_named_by_uid_and_a_series_is_answered_at_its_end(archive: Archive, model: Model) -> None:
    answers = list(model.predict_paths([f"{archive.base}?PatientID=CANARY^7"]))
    assert [type(one) for one in answers] == [Prediction] * 4 + [SeriesPrediction]
    assert [one.id for one in answers[:4]] == [archive.base + place(archive, "instances", n) for n in range(4)]
    assert (answers[4].path, answers[4].slices) == (archive.base + place(archive), tuple(o.id for o in answers[:4]))
    files = model.predict_paths(str(path) for _, path in archive.files.values())
    for one, other in zip(answers, files, strict=True):
        assert one.probabilities == pytest.approx(other.probabilities, abs=1e-6)


def test_instances_named_one_by_one_are_one_series(archive: Archive, model: Model) -> None:
    slices, series, _ = asked(model, *(archive.base + place(archive, "instances", n) for n in (2, 0, 1)))
    assert [one.path for one in series] == [archive.base + place(archive)]
    assert series[0].slices == tuple(archive.base + place(archive, "instances", n) for n in range(3))
    assert len(slices) == 3
    assert all(path.count("/") == 6 for path in archive.paths())  # nothing is searched for


@pytest.mark.parametrize("cap", [1, 2, 1000])
@pytest.mark.parametrize("pages", [True, False])
def test_every_match_is_found_once_however_pages_are_cut(
    cap: int, pages: bool, archive: Archive, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searching, "PAGE", 3)
    archive.cap, archive.pages = cap, pages
    slices, series, failed = asked(model, archive.base + place(archive))
    assert [one.id for one in slices] == [archive.base + place(archive, "instances", n) for n in range(4)]
    assert (len(series), failed) == (1, [])


def test_studies_without_a_series_of_mr_are_not_an_empty_list(
    archive: Archive, model: Model, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ct = added(archive, tmp_path / "ct")
    archive.files = {uid: one for uid, one in archive.files.items() if uid == str(ct.SOPInstanceUID)}
    query = f"{archive.base}/studies?Modality=MR"
    assert asked(model, query)[2] == [(archive.base, "not_found")]
    assert main(["predict", query]) == 3
    assert "stdin" not in capsys.readouterr().err


def test_a_bad_row_costs_only_itself(archive: Archive, model: Model) -> None:
    def with_bad_rows(to: Handler) -> None:
        to.wfile, out = io.BytesIO(), to.wfile
        archive.answer(to)
        rows = json.loads(to.wfile.getvalue().partition(b"\r\n\r\n")[2])
        to.wfile = out
        rows += [{}, 1, {"00080018": {"Value": ["../x"]}}]
        send(to, json.dumps(rows).encode(), "application/dicom+json")

    for level, name in (("/studies", archive.base), ("/instances", archive.base + place(archive))):
        archive.odd = {level: with_bad_rows}
        slices, series, failed = asked(model, f"{archive.base}?PatientID=CANARY^7")
        assert (len(slices), len(series), failed) == (4, 1, [(name, "bad_answer")] * 2)


def test_series_are_chosen_across_studies_and_others_than_mr_are_told(
    archive: Archive, model: Model, tmp_path: Path
) -> None:
    data = added(archive, tmp_path / "ct")
    ct = f"{archive.base}/studies/{data.StudyInstanceUID}/series/{data.SeriesInstanceUID}"
    study = archive.base + place(archive, "studies")
    slices, series, failed = asked(model, study)
    assert (len(slices), len(series), failed) == (4, 1, [(ct, "not_mr")])
    assert asked(model, f"{study}?Modality=MR")[2] == []
    # What a series that was named itself holds its instances say.
    archive.asked.clear()
    assert asked(model, ct)[2] == [(f"{ct}/instances/{data.SOPInstanceUID}", "not_mr")]
    assert not any(path.endswith("/series") for path in archive.paths())
    archive.asked.clear()
    slices, *_ = asked(model, f"{archive.base}?SeriesInstanceUID={place(archive).rsplit('/', 1)[1]}")
    assert (len(slices), archive.paths()[0]) == (4, "/series")
    assert asked(model, f"{archive.base}?PatientID=nobody")[2] == [(archive.base, "not_found")]
    assert asked(model, f"{archive.base}/studies/1.2")[2] == [(f"{archive.base}/studies/1.2", "not_found")]
    # A whole server only where that was said.
    assert asked(model, archive.base)[2] == [(archive.base, "usage")]
    assert len(asked(model, f"{archive.base}/studies")[0]) == 4


BAD_JSON = {
    "HTML": fixed(b"<html>CANARY", "text/html"),
    "HTML by the name of JSON": fixed(b"<html>CANARY"),
    "no list": fixed(b'{"0020000D": {}}'),
    "a list of something": fixed(b"[1]"),
    "no attribute": fixed(b'[{"0020000D": "1.2"}]'),
    "no UID": fixed(b'[{"0020000D": {"Value": ["../../CANARY"]}, "0020000E": {"Value": ["../../CANARY"]}}]'),
    "a huge UID": fixed(b'[{"0020000E": {"Value": ["' + b"1." * 5000 + b'1"]}}]'),
    "nothing in it": fixed(b"[{}]"),
    "a name": fixed(b'[{"0020000E": {"vr": "PN", "Value": [{"Alphabetic": "CANARY"}]}}]'),
    "no element": fixed(b'[{"0020000D": {"Value": ["1.2"]}, "0020000E": {"Value": ["1.3"]}, "00080060": "MR"}]'),
    "no number": fixed(b'[{"0020000D": {"Value": ["1"]}, "0020000E": {"Value": ["1"]}, "00200013": {"Value": 1}}]'),
    "deep": fixed(b"[" * 100_000),
    "cut off": fixed(b'[{"0020000E": {"Value": ["1.2'),
    "not UTF-8": fixed(b'[{"\xff": {}}]'),
    "compressed": fixed(b"[]", Content_Encoding="gzip"),
    "teapot": fixed(b"CANARY", status=418),
    "fault": fixed(b"CANARY", status=500),
}


@pytest.mark.parametrize("what", BAD_JSON)
@pytest.mark.parametrize("where", ["/studies", "/series", "/instances"])
def test_what_is_no_answer_to_a_query_is_told(what: str, where: str, archive: Archive, model: Model) -> None:
    archive.odd[where] = BAD_JSON[what]
    slices, _, ((path, code),) = asked(model, f"{archive.base}?PatientID=CANARY^7")
    assert (slices, code) == ([], "bad_answer")
    assert path.startswith(archive.base)
    assert len(archive.asked) == len({path for path, _ in archive.asked})  # never tried again


def test_an_endless_list_ends(archive: Archive, model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searching, "_JSON_BYTES", 1 << 20)
    archive.odd["/studies"] = endless("application/dicom+json", b"[", b" " * 4096)
    assert asked(model, f"{archive.base}?PatientID=CANARY")[2] == [(archive.base, "too_large")]
    monkeypatch.setattr(searching, "DEFAULT", Limits(members=50))
    numbers = iter(range(1, 10**6))
    archive.odd["/studies"] = lambda to: fixed(
        b'[{"0020000D": {"Value": ["1.%d"]}}, {"0020000D": {"Value": ["2.%d"]}}]' % ((next(numbers),) * 2)
    )(to)
    assert asked(model, f"{archive.base}?PatientID=CANARY")[2] == [(archive.base, "too_large")]


def test_a_server_that_ignores_the_question_is_not_believed(archive: Archive, model: Model) -> None:
    for query in ("PatientID=CANARY", "PatientID=CANARY^7&SeriesDescription=CANARY"):
        archive.odd["/studies"] = lambda to: (
            setattr(to, "path", to.path.replace("PatientID", "x")) or archive.answer(to)
        )
        slices, _, ((_, code),) = asked(model, f"{archive.base}?{query}")
        assert (slices, code) == ([], "bad_answer")
