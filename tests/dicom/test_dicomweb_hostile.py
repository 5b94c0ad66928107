"""``predict dicomweb:…`` against a server that fails, errs, lies and drags its feet."""

from __future__ import annotations

import gzip
import io
import json
import logging
import shutil
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pydicom = pytest.importorskip("pydicom")
pytest.importorskip("requests")
pytest.importorskip("highdicom")
from tests.dicom.archive import Archive, Handler, send, without_environment, wrapped  # noqa: E402
from tests.dicom.conftest import free_port  # noqa: E402
from tests.dicom.test_reports import drawn  # noqa: E402

import tumorlens  # noqa: E402
from tumorlens.cli.main import main  # noqa: E402
from tumorlens.data.dicomweb import retrieving, searching, walking  # noqa: E402
from tumorlens.errors import EnvironmentFailure, UsageError  # noqa: E402
from tumorlens.inference import Failure, Prediction, SeriesPrediction  # noqa: E402
from tumorlens.io import remote  # noqa: E402
from tumorlens.io.limits import Limits  # noqa: E402
from tumorlens.pipeline.model import Model  # noqa: E402


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(remote, "PAUSES", (0, 0, 0))
    without_environment(monkeypatch, tmp_path)


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Archive]:
    one = Archive(drawn(tmp_path / "in"))
    yield one
    one.stop()


def place(archive: Archive, level: str = "series", number: int = 0) -> str:
    data, _ = list(archive.files.values())[number]
    levels = {"studies": data.StudyInstanceUID, "series": data.SeriesInstanceUID, "instances": data.SOPInstanceUID}
    return "".join(f"/{name}/{uid}" for name, uid in list(levels.items())[: list(levels).index(level) + 1])


def asked(model: Model, *named: str) -> tuple[list[Prediction], list[SeriesPrediction], list[tuple[str, str]]]:
    answers = list(model.predict_paths(named))
    for one in answers:
        assert "CANARY" not in f"{one.as_dict()}"
        assert "Doe" not in f"{one.as_dict()}"
    return (
        [one for one in answers if isinstance(one, Prediction)],
        [one for one in answers if isinstance(one, SeriesPrediction)],
        [(one.path, one.error.code) for one in answers if isinstance(one, Failure)],
    )


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


def added(archive: Archive, folder: Path) -> Any:
    """Put a series of another modality into the study."""
    path = drawn(folder, 1)[0]
    data = pydicom.dcmread(path)
    data.Modality, data.StudyInstanceUID = "CT", next(iter(archive.files.values()))[0].StudyInstanceUID
    data.save_as(path)
    archive.files[str(data.SOPInstanceUID)] = (data, path)
    return data


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


def fixed(body: bytes, kind: str = "application/dicom+json", status: int = 200, **headers: str) -> Any:
    return lambda to: send(to, body, kind, status, **headers)


def endless(kind: str, head: bytes, block: bytes, **headers: str) -> Callable[[Handler], None]:
    def answer(to: Handler) -> None:
        to.close_connection = True
        to.send_response(200)
        for name, value in {"Content-Type": kind, "Connection": "close", **headers}.items():
            to.send_header(name.replace("_", "-"), value)
        to.end_headers()
        to.wfile.write(head)
        while True:
            to.wfile.write(block)

    return answer


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


@pytest.mark.parametrize("status", [400, 401, 403, 404, 406])
def test_a_refusal_is_not_tried_again(status: int, archive: Archive, model: Model) -> None:
    archive.odd["/studies"] = fixed(b"CANARY", "text/plain", status)
    *_, failed = asked(model, f"{archive.base}?PatientID=CANARY")
    codes = {401: "no_permission", 403: "no_permission", 404: "not_found"}
    assert failed == [(archive.base, codes.get(status, "bad_answer"))]
    assert len(archive.asked) == 1


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_what_is_temporary_is_tried_again(
    status: int, archive: Archive, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "LONGEST_PAUSE", 0.1)
    begun = time.monotonic()
    replies = iter([0, 1, 2])

    def busy(to: Handler) -> None:
        after = {"Retry_After": "99999"} if status == 429 else {}
        archive.answer(to) if next(replies, None) is None else send(to, b"", "text/plain", status, **after)

    archive.odd["/studies"] = busy
    slices, *_, failed = asked(model, f"{archive.base}?PatientID=CANARY^7")
    assert (len(slices), failed) == (4, [])
    assert time.monotonic() - begun > (0.3 if status == 429 else 0)
    archive.odd["/studies"] = fixed(b"", status=status)
    assert asked(model, f"{archive.base}?PatientID=CANARY^7")[2] == [(archive.base, "busy")]


