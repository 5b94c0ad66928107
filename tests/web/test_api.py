"""The REST API: the same answers as everywhere, and a clear body for whatever is wrong."""

from __future__ import annotations

import concurrent.futures
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import httpx2 as httpx
import numpy as np
import pytest
from starlette.testclient import TestClient
from tests.web.conftest import EXAMPLES, client_of, dicom_frames, volume

from tumorlens.pipeline.model import Model

PREDICT = "/api/v1/predict"
FORM = "multipart/form-data; boundary=x"
TEXT_PART = b"--x\r\nContent-Disposition: form-data; name=files\r\n\r\ntext\r\n--x--\r\n"


def sent(client: TestClient, *paths: Path, url: str = PREDICT, **more: Any) -> httpx.Response:
    return client.post(url, files=[("files", (path.name, path.read_bytes())) for path in paths], **more)


def same(a: dict[str, float], b: dict[str, float]) -> bool:
    return a.keys() == b.keys() and all(abs(a[name] - b[name]) <= 1e-6 for name in a)


def test_python_command_line_and_rest_agree(client: TestClient, shipped: Model, glioma: Path, tmp_path: Path) -> None:
    files = [glioma, volume(tmp_path / "head.nii.gz"), dicom_frames(tmp_path / "frames.dcm")]
    command = [sys.executable, "-m", "tumorlens", "predict", *map(str, files), "--format", "json"]
    told = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    by_python = [answer.as_dict() for answer in shipped.predict_paths(map(str, files))]
    by_rest = sent(client, *files).json()
    assert len(by_rest) == len(by_python) == len(told) == 1 + 21 + 4
    for rest, python, line in zip(by_rest, by_python, told, strict=True):
        assert same(rest["probabilities"], python["probabilities"])
        assert same(rest["probabilities"], line["probabilities"])
        assert rest["id"] == python["id"].replace(str(tmp_path) + "/", "").replace(str(EXAMPLES) + "/", "")
        for key in ("frame", "predicted", "set", "verdict", "reason", "model"):
            assert rest[key] == python[key] == line[key]


def test_a_dicom_series_of_several_files_gets_an_answer_of_its_own(client: TestClient, tmp_path: Path) -> None:
    pydicom = pytest.importorskip("pydicom")
    paths = []
    for number in range(4):
        path = dicom_frames(tmp_path / f"{9 - number}.dcm", 1)
        data = pydicom.dcmread(path)
        del data.NumberOfFrames
        data.SeriesInstanceUID = "1.2.3"
        data.ImageOrientationPatient, data.ImagePositionPatient = [1, 0, 0, 0, 1, 0], [0, 0, float(number)]
        data.save_as(path)
        paths.append(path)
    entries = sent(client, *reversed(paths)).json()
    assert [entry["path"] for entry in entries[:4]] == ["6.dcm", "7.dcm", "8.dcm", "9.dcm"]
    assert entries[4]["series"] is True
    assert entries[4]["slices"] == ["9.dcm", "8.dcm", "7.dcm", "6.dcm"]


def test_what_cannot_be_used_is_an_entry_with_a_reason(client: TestClient, glioma: Path, tmp_path: Path) -> None:
    text, cut = tmp_path / "notes.txt", tmp_path / "cut.png"
    text.write_text("not a scan")
    cut.write_bytes(glioma.read_bytes()[:900])
    answer = sent(client, text, glioma, cut)
    assert answer.status_code == 200
    first, second, third = answer.json()
    assert first["error"]["code"] == "not_an_image"
    assert second["predicted"] == "glioma"
    assert third["path"] == "cut.png"
    assert third["error"]["hint"]
    assert sent(client, text).status_code == 422
    assert sent(client, text).json() == [first]


def test_a_mask_is_no_slice(client: TestClient, tmp_path: Path) -> None:
    disc = cv2.circle(np.zeros((200, 200), np.uint8), (90, 110), 30, 255, -1)
    cv2.imwrite(str(tmp_path / "a.png"), disc)
    (entry,) = sent(client, tmp_path / "a.png").json()
    assert (entry["verdict"], entry["predicted"]) == ("not_brain_mri", None)
    assert "grey values" in entry["reason"]


