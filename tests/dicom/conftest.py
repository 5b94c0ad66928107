"""A real PACS (Orthanc) and a small server that behaves until it is told not to, on loopback; the model that ships."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx2 as httpx
import pytest

import tumorlens
from tumorlens.pipeline.model import Model

if TYPE_CHECKING:
    from tests.dicom.archive import Archive

ORTHANC = shutil.which("Orthanc") or ("/usr/sbin/Orthanc" if Path("/usr/sbin/Orthanc").is_file() else None)
PLUGIN = next(iter(sorted(Path("/usr").glob("**/libOrthancDicomWeb.so*"))), None) if ORTHANC else None


# Below the ports that systems lend to outgoing connections (from 32768 on), one of which could take a free port before
# its server listens; each process of a run has its own, and takes them in turn.
_SPAN = 1000
_PORTS = itertools.cycle((os.getpid() * 37 + step) % _SPAN for step in range(_SPAN))  # two runs differ, too


def free_port() -> int:
    """One that nothing listens on, and that this process was not given lately."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    for step in itertools.islice(_PORTS, _SPAN):
        port = 20000 + worker % 12 * _SPAN + step
        with socket.socket() as one:
            try:
                one.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("no free port")


class Pacs:
    """Orthanc on loopback.

    Attributes:
        url: of its REST API.
        port: of its DICOM service; its AE title is ORTHANC.
        node: port that the node TUMORLENS has to listen on.
    """

    def __init__(self, folder: Path) -> None:
        self.port, self.node, http = free_port(), free_port(), free_port()
        self.url = f"http://127.0.0.1:{http}"
        self._configuration = folder / "orthanc.json"
        self._configuration.write_text(
            json.dumps(
                {
                    "StorageDirectory": str(folder / "storage"),
                    "IndexDirectory": str(folder / "index"),
                    "HttpPort": http,
                    "DicomPort": self.port,
                    "RemoteAccessAllowed": False,
                    "AuthenticationEnabled": False,
                    "DicomAlwaysAllowStore": True,
                    "DicomModalities": {"node": ["TUMORLENS", "127.0.0.1", self.node]},
                    "Plugins": [str(PLUGIN)] if PLUGIN else [],
                    "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
                }
            )
        )
        self._log = folder / "orthanc.log"
        self.start()

    def start(self) -> None:
        with self._log.open("a") as log:
            self.process = subprocess.Popen([str(ORTHANC), str(self._configuration)], stdout=log, stderr=log)
        end = time.monotonic() + 60
        while time.monotonic() < end:
            try:
                httpx.get(f"{self.url}/system")
                return
            except httpx.TransportError:
                time.sleep(0.1)
        raise AssertionError(self._log.read_text())

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(30)

    def add(self, path: Path) -> str:
        answer = httpx.post(f"{self.url}/instances", content=path.read_bytes(), timeout=30)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["ID"])

    def send(self, resources: list[str]) -> Any:
        return httpx.post(f"{self.url}/modalities/node/store", json=resources, timeout=120)

    def found(self, modality: str) -> list[dict[str, Any]]:
        """The instances of a modality."""
        query = {"Level": "Instance", "Expand": True, "Query": {"Modality": modality}}
        return list(httpx.post(f"{self.url}/tools/find", json=query, timeout=30).json())

    def content(self, identifier: str) -> bytes:
        return httpx.get(f"{self.url}/instances/{identifier}/file", timeout=30).content


@pytest.fixture(scope="session")
def model() -> Model:
    """The one that ships."""
    return tumorlens.load()


@pytest.fixture
def pacs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pacs]:
    if ORTHANC is None:
        pytest.skip("needs Orthanc: apt-get install orthanc orthanc-dicomweb")
    one = Pacs(tmp_path_factory.mktemp("orthanc"))
    yield one
    one.stop()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Asks a server again at once, and knows no secret of the machine that the tests run on."""
    from tests.dicom.archive import without_environment

    from tumorlens.io import remote

    monkeypatch.setattr(remote, "PAUSES", (0, 0, 0))
    without_environment(monkeypatch, tmp_path)


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Archive]:
    """Serves four drawn slices of one series."""
    from tests.dicom.archive import Archive
    from tests.dicom.test_reports import drawn

    one = Archive(drawn(tmp_path / "in"))
    yield one
    one.stop()