def test_one_instance_that_takes_too_long_costs_only_itself(archive: Archive, model: Model) -> None:
    bad = [archive.base + place(archive, "instances", n) for n in range(4)]
    for n in (0, 2):
        archive.odd[place(archive, "instances", n)] = fixed(b"", status=504)
    slices, series, failed = asked(model, archive.base + place(archive))
    assert ([one.id for one in slices], len(series)) == ([bad[1], bad[3]], 1)
    assert failed == [(bad[0], "busy"), (bad[2], "busy")]
    archive.odd[place(archive, "instances", 1)] = fixed(b"", status=503)
    slices, series, failed = asked(model, f"{archive.base}?PatientID=CANARY^7", f"{archive.base}/studies/1.2")
    assert (slices, series) == ([], [])
    # Three one after another are the server; the next question is another.
    assert failed == [
        *((one, "busy") for one in [*bad[:3], archive.base]),
        (f"{archive.base}/studies/1.2", "not_found"),
    ]


def test_a_server_that_is_not_there(model: Model) -> None:
    base = f"dicomweb:http://127.0.0.1:{free_port()}/dicom-web"
    assert asked(model, f"{base}?PatientID=CANARY", f"{base}/studies/1.2")[2] == [
        (base, "unreachable"),
        (f"{base}/studies/1.2", "unreachable"),
    ]


def hung_up(to: Handler) -> None:
    to.close_connection = True


@pytest.mark.parametrize(("how", "code"), [(hung_up, "unreachable"), (fixed(b"", status=401), "no_permission")])
def test_a_server_that_is_lost_ends_the_question_and_a_part_of_a_series_has_no_answer(
    how: Any, code: str, archive: Archive, model: Model
) -> None:
    archive.odd[place(archive, "instances", 2)] = how
    places = [archive.base + place(archive, "instances", n) for n in range(4)]
    slices, series, failed = asked(model, f"{archive.base}?PatientID=CANARY^7")
    assert [one.id for one in slices] == places[:2]
    assert failed == [(places[2], code), (archive.base, code)]
    assert series == []
    slices, series, failed = asked(model, *places)
    assert [one.id for one in slices] == [*places[:2], places[3]]
    assert (series, failed) == ([], [(places[2], code)])


def test_a_token_that_runs_out_can_be_renewed(archive: Archive, tmp_path: Path) -> None:
    data = added(archive, tmp_path / "other")
    data.Modality = "MR"  # as the server lists it
    archive.odd[f"/instances/{data.SOPInstanceUID}"] = fixed(b"", status=401)
    command = ["predict", "-q", f"{archive.base}/studies", "--out", str(tmp_path / "a.jsonl"), "--jobs", "1"]
    assert main(command) == 4
    archive.odd.clear()
    assert main([*command, "--resume"]) == 1  # its own header says CT
    lines = (tmp_path / "a.jsonl").read_text().splitlines()
    assert (len(lines), sum("not_mr" in line for line in lines)) == (6, 1)


def cut_off(to: Handler) -> None:
    to.close_connection = True
    to.send_response(200)
    to.send_header("Content-Type", wrapped(b"")[1])
    to.send_header("Content-Length", "9999")
    to.end_headers()
    to.wfile.write(b"--mark\r\n")


def png() -> bytes:
    return (Path(tumorlens.__file__).parent / "web" / "static" / "examples" / "glioma.png").read_bytes()


