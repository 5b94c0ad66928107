"""What watches the server asks: is it alive, will it take work, what has it done."""

from __future__ import annotations

from fastapi import APIRouter, Request
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import JSONResponse, Response

from tumorlens.web.schema import refusals
from tumorlens.web.state import state_of

router = APIRouter(tags=["server"])


@router.get("/healthz", summary="Whether the process is alive", responses=refusals(400))
async def healthz() -> dict[str, str]:
    """Always `ok`."""
    return {"status": "ok"}


@router.get(
    "/readyz",
    summary="Whether the server takes work now",
    responses={503: {"description": "It is full."}, **refusals(400)},
)
async def readyz(request: Request) -> JSONResponse:
    """`ready`, or `busy` with status 503."""
    ready = state_of(request).admission.open
    return JSONResponse({"status": "ready" if ready else "busy"}, 200 if ready else 503)


@router.get(
    "/metrics",
    summary="Metrics for Prometheus",
    response_class=Response,
    responses={200: {"content": {"text/plain": {}}}, **refusals(400)},
)
def metrics(request: Request) -> Response:
    """Requests, answers, batches and time, in Prometheus' text format."""
    return Response(state_of(request).meters.exposition(), media_type=CONTENT_TYPE_LATEST)
