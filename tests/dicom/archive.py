"""A small DICOMweb server on loopback that behaves, until a test tells it not to."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tumorlens.data.dicomweb import walking

pydicom = pytest.importorskip("pydicom")

Handler = BaseHTTPRequestHandler
STUDY, SERIES, INSTANCE, MODALITY, NUMBER = "0020000D", "0020000E", "00080018", "00080060", "00200013"


def without_environment(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """No token, password or proxy of the machine that the tests run on; ``netrc`` in ``folder`` may be written."""
    monkeypatch.setenv("NETRC", str(folder / "netrc"))
    for name in (walking.TOKEN, "HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


class Archive:
    """Serves files; ``odd`` maps the end of a path to what answers there instead.

    Attributes:
        asked: (path with query, headers) of every request, in order.
        cap: matches of a page at most, whatever is asked for.
        pages: whether it knows limit and offset.
    """

    def __init__(self, files: list[Path], tls: ssl.SSLContext | None = None) -> None:
        self.files = {str(data.SOPInstanceUID): (data, path) for path in files for data in [pydicom.dcmread(path)]}
        self.odd: dict[str, Callable[[Handler], None]] = {}
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.cap, self.pages = 1000, True
        archive = self

        class Answers(Handler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                archive.asked.append((self.path, dict(self.headers)))
                path = urlsplit(self.path).path
                odd = next((odd for end, odd in archive.odd.items() if path.endswith(end)), None)
                try:
                    odd(self) if odd else archive.answer(self)
                except (BrokenPipeError, ConnectionResetError):
                    self.close_connection = True

            def log_message(self, *_: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: Any) -> None:
                pass

        self.server = Server(("127.0.0.1", 0), Answers)
        if tls:
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True)
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self.server.server_address[1]}/dicom-web"
        self.base = f"dicomweb:{self.url}"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def paths(self) -> list[str]:
        """What was asked for, without queries."""
        return [urlsplit(path).path.removeprefix("/dicom-web") for path, _ in self.asked]

    def answer(self, to: Handler) -> None:
        found = urlsplit(to.path)
        match found.path.removeprefix("/dicom-web").strip("/").split("/"):
            case ["studies"]:
                self.matches(to, {}, STUDY)
            case ["series"]:
                self.matches(to, {}, SERIES)
            case ["studies", study, "series"]:
                self.matches(to, {STUDY: study}, SERIES)
            case ["studies", study, "series", series, "instances"]:
                self.matches(to, {STUDY: study, SERIES: series}, INSTANCE)
            case ["studies", _, "series", _, "instances", uid] if uid in self.files:
                send(to, *wrapped(self.files[uid][1].read_bytes()))
            case _:
                send(to, b"not here", "text/plain", 404)

    def matches(self, to: Handler, wanted: dict[str, str], uid: str) -> None:
        """QIDO-RS; knows PatientID, StudyInstanceUID, SeriesInstanceUID and Modality, and ignores other keys."""
        query = {name: values[0] for name, values in parse_qs(urlsplit(to.path).query).items()}
        keys = {"PatientID": "00100020", "StudyInstanceUID": STUDY, "SeriesInstanceUID": SERIES, "Modality": MODALITY}
        wanted = wanted | {tag: query[name] for name, tag in keys.items() if name in query}
        rows = {}
        for data, _ in self.files.values():
            row = {tag: str(data.get(int(tag, 16), pydicom.DataElement(0x00104000, "LT", "")).value) for tag in TAGS}
            if all(row[tag] == value for tag, value in wanted.items()):
                rows.setdefault(row[uid], {tag: {"vr": "LO", "Value": [value]} for tag, value in row.items()})
        start = int(query["offset"]) if self.pages else 0
        stop = start + min(int(query["limit"]), self.cap) if self.pages else None
        send(to, json.dumps(list(rows.values())[start:stop]).encode(), "application/dicom+json")


TAGS = (STUDY, SERIES, INSTANCE, MODALITY, NUMBER, "00100020", "0008103E")


def send(to: Handler, body: bytes, kind: str, status: int = 200, **headers: str) -> None:
    to.send_response(status)
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **given}.items():
        to.send_header(name, value)
    to.end_headers()
    to.wfile.write(body)


def wrapped(content: bytes) -> tuple[bytes, str]:
    """An instance as WADO-RS sends it: body and type."""
    head = b"\r\n--mark\r\nContent-Type: application/dicom\r\n\r\n"
    return head + content + b"\r\n--mark--\r\n", 'multipart/related; type="application/dicom"; boundary=mark'