KIND = wrapped(b"")[1]
BAD_INSTANCE = {
    "not found": (fixed(b"CANARY", status=404), "not_found"),
    "refused": (fixed(b"CANARY", status=403), "no_permission"),
    "HTML": (fixed(b"CANARY", "text/html"), "bad_answer"),
    "no boundary": (fixed(b"CANARY", "multipart/related"), "bad_answer"),
    "never ends": (fixed(wrapped(b"CANARY")[0][:-10], KIND), "bad_answer"),
    "cut off": (cut_off, "bad_answer"),
    "nothing": (fixed(b"", KIND, 204), "bad_answer"),
    "no DICOM": (fixed(*wrapped(b"CANARY" * 100)), "bad_answer"),
    "elsewhere, at an address that is none": (fixed(b"", status=302, Location="http://["), "bad_answer"),
    "a codec that fails": (fixed(wrapped(b"")[0], "multipart/related; boundary*=idna''x"), "bad_answer"),
    "a codec that always fails": (fixed(wrapped(b"")[0], "multipart/related; boundary*=undefined''x"), "bad_answer"),
    "a codec that is none": (fixed(wrapped(b"")[0], "multipart/related; boundary*=a\0b''x"), "bad_answer"),
    "a picture": (fixed(*wrapped(png())), "bad_answer"),
    "a header alone": (fixed(*wrapped(bytes(128) + b"DICM")), "truncated"),
    "announced too large": (fixed(b"", KIND, Content_Length=str(1 << 40)), "too_large"),
    "announced without measure": (fixed(b"", KIND, Content_Length="9" * 400), "too_large"),
    "endless": (endless(KIND, b"--mark\r\n\r\n", bytes(1 << 16)), "too_large"),
    "endless in chunks": (
        endless(KIND, b"", b"10000\r\n" + bytes(1 << 16) + b"\r\n", Transfer_Encoding="chunked"),
        "too_large",
    ),
    "compressed": (fixed(b"", KIND, Content_Encoding="gzip"), "bad_answer"),
}


@pytest.mark.parametrize("what", BAD_INSTANCE)
def test_an_instance_that_cannot_be_used_costs_only_itself(
    what: str, archive: Archive, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retrieving, "DEFAULT", Limits(member_bytes=4 << 20))
    answer, code = BAD_INSTANCE[what]
    archive.odd[place(archive, "instances", 1)] = answer
    slices, series, failed = asked(model, archive.base + place(archive))
    assert failed == [(archive.base + place(archive, "instances", 1), code)]
    assert [one.id for one in slices] == [archive.base + place(archive, "instances", n) for n in (0, 2, 3)]
    assert len(series) == 1


def changed(archive: Archive, number: int, **values: str) -> Any:
    """Answers with an instance whose header says something else."""
    data = pydicom.dcmread(list(archive.files.values())[number][1])
    for name, value in values.items():
        setattr(data.file_meta if name == "TransferSyntaxUID" else data, name, value)
    found = io.BytesIO()
    data.save_as(found)
    return fixed(*wrapped(found.getvalue()))


def test_another_instance_than_was_asked_for_is_not_answered(archive: Archive, model: Model) -> None:
    bad = [(archive.base + place(archive, "instances", 1), "bad_answer")]
    for other in (changed(archive, 3), changed(archive, 1, StudyInstanceUID="1.2"), changed(archive, 1, PatientID="8")):
        archive.odd[place(archive, "instances", 1)] = other
        assert asked(model, f"{archive.base}?PatientID=CANARY^7")[2] == bad
    assert asked(model, archive.base + place(archive))[2] == []  # of which patient was not asked for


def test_what_would_be_unpacked_unseen_is_not_taken(archive: Archive, model: Model) -> None:
    deflated = pydicom.uid.DeflatedExplicitVRLittleEndian
    archive.odd[place(archive, "instances", 1)] = changed(archive, 1, TransferSyntaxUID=deflated)
    assert asked(model, archive.base + place(archive))[2] == [
        (archive.base + place(archive, "instances", 1), "unsupported")
    ]


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


OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/dicom+json\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
DRIPS = {
    "a status": (b"HTTP/1.1 200 ", b"O"),
    "headers": (OK, b"X: y\r\n"),
    "a header": (OK, b"X"),
    "promises": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "a body": (OK + b"\r\n", b" "),
    "the size of a chunk": (CHUNKED, b"0"),
    "trailers": (CHUNKED + b"0\r\n", b"X: y\r\n"),
}


