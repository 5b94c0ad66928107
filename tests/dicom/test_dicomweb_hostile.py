"""``predict dicomweb:…`` against a server that fails, lies about an instance and drags its feet."""

from __future__ import annotations

import io
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from tests.dicom.archive import Archive, Handler, send, wrapped
from tests.dicom.conftest import free_port
from tests.dicom.hostile_dicomweb import DRIPS, added, asked, dripping, endless, fixed, place

import tumorlens
from tumorlens.cli.main import main
from tumorlens.data.dicomweb import retrieving
from tumorlens.errors import EnvironmentFailure
from tumorlens.io import remote
from tumorlens.io.limits import Limits
from tumorlens.pipeline.model import Model

pydicom = pytest.importorskip("pydicom")
pytestmark = pytest.mark.usefixtures("impatient")


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
