"""``predict dicomweb:…`` gives nothing away: no token, password or question, to no other server, log or error."""

from __future__ import annotations

import gzip
import logging
import shutil
import ssl
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.dicom.archive import Archive, Handler
from tests.dicom.conftest import free_port
from tests.dicom.hostile_dicomweb import asked, dripping, fixed, place
from tests.dicom.test_reports import drawn

from tumorlens.cli.main import main
from tumorlens.data.dicomweb import walking
from tumorlens.errors import UsageError
from tumorlens.inference import Failure
from tumorlens.io import remote
from tumorlens.pipeline.model import Model

pytestmark = pytest.mark.usefixtures("impatient")


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