def dripping(what: str) -> Callable[[Handler], None]:
    def answer(to: Handler) -> None:
        to.close_connection = True
        head, drop = DRIPS[what]
        to.wfile.write(head)
        end = time.monotonic() + 5
        while time.monotonic() < end:
            to.wfile.write(drop)
            time.sleep(0.1)

    return answer


@pytest.mark.parametrize("what", DRIPS)
def test_a_server_that_drips_is_left(
    what: str, archive: Archive, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "IN_ALL", 0.3)
    archive.odd["/studies"] = dripping(what)
    begun = time.monotonic()
    assert asked(model, f"{archive.base}?PatientID=CANARY")[2] == [(archive.base, "unreachable")]
    assert time.monotonic() - begun < 3
    assert len(archive.asked) == 1


def test_a_server_that_is_silent_is_left(archive: Archive, model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "SILENCE", 0.2)
    stop = threading.Event()
    archive.odd["/studies"] = lambda to: stop.wait(3)
    begun = time.monotonic()
    assert asked(model, f"{archive.base}?PatientID=CANARY")[2] == [(archive.base, "unreachable")]
    assert time.monotonic() - begun < 3
    stop.set()


@pytest.mark.parametrize("how", [dripping("headers"), dripping("a body"), fixed(b"", status=503, Retry_After="30")])
def test_whoever_stops_does_not_wait_for_the_server(how: Any, archive: Archive) -> None:
    archive.odd["/studies"] = how
    ended: list[Exception] = []

    def ask(site: remote.Site) -> None:
        try:
            site.get(f"{archive.url}/studies", "x", accept="*/*", most=1 << 20)
        except EnvironmentFailure as error:
            ended.append(error)

    with remote.Site() as site:
        threads = [threading.Thread(target=ask, args=(site,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        time.sleep(0.5)
        assert len(archive.asked) == 3
        begun = time.monotonic()
    for thread in threads:
        thread.join()
    assert time.monotonic() - begun < 2
    assert len(ended) == 3
    ask(site)
    assert (len(ended), len(archive.asked)) == (4, 3)


def test_a_server_that_ignores_the_question_is_not_believed(archive: Archive, model: Model) -> None:
    for query in ("PatientID=CANARY", "PatientID=CANARY^7&SeriesDescription=CANARY"):
        archive.odd["/studies"] = lambda to: (
            setattr(to, "path", to.path.replace("PatientID", "x")) or archive.answer(to)
        )
        slices, _, ((_, code),) = asked(model, f"{archive.base}?{query}")
        assert (slices, code) == ([], "bad_answer")


@pytest.mark.parametrize("coding", ["identity", "gzip"])
def test_redirects_are_neither_followed_nor_read(coding: str, archive: Archive, model: Model) -> None:
    block = bytes(1 << 20) if coding == "identity" else gzip.compress(bytes(1 << 24)) * 64
    sent: list[int] = []

    def elsewhere(to: Handler) -> None:
        to.close_connection = True
        to.send_response(302)
        to.send_header("Location", "/dicom-web/series?CANARY")
        to.send_header("Content-Encoding", coding)
        to.end_headers()
        for _ in range(100):
            to.wfile.write(block)
            sent.append(len(block))

    archive.odd["/studies"] = elsewhere
    begun = time.monotonic()
    assert asked(model, f"{archive.base}?PatientID=CANARY^7")[2] == [(archive.base, "bad_answer")]
    assert time.monotonic() - begun < 2
    assert archive.paths() == ["/studies"]
    assert len(sent) < 100


def test_cookies_are_not_kept(archive: Archive, model: Model) -> None:
    archive.odd["/studies"] = lambda to: (setattr(to, "end_headers", baking(to)), archive.answer(to))
    assert len(asked(model, f"{archive.base}?PatientID=CANARY^7")[0]) == 4
    assert all("Cookie" not in headers for _, headers in archive.asked)


def baking(to: Handler) -> Callable[[], None]:
    def end_headers() -> None:
        to.send_header("Set-Cookie", "a=b; Path=/")
        type(to).end_headers(to)

    return end_headers


def test_credentials_come_from_the_environment_or_netrc(
    archive: Archive, model: Model, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    where = archive.base + place(archive, "instances")
    asked(model, where)
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login jane password secret\n")
    asked(model, where)
    monkeypatch.setenv(walking.TOKEN, "t0ken")
    asked(model, where)
    assert [headers.get("Authorization") for _, headers in archive.asked] == [
        None,
        "Basic amFuZTpzZWNyZXQ=",
        "Bearer t0ken",
    ]
    monkeypatch.setenv(walking.TOKEN, "CANARY\nX: y")
    assert asked(model, where)[2] == [(where, "usage")]


def test_no_secret_travels_readable(
    archive: Archive, model: Model, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    far = f"dicomweb:http://pacs.invalid:{free_port()}/dicom-web/studies/1.2"
    monkeypatch.setenv(walking.TOKEN, "t0ken")
    assert asked(model, far)[2] == [(far, "usage")]
    # Not even to a proxy, where the server is this machine.
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    assert len(asked(model, archive.base + place(archive, "instances"))[0]) == 1
    monkeypatch.delenv(walking.TOKEN)
    assert asked(model, far)[2] == [(far, "unreachable")]
    (tmp_path / "netrc").write_text("machine pacs.invalid login jane password secret\n")
    assert asked(model, far)[2] == [(far, "usage")]


def test_a_cluster_is_not_asked(archive: Archive, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "a.jsonl"
    assert main(["predict", f"{archive.base}?PatientID=CANARY", "--out", str(out), "--ray", "auto"]) == 2
    said = capsys.readouterr().err
    assert "token" in said
    assert "CANARY" not in said
    assert not out.exists()


def test_what_is_asked_for_is_repeated_nowhere(model: Model) -> None:
    for named in ("dicomweb:https://pacs.invalid?PatientID=CANARY", "https://pacs.invalid?PatientName=CANARY"):
        with pytest.raises(UsageError) as error:
            model.predict(named)
        assert "CANARY" not in str(error.value)
        (failure,) = model.predict([named])
        assert "CANARY" not in f"{failure.as_dict()}"
    assert asked(model, "https://pacs.invalid?PatientName=CANARY")[2] == [("https://pacs.invalid", "usage")]


def signed_itself(folder: Path) -> ssl.SSLContext:
    """For a server on loopback; its certificate is ``own.pem``."""
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl")
    command = (
        "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1"
    )
    made = [*command.split(), "-keyout", str(folder / "key.pem"), "-out", str(folder / "own.pem")]
    subprocess.run(made, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "own.pem", folder / "key.pem")
    return context


def test_certificates_are_verified(model: Model, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    archive = Archive(drawn(tmp_path / "in", 2), signed_itself(tmp_path))
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    monkeypatch.delenv("CURL_CA_BUNDLE", raising=False)
    try:
        where = archive.base + place(archive, "instances", 1)
        (failure,) = model.predict_paths([where])
        assert isinstance(failure, Failure)
        assert "certificate" in failure.error.message
        assert "REQUESTS_CA_BUNDLE" in failure.error.hint
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "own.pem"))
        assert len(asked(model, where)[0]) == 1
        archive.odd["/studies"] = dripping("headers")
        with monkeypatch.context() as hurried:
            hurried.setattr(remote, "IN_ALL", 0.3)
            begun = time.monotonic()
            assert asked(model, f"{archive.base}/studies")[2] == [(archive.base, "unreachable")]
            assert time.monotonic() - begun < 3
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "nowhere.pem"))
        assert asked(model, where)[2] == [(where, "unreachable")]
    finally:
        archive.stop()


def test_no_log_of_any_library_holds_the_question(
    archive: Archive, model: Model, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        asked(model, f"{archive.base}?PatientID=CANARY^7")
        archive.odd["/studies"] = fixed(b"", Broken_header="a\r\nno header at all CANARY")
        asked(model, f"{archive.base}?PatientID=CANARY^7")
    assert "PatientID=CANARY%5E7" in archive.asked[0][0]
    assert "CANARY" not in caplog.text
