"""schemathesis over the OpenAPI document: whatever is sent, the answer is one that the document describes.

Forty cases for each operation here; ``make test-browser`` tries 1,000 (``TUMORLENS_CASES``).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from starlette.testclient import TestClient
from tests.web.conftest import EXAMPLES

from tumorlens.web.app import create_app
from tumorlens.web.options import ServeOptions

schemathesis = pytest.importorskip("schemathesis")
from schemathesis.specs.openapi.checks import positive_data_acceptance  # noqa: E402

CASES = int(os.environ.get("TUMORLENS_CASES", "40"))
APP = create_app(ServeOptions(hosts=("*",), requests=1000))
schema = schemathesis.openapi.from_asgi("/openapi.json", APP)
QUIET = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]
SCAN = (EXAMPLES / "glioma.png").read_bytes()


@schema.hook
def map_body(context: Any, body: Any) -> Any:
    """Random bytes are hardly ever a scan: of every three files one is, and one breaks off somewhere."""
    if not isinstance(body, dict) or "files" not in body:
        return body

    def scan(content: Any) -> Any:
        if not isinstance(content, bytes):
            return content
        return (content, SCAN, SCAN[: 37 * (1 + sum(content) % 700)])[len(content) % 3]

    files = body["files"]
    return {**body, "files": [scan(one) for one in files] if isinstance(files, list) else scan(files)}


@pytest.fixture(scope="module", autouse=True)
def running() -> Iterator[None]:
    with TestClient(APP):
        yield


@schema.parametrize()
@settings(max_examples=CASES, deadline=None, suppress_health_check=QUIET)
def test_every_answer_is_one_that_is_described(case: schemathesis.Case) -> None:
    # What is a form of files by the document may still hold no image.
    case.call_and_validate(excluded_checks=[positive_data_acceptance])
