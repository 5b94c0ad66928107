"""The pages: nothing of another host, nothing inline, nothing that cannot be reached behind a proxy."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest
from starlette.testclient import TestClient
from tests.web.conftest import client_of

import tumorlens
from tumorlens.pipeline.model import Model
from tumorlens.web.app import create_app
from tumorlens.web.options import ServeOptions

WEB = Path(tumorlens.__file__).parent / "web"
PAGES = ("/", "/model", "/docs", "/status")


@pytest.mark.parametrize("page", PAGES)
def test_a_page_says_research_once_and_loads_only_from_here(client: TestClient, page: str) -> None:
    html = client.get(page).text
    assert html.count('<footer class="foot">Research use only, not a medical device.</footer>') == 1
    for address in re.findall(r'(?:src|href)="([^"]+)"', html):
        if address.startswith(("#", "./")):
            continue
        assert not address.startswith(("/", "http", "//")), address
        if page != "/model" or not address.startswith("http"):
            assert client.get(f"/{address}").status_code == 200, address
    for script in re.findall(r"<script(?![^>]*src=)[^>]*>", html):
        assert 'type="application/json"' in script
    assert not re.search(r"<[^>]+\s(style|on\w+)=", html)


def test_links_in_the_card_are_text_or_https(client: TestClient) -> None:
    html = client.get("/model").text
    assert "<script>" not in html
    assert "javascript:" not in html


def test_numbers_in_a_card_stand_right_and_sentences_left(shipped: Model) -> None:
    from tumorlens.web.pages import _html

    html = _html("| A | n | Note |\n| --- | ---: | ---: |\n| a | &gt;0.999 | some words |\n| b | – | 2 words |\n")
    assert html.count('class="number"') == 3  # head and cells of the second column
    assert '<th class="number">n</th>' in html
    both = _html("|  | n |\n| --- | ---: |\n| a | 1 |\n\nand\n\n|  | n |\n| --- | ---: |\n| b | 2 |\n")
    assert both.count("<td></td>") == 2
    card = _html(shipped.predictor.bundle.read("MODEL_CARD.md").decode())
    assert "<th>Licence</th>" in card and '<th class="number">Sensitivity</th>' in card
    assert "style=" not in card


def test_a_card_cannot_bring_html(shipped: Model) -> None:
    from tumorlens.web.pages import _html

    html = _html("# a <script>alert(1)</script> <img src=x onerror=alert(1)> [x](javascript:alert(1))")
    assert "<script" not in html
    assert "<img" not in html
    assert 'href="javascript' not in html


def test_data_blocks_cannot_end_their_element() -> None:
    from tumorlens.report.html import json_block

    assert "<" not in json_block({"a": "</script><script>alert(1)</script>"})


def test_behind_a_proxy(shipped: Model) -> None:
    app = create_app(ServeOptions(hosts=("testserver",), api_key="0123456789abcdef"), shipped)
    with TestClient(app, root_path="/tumorlens") as client:
        assert client.get("/tumorlens/openapi.json").json()["servers"] == [{"url": "/tumorlens"}]
        assert client.get("/tumorlens/").status_code == 200
        assert client.get("/tumorlens/api/v1/model").status_code == 401


def test_a_run_of_the_phantom_says_so_on_every_page(finished_run: Path) -> None:
    model = tumorlens.load(finished_run)
    model.info = msgspec.structs.replace(model.info, data={"sources": ["phantom"]})
    with client_of(model) as client:
        for page in ("/", "/model"):
            assert "mean nothing" in client.get(page).text
        assert "mean nothing" in client.get("/api/v1/model").json()["caution"]


def test_assets_are_kept_by_the_browser_until_they_change(client: TestClient) -> None:
    for address in ("/assets/charts.js", "/assets/swagger/swagger-ui.css"):
        first = client.get(address)
        assert first.status_code == 200
        assert client.get(address, headers={"if-none-match": first.headers["etag"]}).status_code == 304
    assert client.get("/assets/swagger/nothing.js").status_code == 404


def test_static_files_stay_in_their_folder(client: TestClient) -> None:
    for path in (
        "/static/../app.py",
        "/static/%2e%2e/app.py",
        "/static/..%2fapp.py",
        "/assets/swagger/..%2f__init__.py",
    ):
        assert client.get(path).status_code == 404


def test_the_api_is_described_with_an_example(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    assert set(document["paths"]) == {
        "/api/v1/predict", "/api/v1/predict/map.png", "/api/v1/model", "/api/v1/status", "/healthz", "/readyz",
        "/metrics",
    }  # fmt: skip
    answer = document["paths"]["/api/v1/predict"]["post"]["responses"]["200"]["content"]["application/json"]
    assert answer["example"][0]["predicted"] == "meningioma"
    for path in document["paths"].values():
        for operation in path.values():
            assert operation["summary"]
