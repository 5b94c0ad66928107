"""``tumorlens serve`` as a process: it starts, answers, finishes what it has begun, and says what is wrong."""

from __future__ import annotations

import concurrent.futures
import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import httpx2 as httpx
import pytest
from tests.web.conftest import Served, volume

from tumorlens.cli.main import main

ROOT = Path(__file__).resolve().parents[2]


def ask(url: str, *paths: Path) -> httpx.Response:
    return httpx.post(url + "api/v1/predict", files=[("files", (p.name, p.read_bytes())) for p in paths], timeout=60)


def test_it_answers_and_logs_json_lines(served: Served, glioma: Path) -> None:
    answer = ask(served.url, glioma)
    assert answer.json()[0]["predicted"] == "glioma"
    assert answer.headers.get("server") is None
    end, found = time.monotonic() + 30, []
    while not found and time.monotonic() < end:  # the line is written when the answer has been sent
        lines = [json.loads(line) for line in served.log.splitlines() if line.startswith("{") and line.endswith("}")]
        found = [line for line in lines if line.get("request") == answer.headers["x-request-id"]]
    (line,) = found
    assert line["route"] == "/api/v1/predict"
    assert "glioma.png" not in served.log


def test_the_five_lines_of_the_documentation_work(served: Served, glioma: Path, tmp_path: Path) -> None:
    page = (ROOT / "docs" / "how-to" / "serve.md").read_text()
    (code,) = [block for block in re.findall(r"```python\n(.*?)```", page, re.S) if "httpx" in block]
    assert len(code.splitlines()) <= 6
    (tmp_path / "scan.png").write_bytes(glioma.read_bytes())
    code = code.replace("http://127.0.0.1:8000/", served.url)
    found = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], cwd=tmp_path, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    assert "glioma" in found.stdout


def test_stopped_it_finishes_what_it_has_begun(tmp_path: Path) -> None:
    server = Served(log=tmp_path / "log.txt")
    head = volume(tmp_path / "head.nii", 300)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        running = pool.submit(ask, server.url, head)
        end = time.monotonic() + 30
        while "tumorlens_requests_in_work 1.0" not in httpx.get(server.url + "metrics").text:
            assert time.monotonic() < end
        server.process.terminate()
        answer = running.result(60)
    assert server.process.wait(60) == 0
    assert answer.status_code == 200
    assert len(answer.json()) == 301


def test_two_workers_answer_and_count_together(tmp_path: Path, glioma: Path) -> None:
    server = Served("--workers", "2", log=tmp_path / "log.txt")
    try:
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: ask(server.url, glioma), range(16)))
        assert {answer.status_code for answer in answers} == {200}
        assert len({json.dumps(answer.json()[0]["probabilities"]) for answer in answers}) == 1
        counted = re.search(
            r'tumorlens_answers_total{verdict="accepted"} (\S+)', httpx.get(server.url + "metrics").text
        )
        assert counted is not None
        assert float(counted[1]) == 16
    finally:
        assert server.stop() == 0


def test_a_client_that_leaves_frees_its_place(served: Served, tmp_path: Path) -> None:
    head = volume(tmp_path / "head.nii", 300)
    with (
        pytest.raises(httpx.TimeoutException),
        httpx.stream("POST", served.url + "view", files={"files": head.read_bytes()}, timeout=0.3) as answer,
    ):
        for _ in answer.iter_lines():
            time.sleep(0.35)
            raise httpx.ReadTimeout("left")
    end = time.monotonic() + 30
    while "tumorlens_requests_in_work 0.0" not in httpx.get(served.url + "metrics").text:
        assert time.monotonic() < end
        time.sleep(0.05)


def test_headers_without_end_are_cut_off(served: Served) -> None:
    host, port = served.url.partition("//")[2].rstrip("/").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n")
        with contextlib.suppress(OSError):
            for number in range(20_000):
                client.sendall(b"X-%d: %s\r\n" % (number, b"a" * 1000))
            pytest.fail("20 MB of headers were taken")
    assert httpx.get(served.url + "healthz").status_code == 200


def test_an_upload_that_is_broken_off_is_no_fault(served: Served) -> None:
    host, port = served.url.partition("//")[2].rstrip("/").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as client:
        head = b"POST /view HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000000\r\nX-Request-ID: broken-off\r\n"
        client.sendall(head + b"Content-Type: multipart/form-data; boundary=x\r\n\r\n--x\r\n")
        time.sleep(0.3)
    end = time.monotonic() + 30
    while '"broken-off"' not in served.log:
        assert time.monotonic() < end
        time.sleep(0.05)
    assert '"event": "fault"' not in served.log
    for line in served.log.splitlines()[2:]:
        json.loads(line)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--port", "70000"], "--port is 70000"),
        (["--workers", "0"], "--workers is 0"),
        (["--root-path", "scan"], "--root-path"),
        (["--api-key-file", "nowhere"], "cannot read the API key"),
        (["--model", "nowhere"], "no model nowhere"),
        (["--host", "192.0.2.1"], "cannot listen on 192.0.2.1"),
        (["--host", "a..b"], "cannot listen on a..b"),
    ],
)
def test_what_is_wrong_is_said_before_anything_listens(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", *arguments]) in (2, 3, 4)
    told = capsys.readouterr().err
    assert message in told
    assert "hint:" in told


def test_a_port_in_use_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        assert main(["serve", "--port", str(other.getsockname()[1])]) == 4
    assert "cannot listen" in capsys.readouterr().err


@pytest.mark.parametrize("content", ["short", "two\nlines of more than sixteen", "not ascii äöü not ascii"])
def test_a_weak_key_is_refused(content: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "key").write_text(content, encoding="utf-8")
    assert main(["serve", "--api-key-file", os.fspath(tmp_path / "key")]) == 2
    told = capsys.readouterr().err
    assert "holds no API key" in told
    assert content not in told


def test_without_the_extra_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [name for name in sys.modules if name.startswith("tumorlens.web")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "fastapi", None)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert main(["serve"]) == 2
    assert "tumorlens[web]" in capsys.readouterr().err