def test_an_image_beyond_the_limit_is_refused_by_its_header(client: TestClient) -> None:
    bomb = cv2.imencode(".png", np.zeros((9000, 9000), np.uint8))[1].tobytes()
    entry = client.post(PREDICT, files={"files": ("bomb.png", bomb)}).json()[0]
    assert entry["error"]["code"] == "too_large"


def test_a_volume_that_breaks_off_gives_its_error_once(client: TestClient, tmp_path: Path) -> None:
    whole = volume(tmp_path / "head.nii").read_bytes()
    entries = client.post(PREDICT, files={"files": ("head.nii", whole[: len(whole) // 2])}).json()
    assert [list(entry) for entry in entries] == [["path", "error"]]


def test_names_are_shown_without_what_cannot_be_shown(client: TestClient, glioma: Path) -> None:
    body = (
        b'--x\r\nContent-Disposition: form-data; name="files"; filename="../../etc/\x1b[31mpasswd\x07.png"\r\n\r\n'
        + glioma.read_bytes()
        + b"\r\n--x--\r\n"
    )
    answer = client.post(PREDICT, content=body, headers={"content-type": FORM})
    assert answer.json()[0]["path"] == "../../etc/ [31mpasswd .png"


@pytest.mark.parametrize(
    ("content", "kind", "status", "code"),
    [
        (b"{}", "application/json", 415, "media_type"),
        (b"", "", 415, "media_type"),
        (b"--x--\r\n", FORM, 422, "no_files"),
        (b"garbage", FORM, 422, "form"),
        (b"garbage", "multipart/form-data", 422, "form"),
        (TEXT_PART, FORM, 422, "no_files"),
    ],
)  # fmt: skip
def test_a_body_that_is_no_form_of_files_says_so(
    client: TestClient, content: bytes, kind: str, status: int, code: str
) -> None:
    answer = client.post(PREDICT, content=content, headers={"content-type": kind} if kind else {})
    assert answer.status_code == status
    assert answer.json()["error"]["code"] == code
    assert answer.json()["error"]["hint"]


def test_uploads_above_the_limit_end_while_they_are_read(shipped: Model, glioma: Path) -> None:
    with client_of(shipped, upload_bytes=20_000) as client:
        assert sent(client, glioma).status_code == 413  # by its Content-Length

        def pieces():  # no Content-Length
            yield b'--x\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\n'
            for _ in range(1000):
                yield b"a" * 1000
                given.append(1000)

        given: list[int] = []
        answer = client.post(PREDICT, content=pieces(), headers={"content-type": FORM})
        assert answer.status_code == 413
        assert answer.json()["error"]["code"] == "too_large"
    with client_of(shipped, files=2) as client:
        assert sent(client, glioma, glioma).status_code == 200
        assert sent(client, glioma, glioma, glioma).status_code == 413
        assert sent(client, *[glioma] * 9).status_code == 413


def test_the_map_is_a_picture(client: TestClient, glioma: Path, tmp_path: Path) -> None:
    answer = sent(client, glioma, url=f"{PREDICT}/map.png")
    assert answer.headers["content-type"] == "image/png"
    picture = cv2.imdecode(np.frombuffer(answer.content, np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape[1] >= 256
    assert np.ptp(picture.astype(int), axis=2).max() > 50  # coloured
    head = volume(tmp_path / "head.nii")
    blank = sent(client, head, url=f"{PREDICT}/map.png")
    assert (blank.status_code, blank.json()["error"]["code"]) == (422, "no_answer")
    assert sent(client, head, url=f"{PREDICT}/map.png?frame=5").status_code == 200
    beyond = sent(client, head, url=f"{PREDICT}/map.png?frame=99")
    assert (beyond.status_code, beyond.json()["error"]["code"]) == (422, "not_found")
    wrong = sent(client, head, url=f"{PREDICT}/map.png?frame=-1")
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (422, "parameter")


def test_the_model_says_how_good_it_is(client: TestClient, shipped: Model) -> None:
    told = client.get("/api/v1/model").json()
    assert told["sha256"] == shipped.predictor.bundle.sha256
    scores = json.loads(shipped.predictor.bundle.read("metrics.json"))["test"]["per_class"]
    for name in told["labels"]:
        found = told["reliability"][name]
        assert found["sensitivity"]["value"] == pytest.approx(scores[name]["sensitivity"])
        assert found["ppv"]["value"] == pytest.approx(scores[name]["ppv"])
        for rate in (found["ppv"], *found["ppv_by_verdict"].values()):
            assert rate["ci95"][0] <= rate["value"] <= rate["ci95"][1]


def test_a_map_is_of_one_file(client: TestClient, glioma: Path) -> None:
    answer = sent(client, glioma, glioma, url=f"{PREDICT}/map.png")
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "one_file")


def test_files_of_one_name_are_told_apart(client: TestClient, glioma: Path) -> None:
    assert [entry["id"] for entry in sent(client, glioma, glioma, glioma).json()] == [
        "glioma.png",
        "glioma.png (2)",
        "glioma.png (3)",
    ]


def test_every_array_of_an_npz_is_answered(client: TestClient, tmp_path: Path) -> None:
    head = cv2.imread(str(EXAMPLES / "glioma.png"), cv2.IMREAD_GRAYSCALE)
    large = cv2.resize(head, (2200, 2200))
    np.savez(tmp_path / "s.npz", a=large, b=head, c=head)
    assert [entry["id"] for entry in sent(client, tmp_path / "s.npz").json()] == ["s.npz!a", "s.npz!b", "s.npz!c"]


def test_many_volumes_in_many_requests_come_through(client: TestClient, tmp_path: Path) -> None:
    """More files at once than there are places for, from several clients: nobody waits for ever."""
    head = volume(tmp_path / "head.nii", 40)
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: sent(client, *[head] * 6).json(), range(6)))
    assert [len(answer) for answer in answers] == [6 * 41] * 6


def test_unknown_addresses_and_methods_answer_in_the_same_form(client: TestClient) -> None:
    assert client.get("/nothing").json()["error"]["code"] == "not_found"
    refused = client.put(PREDICT)
    assert (refused.status_code, refused.json()["error"]["code"]) == (405, "method")
    assert refused.headers["allow"] == "POST"


def test_a_fault_of_ours_is_told_without_its_message(
    shipped: Model, glioma: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("secret of /home/patient")

    monkeypatch.setattr(shipped.predictor, "predict_slices", broken)
    with client_of(shipped) as client, caplog.at_level("INFO", "tumorlens.web"):
        answer = sent(client, glioma, headers={"x-request-id": "broken"})
    assert answer.headers["x-request-id"] == "broken"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    (fault,) = [record for record in caplog.records if record.getMessage() == "fault"]
    assert fault.fields == {"request": "broken"}  # type: ignore[attr-defined]
    assert answer.status_code == 500
    assert answer.json()["error"]["code"] == "internal"
    assert "secret" not in answer.text
    monkeypatch.undo()
    with client_of(shipped) as client:
        assert sent(client, glioma).status_code == 200


def test_the_page_gets_the_same_answers_line_by_line(client: TestClient, glioma: Path, tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("not a scan")
    files = [text, glioma, volume(tmp_path / "head.nii")]
    lines = [json.loads(line) for line in sent(client, *files, url="/view").text.splitlines()]
    assert lines.pop() == {"end": True}
    for line, entry in zip(lines, sent(client, *files).json(), strict=True):
        entry.pop("ms", None), line["entry"].pop("ms", None)
        assert line["entry"] == entry
        assert line["said"]["headline"]
        assert (line["shown"] is None) == ("error" in entry or "series" in entry)
