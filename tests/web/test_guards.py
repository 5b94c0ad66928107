"""What stands between the network and the model: limits, names, keys, counters, logs."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from tests.web.conftest import client_of, dicom_frames
from tests.web.test_api import PREDICT, sent

from tumorlens.pipeline.model import Model
from tumorlens.web.admission import Admission
from tumorlens.web.body import BodyLimits, TooSlow
from tumorlens.web.refusals import Refusal
from tumorlens.web.telemetry import JsonLines


def test_more_work_than_the_server_takes_is_told_to_come_again(shipped: Model, glioma: Path) -> None:
    with client_of(shipped, requests=1) as client:
        admission = client.app.state.server.admission
        with admission.one():
            refused = sent(client, glioma)
            assert refused.status_code == 503
            assert int(refused.headers["retry-after"]) >= 1
            assert client.get("/readyz").status_code == 503
            assert client.get("/healthz").status_code == 200
            assert sent(client, glioma, url="/view").status_code == 503
        assert client.get("/readyz").status_code == 200
        assert sent(client, glioma).status_code == 200
        assert admission.inside == 0


def test_admission_counts_down_whatever_happens_inside() -> None:
    admission = Admission(2)
    with pytest.raises(ValueError, match="inside"), admission.one():
        raise ValueError("inside")
    assert admission.inside == 0
    with admission.one(), admission.one(), pytest.raises(Refusal), admission.one():
        pass
    assert admission.inside == 0


def test_an_upload_that_stalls_is_given_up() -> None:
    async def never() -> dict[str, object]:
        await asyncio.sleep(60)
        return {}

    async def reading(scope: object, receive: object, send: object) -> None:
        await receive()  # type: ignore[operator]

    limits = BodyLimits(reading, 1000, 0.01)  # type: ignore[arg-type]
    with pytest.raises(Refusal) as refused:
        asyncio.run(limits({"type": "http", "headers": []}, never, never))  # type: ignore[arg-type]
    assert refused.value.status == 408


def test_an_upload_that_drips_is_given_up() -> None:
    """Every byte comes in time, and the whole never would."""

    async def drip() -> dict[str, object]:
        await asyncio.sleep(0.03)
        return {"type": "http.request", "body": b"x", "more_body": True}

    async def reading(scope: object, receive: object, send: object) -> None:
        for _ in range(100):
            await receive()  # type: ignore[operator]

    limits = BodyLimits(reading, 1000, 0.1)  # type: ignore[arg-type]
    with pytest.raises(Refusal) as refused:
        asyncio.run(limits({"type": "http", "headers": []}, drip, drip))  # type: ignore[arg-type]
    assert refused.value.status == 408


def test_a_client_that_does_not_take_its_answer_is_given_up() -> None:
    async def never(*_: object) -> None:
        await asyncio.sleep(60)

    async def answering(scope: object, receive: object, send: object) -> None:
        await send({"type": "http.response.start"})  # type: ignore[operator]

    limits = BodyLimits(answering, 1000, 0.01)  # type: ignore[arg-type]
    with pytest.raises(TooSlow):
        asyncio.run(limits({"type": "http", "headers": []}, never, never))  # type: ignore[arg-type]


def taking(body: bytes, times: int, seconds: Callable[[int], float], making: float = 0, stalled: float = 0.1) -> None:
    """Send an answer to a client that needs so many seconds for so many bytes.

    Args:
        body: of each message.
        times: messages.
        seconds: from bytes of a piece to how long the client needs for it.
        making: seconds that the server needs for each message.
        stalled: seconds that the client may stall.
    """

    async def send(message: dict[str, Any]) -> None:
        await asyncio.sleep(seconds(len(message.get("body", b""))))

    async def answering(scope: object, receive: object, send: Any) -> None:
        await send({"type": "http.response.start"})
        for _ in range(times):
            await asyncio.sleep(making)
            await send({"type": "http.response.body", "body": body, "more_body": True})

    limits = BodyLimits(answering, 1000, stalled)  # type: ignore[arg-type]
    asyncio.run(limits({"type": "http", "headers": []}, send, send))  # type: ignore[arg-type]


def test_a_client_that_takes_its_answer_by_drips_is_given_up() -> None:
    """Every piece is taken in time, and the whole never would be."""
    with pytest.raises(TooSlow):
        taking(b"x", 100, lambda _: 0.03)


def test_a_long_answer_may_be_taken_slowly() -> None:
    """A megabyte in 1.6 seconds: longer than a client may stall, and fast enough on the whole."""
    taking(bytes(1 << 20), 1, lambda size: 1.6 * size / (1 << 20), stalled=1.0)


def test_the_time_in_which_an_answer_is_made_is_not_the_clients() -> None:
    taking(b"x", 4, lambda _: 0, making=0.06)


@pytest.mark.parametrize("host", ["evil.example", "testserver.evil.example", ""])
def test_another_name_in_the_host_header_is_refused(client: TestClient, host: str) -> None:
    answer = client.get("/healthz", headers={"host": host})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "host")


def test_ports_and_addresses_are_names_too(shipped: Model) -> None:
    with client_of(shipped, hosts=("127.0.0.1", "[::1]", "scan.example")) as client:
        for host in ("127.0.0.1:8000", "[::1]:80", "[::1]", "SCAN.example"):
            assert client.get("/healthz", headers={"host": host}).status_code == 200
    with client_of(shipped, hosts=("[::ffff:7f00:1]", "name:8000")) as client:
        for host in ("[::ffff:7f00:1]:8000", "name:8000", "name"):
            assert client.get("/healthz", headers={"host": host}).status_code == 200
    with client_of(shipped, hosts=("*",)) as client:
        assert client.get("/healthz", headers={"host": "anything"}).status_code == 200


def test_a_page_of_another_site_cannot_ask(client: TestClient, glioma: Path) -> None:
    assert sent(client, glioma, headers={"sec-fetch-site": "cross-site"}).status_code == 403
    assert sent(client, glioma, headers={"sec-fetch-site": "same-origin"}).status_code == 200
    answer = client.options(
        PREDICT, headers={"origin": "https://evil.example", "access-control-request-method": "POST"}
    )
    assert not any(name.startswith("access-control") for name in answer.headers)


def test_every_answer_carries_the_headers(client: TestClient, glioma: Path) -> None:
    for answer in (client.get("/"), client.get("/nothing"), sent(client, glioma), client.get("/static/app.js")):
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["referrer-policy"] == "no-referrer"
    assert client.get("/").headers["cache-control"] == "no-store"


def test_the_key_is_wanted_where_answers_are(shipped: Model, glioma: Path) -> None:
    key = "0123456789abcdef"
    with client_of(shipped, api_key=key) as client:
        for headers in ({}, {"x-api-key": "wrong"}, {"authorization": "Basic " + key}):
            assert sent(client, glioma, headers=headers).status_code == 401
            assert sent(client, glioma, url="/view", headers=headers).status_code == 401
            assert client.get("/api/v1/model", headers=headers).status_code == 401
        for headers in ({"x-api-key": key}, {"authorization": f"Bearer {key}"}):
            assert sent(client, glioma, headers=headers).status_code == 200
        for public in ("/", "/status", "/healthz", "/readyz", "/metrics", "/docs", "/openapi.json"):
            assert client.get(public).status_code == 200


def test_request_ids_travel_and_strange_ones_do_not(client: TestClient) -> None:
    assert client.get("/healthz", headers={"x-request-id": "trace-1"}).headers["x-request-id"] == "trace-1"
    for strange in ("a b", "x" * 65, '"', "a;b"):
        assert len(client.get("/healthz", headers={"x-request-id": strange}).headers["x-request-id"]) == 32


def test_logs_and_metrics_hold_nothing_of_a_file(
    client: TestClient, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.DEBUG):
        answer = sent(client, dicom_frames(tmp_path / "CANARY-name.dcm"), headers={"x-request-id": "known"})
        client.get("/CANARY-path?CANARY=query")
    assert "CANARY-name" in answer.text  # what was asked is answered
    assert "CANARY^7" not in answer.text
    written = "\n".join(JsonLines().format(record) for record in caplog.records if record.name != "httpx")
    (line,) = [json.loads(line) for line in written.splitlines() if '"known"' in line]
    assert line["route"] == PREDICT
    assert line["status"] == 200
    metrics = client.get("/metrics").text
    assert "CANARY" not in written + metrics + "".join(capfd.readouterr())


def test_metrics_count_what_was_answered(shipped: Model, glioma: Path, tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("not a scan")
    with client_of(shipped) as client:
        sent(client, glioma, text, glioma)
        lines = client.get("/metrics").text.splitlines()
        assert 'tumorlens_answers_total{verdict="accepted"} 2.0' in lines
        assert 'tumorlens_answers_total{verdict="error"} 1.0' in lines
        assert f'tumorlens_requests_total{{route="{PREDICT}",status="200"}} 1.0' in lines
        assert "tumorlens_batch_slices_sum 2.0" in lines


def test_a_fault_is_logged_with_its_place_and_without_its_message() -> None:
    try:
        raise RuntimeError("CANARY")
    except RuntimeError as error:
        record = logging.LogRecord("x", 40, __file__, 1, "fault", None, (RuntimeError, error, error.__traceback__))
    told = json.loads(JsonLines().format(record))
    assert told["error"] == "RuntimeError"
    assert "test_guards.py" in told["where"][0]
    assert "CANARY" not in json.dumps(told)
