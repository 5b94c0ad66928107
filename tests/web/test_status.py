"""The status page: what a node is doing, without saying about whom."""

from __future__ import annotations

from pathlib import Path

import pytest
from starlette.testclient import TestClient
from tests.web.conftest import UID, client_of, node_folder

from tumorlens.cli.main import main
from tumorlens.pipeline.locking import held
from tumorlens.pipeline.model import Model


@pytest.fixture
def node(tmp_path: Path) -> Path:
    return node_folder(tmp_path)


def test_without_a_node_the_page_says_how_to_show_one(client: TestClient) -> None:
    assert client.get("/api/v1/status").json()["node"] is None
    assert "--node" in client.get("/status").text


def test_numbers_and_reasons_and_nothing_else(shipped: Model, node: Path) -> None:
    with client_of(shipped, node=node, api_key="0123456789abcdef") as client:  # as public as the metrics
        told, page = client.get("/api/v1/status"), client.get("/status").text
        with held(node):
            assert client.get("/api/v1/status").json()["node"]["running"]
            assert "The node is running" in client.get("/status").text
    found = told.json()["node"]
    assert not found["running"]
    assert (found["received"], found["failing"]) == (3, 1)
    assert found["series"] == {"answered": 1, "open": 1, "refused": 1}
    assert found["objects"] == {"due": 1}
    assert found["refusals"] == {"localiser": 1}
    assert [one["event"] for one in found["events"]] == ["series refused", "received"]
    assert "not running" in page
    assert "localiser" in page
    for text in (told.text, page):
        assert UID not in text
        assert "10.1.2.3" not in text


def test_a_journal_that_a_full_disk_cut_off_is_read_all_the_same(shipped: Model, node: Path) -> None:
    with (node / "audit.jsonl").open("a") as file:
        file.write('{"time": "2026')
    with client_of(shipped, node=node) as client:
        assert len(client.get("/api/v1/status").json()["node"]["events"]) == 2


def test_a_queue_that_cannot_be_read_is_told(shipped: Model, tmp_path: Path) -> None:
    (tmp_path / "queue.sqlite").write_bytes(b"no database" * 200)
    with client_of(shipped, node=tmp_path) as client:
        answer = client.get("/api/v1/status")
        assert answer.status_code == 503
        assert answer.json()["error"]["code"] == "corrupt"
        assert "cannot be read" in client.get("/status").text
        assert client.get("/status").status_code == 200


def test_a_folder_without_a_queue_is_told_before_the_server_starts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", "--node", str(tmp_path)]) == 2
    assert "dicom-node" in capsys.readouterr().err
