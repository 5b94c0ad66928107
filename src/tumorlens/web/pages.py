"""The pages: scan, model, API documentation; and the files that they need."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from functools import lru_cache
from importlib import resources
from typing import Any

import jinja2
from fastapi import APIRouter, Request
from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup
from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.staticfiles import StaticFiles

from tumorlens.labels import colours, title
from tumorlens.report.html import json_block
from tumorlens.web import assets, examples
from tumorlens.web.reliability import scored
from tumorlens.web.state import state_of
from tumorlens.web.words import reliability, strings

router = APIRouter(include_in_schema=False)
_NUMERIC = re.compile(r"(&[gl]t;|[\d–−+<>-])|not stated$")
# What the page's script needs of the sentences.
_FOR_SCRIPT = ("page", "viewer", "answer", "results", "report", "verdict")


def static_files() -> StaticFiles:
    """Our scripts, styles and examples."""
    return StaticFiles(directory=str(resources.files("tumorlens.web").joinpath("static")))


@router.get("/")
def index(request: Request) -> HTMLResponse:
    """Drop a scan, see the answer."""
    state = state_of(request)
    info = state.model.info
    told = {
        "strings": {name: strings()[name] for name in _FOR_SCRIPT},
        "classes": [
            {"name": name, "title": title(name), "colour": colour} for name, colour in colours(info.labels).items()
        ],
        "model": state.model.predictor.identity,
        "coverage": None if info.conformal is None else 1 - info.conformal["alpha"],
        "caution": info.caution,
        "limits": {"bytes": state.options.upload_bytes, "files": state.options.files},
    }
    return page(
        "index.html.j2", here="scan", told=json_block(told), caution=info.caution, examples=examples.available()
    )


@router.get("/model")
async def model(request: Request) -> HTMLResponse:
    """The model card, with charts."""
    state = state_of(request)
    if state.model_page is None:
        state.model_page = await run_in_threadpool(_model, state)
    return HTMLResponse(state.model_page)


def _model(state: Any) -> str:
    bundle = state.model.predictor.bundle
    charts = assets.charts(scored(bundle))
    return _text(
        "model.html.j2",
        here="model",
        card=_html(bundle.read("MODEL_CARD.md").decode()),
        charts={name: json_block(spec) for name, spec in charts.items()},
        identity=state.model.predictor.identity,
        reliability=[(title(name), reliability(name, state.measured.get(name))) for name in state.model.info.labels],
        caution=state.model.info.caution,
    )


def _html(text: str) -> Markup:
    """Markdown as HTML. HTML in it is shown, not used."""
    reader = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = reader.parse(text)
    columns: dict[int, list[tuple[Token, str]]] = {}  # of a table
    column = 0
    for place, token in enumerate(tokens):
        if token.type == "table_open":
            token.attrs["tabindex"] = "0"  # a wide table scrolls, with keys, too
            columns = {}
        elif token.type == "tr_open":
            column = 0
        elif token.type in ("th_open", "td_open"):
            # Columns are aligned with style attributes, which the content security policy forbids.
            if str(token.attrs.pop("style", "")).endswith("right"):
                columns.setdefault(column, []).append((token, tokens[place + 1].content))
            column += 1
            if token.type == "th_open" and not tokens[place + 1].content:
                token.tag = tokens[place + 2].tag = "td"  # an empty head is none
        elif token.type == "table_close":
            _align(columns.values())
    html = str(reader.renderer.render(tokens, reader.options, {}))
    return Markup(html.replace("<pre>", '<pre tabindex="0">'))  # noqa: S704


def _align(columns: Iterable[list[tuple[Token, str]]]) -> None:
    """Numbers to the right; sentences are read from the left. A column is its cells with what they hold, head first."""
    for head, *cells in columns:
        if all(_NUMERIC.match(content) for _, content in cells):
            for cell, _ in (head, *cells):
                cell.attrs["class"] = "number"


@router.get("/docs")
def documentation() -> HTMLResponse:
    """The API's documentation."""
    return page("docs.html.j2", here="api")


@router.get("/assets/charts.js")
async def charts(request: Request) -> Response:
    """What draws charts."""
    text = await run_in_threadpool(assets.vega)
    return _asset(request, text.encode(), "text/javascript")


@router.get("/assets/swagger/{name}")
def swagger(request: Request, name: str) -> Response:
    """A file of Swagger UI."""
    kind = assets.SWAGGER.get(name)
    if kind is None:
        return PlainTextResponse("not found", 404)
    return _asset(request, assets.swagger(name), kind)


def _asset(request: Request, content: bytes, kind: str) -> Response:
    """A file that the browser may keep, as long as it asks whether it has changed."""
    tag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
    headers = {"ETag": tag, "Cache-Control": "no-cache"}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(content, media_type=kind, headers=headers)


@lru_cache(maxsize=1)
def _environment() -> jinja2.Environment:
    folder = resources.files("tumorlens.web").joinpath("templates")
    return jinja2.Environment(
        loader=jinja2.FunctionLoader(lambda name: folder.joinpath(name).read_text(encoding="utf-8")),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def page(template: str, **values: Any) -> HTMLResponse:
    """A page from one of our templates."""
    return HTMLResponse(_text(template, **values))


def _text(template: str, **values: Any) -> str:
    return str(_environment().get_template(template).render(strings=strings(), title=title, **values))
