"""Nobody waits for another client: not for one that does not read, not for one whose map takes long."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import cv2
import httpx2 as httpx
import numpy as np
import pytest
import uvicorn
from fastapi import FastAPI
from tests.web.conftest import client_of, volume
from tests.web.test_api import PREDICT, sent

from tumorlens.inference import Prediction
from tumorlens.pipeline.model import Model
from tumorlens.web.app import create_app
from tumorlens.web.options import ServeOptions
from tumorlens.web.protocol import Bounded

# More files than a request has in work at once.
FILES = 5
# Of the server: places for open files, and files that may be answered ahead of their readers.
PROCESSORS = 2
AHEAD = 4 * PROCESSORS


class Asking:
    """A request at the border to the network; what it gets is taken when it reads, as a socket would have it."""

    def __init__(self, app: FastAPI, url: str, *paths: Path) -> None:
        files = [("files", (path.name, path.read_bytes())) for path in paths]
        request = httpx.Request("POST", f"http://testserver{url}", files=files)
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": url,
            "raw_path": url.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": [(name.lower(), value) for name, value in request.headers.raw],
            "server": ("testserver", 80),
            "client": ("127.0.0.1", 1),
        }
        self._body: bytes | None = request.read()
        self.reads, self.full = asyncio.Event(), asyncio.Event()
        self.status, self.taken = 0, b""
        self.task = asyncio.create_task(app(scope, self._receive, self._send))

    async def _receive(self) -> dict[str, Any]:
        if self._body is None:
            await asyncio.Event().wait()  # the client stays
        body, self._body = self._body, None
        return {"type": "http.request", "body": body, "more_body": False}

    async def _send(self, message: dict[str, Any]) -> None:
        self.status = message.get("status", self.status)
        if message["type"] == "http.response.body":
            self.full.set()
            await self.reads.wait()
            self.taken += message.get("body", b"")

    async def answer(self) -> list[Any]:
        """All of it, read at once."""
        self.reads.set()
        await asyncio.wait_for(self.task, 60)
        return [json.loads(line) for line in self.taken.splitlines()]


@asynccontextmanager
async def running(model: Model) -> AsyncIterator[FastAPI]:
    app = create_app(ServeOptions(hosts=("testserver",)), model)
    async with app.router.lifespan_context(app):
        yield app


@contextmanager
def listening(model: Model, stalled: float) -> Iterator[tuple[FastAPI, int]]:
    """A server with a socket, and its port."""
    app = create_app(ServeOptions(stalled=stalled), model)
    with socket.create_server(("127.0.0.1", 0)) as own:
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, http=Bounded, ws="none"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [own]})
        thread.start()
        wait(lambda: server.started)
        try:
            yield app, own.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join(60)


def wait(until: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not until():
        assert time.monotonic() < end
        time.sleep(0.02)


def noise(path: Path) -> Path:
    """A picture whose line is more than a megabyte long."""
    cv2.imwrite(str(path), np.random.default_rng(0).integers(0, 256, (1024, 1024), np.uint8))
    return path


def without_time(lines: list[Any]) -> list[Any]:
    for line in lines:
        line.get("entry", {}).pop("ms", None)
    return lines


@pytest.fixture(autouse=True)
def _processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: PROCESSORS)


@pytest.mark.parametrize("kind", ["pictures", "volumes"])
def test_clients_that_do_not_read_keep_nobody_waiting(kind: str, shipped: Model, glioma: Path, tmp_path: Path) -> None:
    path = glioma if kind == "pictures" else volume(tmp_path / "head.nii", 20)  # 20 slices are decoded in two parts

    async def ask() -> None:
        async with running(shipped) as app:
            expected = without_time(await Asking(app, "/view", *[path] * FILES).answer())
            silent = [Asking(app, "/view", *[path] * FILES) for _ in range(2)]
            for one in silent:
                await asyncio.wait_for(one.full.wait(), 20)
            for url, file in ((PREDICT, glioma), (f"{PREDICT}/map.png", glioma), ("/view", path)):
                other = Asking(app, url, file)
                other.reads.set()
                await asyncio.wait_for(other.task, 10)
                assert other.status == 200
            for one in silent:  # they have lost nothing by being slow
                assert without_time(await one.answer()) == expected

    asyncio.run(ask())


def test_little_is_answered_ahead_of_clients_that_do_not_read(shipped: Model, glioma: Path) -> None:
    async def ask() -> float:
        async with running(shipped) as app:
            registry = app.state.server.meters.registry
            silent = [Asking(app, "/view", *[glioma] * 2 * FILES) for _ in range(5)]
            for one in silent:
                await asyncio.wait_for(one.full.wait(), 20)
            answered, since = 0.0, time.monotonic()
            while time.monotonic() < since + 0.5:
                if answered != (now := registry.get_sample_value("tumorlens_batch_slices_sum")):
                    answered, since = now, time.monotonic()
                await asyncio.sleep(0.02)
            for one in silent:
                assert len(await one.answer()) == 2 * FILES + 1
        return answered

    assert asyncio.run(ask()) <= 5 + AHEAD


@pytest.mark.skipif(not hasattr(socket, "TCP_NOTSENT_LOWAT"), reason="the system keeps as much as it likes")
def test_a_client_that_does_not_read_is_sent_little_and_given_up(
    shipped: Model, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    files = [("files", (f"{number}.png", noise(tmp_path / "noise.png").read_bytes())) for number in range(FILES)]
    request = httpx.Request("POST", "http://127.0.0.1/view", files=files)
    head = b"".join(b"%s: %s\r\n" % pair for pair in request.headers.raw)

    def logged(event: str) -> list[logging.LogRecord]:
        return [record for record in caplog.records if record.getMessage() == event]

    with (
        caplog.at_level("INFO", "tumorlens.web"),
        listening(shipped, stalled=1) as (app, port),
        socket.socket() as mute,
    ):
        mute.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        mute.connect(("127.0.0.1", port))
        mute.sendall(b"POST /view HTTP/1.1\r\n" + head + b"\r\n" + request.read())
        wait(lambda: bool(logged("request")))
        assert logged("client too slow")
        assert logged("request")[0].fields["bytes_out"] < 512 << 10  # type: ignore[attr-defined]
        state = app.state.server
        assert (state.admission.inside, state.answerer.begun) == (0, 0)


def test_health_is_told_while_a_map_is_made(shipped: Model, glioma: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    making, told = threading.Event(), threading.Event()

    def slow(answer: Prediction) -> np.ndarray:
        making.set()
        assert told.wait(5)
        return np.zeros(answer.image.shape, np.float32)

    monkeypatch.setattr(shipped, "map", slow)
    with client_of(shipped) as client, ThreadPoolExecutor(1) as pool:
        picture = pool.submit(sent, client, glioma, url=f"{PREDICT}/map.png")
        assert making.wait(60)
        assert client.get("/healthz").status_code == 200
        assert not picture.done()
        assert client.app.state.server.admission.inside == 1  # a map is work as answers are
        told.set()
        assert picture.result(60).status_code == 200
