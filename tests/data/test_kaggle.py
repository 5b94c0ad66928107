"""``kaggle:owner/name`` against a small Kaggle of our own; kagglehub itself is the real one."""

from __future__ import annotations

import http.server
import io as memory
import json
import threading
import zipfile
from typing import ClassVar

import numpy as np
import pytest
from PIL import Image

from tumorlens import data
from tumorlens.errors import DataError, UsageError

pytest.importorskip("kagglehub")


def archive():
    out = memory.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        for name in ("Training/glioma/1.png", "Training/notumor/1.png", "Testing/glioma/1.png"):
            picture = memory.BytesIO()
            Image.fromarray(np.random.default_rng(len(name)).integers(0, 255, (8, 8), np.uint8)).save(picture, "PNG")
            file.writestr(name, picture.getvalue())
    return out.getvalue()


class Kaggle(http.server.BaseHTTPRequestHandler):
    """An HTTP proxy that answers every request as Kaggle's API would."""

    status = 200
    calls: ClassVar[list[str]] = []

    def do_POST(self):
        asked = self.path.rsplit("/", 1)[1]
        type(self).calls.append(asked)
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.status != 200:
            return self.answer(
                self.status, "application/json", json.dumps({"code": self.status, "message": "no"}).encode()
            )
        if asked == "GetDataset":
            return self.answer(200, "application/json", json.dumps({"currentVersionNumber": 3}).encode())
        return self.answer(200, "application/zip", archive())

    do_GET = do_POST

    def answer(self, status, kind, body):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args):
        pass


@pytest.fixture
def kaggle(monkeypatch, tmp_path):
    """The real kagglehub, whose requests end at a server in this process."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Kaggle)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    Kaggle.status, Kaggle.calls = 200, []
    for name in ("no_proxy", "NO_PROXY", "KAGGLE_USERNAME", "KAGGLE_KEY", "KAGGLE_API_TOKEN", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    # kagglesdk's own test environment is plain http, so a proxy sees the requests.
    monkeypatch.setenv("KAGGLE_API_ENVIRONMENT", "TEST")
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("KAGGLE_CONFIG_DIR", str(tmp_path / "none"))
    monkeypatch.setenv("TUMORLENS_CACHE", str(tmp_path / "cache"))
    yield Kaggle
    server.shutdown()
    server.server_close()


def test_download_read_and_remember(kaggle, capsys):
    found = data.read("kaggle:someone/brains")
    assert found.count() == {"glioma": 2, "no_tumor": 1}
    assert [row.split for row in found] == ["test", "train", "train"]
    assert {row.source for row in found} == {"someone/brains"}
    (fact,) = found.provenance["kaggle"]
    assert (fact["dataset"], fact["version"], fact["files"], len(fact["sha256"])) == ("someone/brains", 3, 3, 64)
    assert any("version 3" in note for note in found.notes)
    again = data.read("kaggle:someone/brains/versions/3")
    assert again.rows == found.rows
    assert again.provenance == found.provenance
    assert kaggle.calls == ["GetDataset", "DownloadDataset"]
    assert capsys.readouterr().out == ""


def test_the_hash_is_kept_until_a_file_changes(kaggle, monkeypatch):
    from tumorlens import io

    found = data.read("kaggle:someone/brains")
    hashed = []
    real = io.digest
    monkeypatch.setattr(io, "digest", lambda path: hashed.append(path) or real(path))
    assert data.read("kaggle:someone/brains").provenance == found.provenance
    assert not hashed
    with open(found.rows[0].path, "ab") as file:
        file.write(b"more")
    changed = data.read("kaggle:someone/brains")
    assert len(hashed) == 3
    assert changed.provenance != found.provenance


def test_label_and_join(kaggle, tree):
    found = data.read(["glioma=kaggle:someone/brains", tree("own", "no/1.png")])
    assert found.count() == {"glioma": 3, "no_tumor": 1}
    assert "kaggle" in found.provenance
    both = data.read(["kaggle:someone/brains", "kaggle:someone/two"])
    assert [fact["dataset"] for fact in both.provenance["kaggle"]] == ["someone/brains", "someone/two"]


@pytest.mark.parametrize(("status", "word"), [(403, "access"), (401, "access"), (404, "no such"), (500, "500")])
def test_refusals_say_how_to_go_on(kaggle, status, word):
    kaggle.status = status
    with pytest.raises(DataError) as error:
        data.read("kaggle:someone/brains")
    assert word in error.value.message
    assert "https://www.kaggle.com/datasets/someone/brains" in error.value.hint


def test_offline(kaggle, monkeypatch):
    found = data.read("kaggle:someone/brains")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    again = data.read("kaggle:someone/brains")
    assert again.rows == found.rows
    assert any("cannot be reached" in note for note in again.notes)
    for name in ("kaggle:someone/else", "kaggle:someone/brains/versions/9"):
        with pytest.raises(DataError) as error:
            data.read(name)
        assert "online" in error.value.message
        assert "zip" in error.value.hint


@pytest.mark.parametrize(
    "name", ["kaggle:", "kaggle:one", "kaggle:a/b/c", "kaggle:../../etc", "phantom:x", "phantom:0", "=x"]
)
def test_wrong_names_are_usage_errors(name):
    with pytest.raises(UsageError):
        data.read(name)
