"""The application: routes, guards, and one model in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from tumorlens import __version__
from tumorlens.inference import Prediction
from tumorlens.io.slice import Slice
from tumorlens.pipeline.model import Model, load
from tumorlens.web import api, health, pages, status, view
from tumorlens.web.admission import Admission
from tumorlens.web.answering import Answerer
from tumorlens.web.batching import Batcher
from tumorlens.web.body import BodyLimits
from tumorlens.web.options import ServeOptions
from tumorlens.web.refusals import Refusal
from tumorlens.web.security import Security
from tumorlens.web.state import State
from tumorlens.web.telemetry import Faults, Meters, Telemetry

_ABOUT = """Send MRI slices, get the tumour class with probability, conformal set and verdict.

```python
import httpx

with open("scan.png", "rb") as scan:
    answer = httpx.post("http://127.0.0.1:8000/api/v1/predict", files={"files": scan})
print(answer.json()[0]["predicted"])
```

Research use only, not a medical device.

## Operations"""


def create_app(options: ServeOptions, model: Model | None = None) -> FastAPI:
    """The ASGI application.

    Args:
        options: how it behaves.
        model: the one to answer with; that of the options, loaded when the application starts, if None.
    """
    meters = Meters()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        answering = model or load(options.model, threads=options.threads, engine=options.engine)

        def predict(slices: Sequence[Slice]) -> list[Prediction]:
            return list(answering.predictor.predict_slices(slices))

        batcher = Batcher(predict, meters.batch.observe)
        answerer = Answerer(answering, options.limits, batcher)
        admission = Admission(options.requests, meters.inside.inc)
        app.state.server = State(options, answering, answerer, admission, meters)
        yield
        answerer.close()

    app = FastAPI(
        title="tumorlens",
        version=__version__,
        description=_ABOUT,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    for room in (api, health, status, view, pages):
        app.include_router(room.router)
    app.mount("/static", pages.static_files(), name="static")
    app.add_exception_handler(Refusal, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    # The last one added is the first that a request meets.
    app.add_middleware(Faults)
    app.add_middleware(BodyLimits, most=options.upload_bytes, stalled=options.stalled)
    app.add_middleware(Security, hosts=options.hosts, api_key=options.api_key)
    app.add_middleware(Telemetry, meters=meters)
    return app


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)  # noqa: S101 - what the handler was registered for
    return error.response()


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    return Refusal(
        422, "parameter", f"{where}: {first['msg']}", "the documentation at /docs lists what there is"
    ).response()


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101
    hint = "the documentation at /docs lists what there is" if error.status_code in (404, 405) else ""
    code = {404: "not_found", 405: "method"}.get(error.status_code, "http")
    return Refusal(error.status_code, code, str(error.detail), hint, dict(error.headers or {})).response()
