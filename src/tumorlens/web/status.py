"""What the server and the DICOM node beside it are doing, as a page and as JSON: numbers, nothing of a patient."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse

from tumorlens.dicom.watching import NodeStatus, status
from tumorlens.errors import UsageError
from tumorlens.web.pages import page
from tumorlens.web.refusals import Refusal
from tumorlens.web.schema import ErrorBody, refusals
from tumorlens.web.state import State, state_of
from tumorlens.web.words import strings

router = APIRouter()
# State → what it is called, in the order of the page.
_SERIES = {
    "open": "series_open",
    "closed": "series_closed",
    "answered": "series_answered",
    "refused": "series_refused",
}
_OBJECTS = {"due": "objects_due", "sent": "objects_sent"}


@router.get(
    "/api/v1/status",
    tags=["server"],
    summary="What the server and its DICOM node are doing",
    responses={503: {"model": ErrorBody, "description": "The node's queue cannot be read."}, **refusals(400)},
)
def told(request: Request) -> dict[str, Any]:
    """`node` is null where the server was not told of one (`--node`)."""
    state = state_of(request)
    node = _node(state)
    return {
        "model": state.model.predictor.identity,
        "ready": state.admission.open,
        "requests_in_work": state.admission.inside,
        "node": None if node is None else asdict(node),
    }


@router.get("/status", include_in_schema=False)
def shown(request: Request) -> HTMLResponse:
    """The page; its script asks for it again every few seconds."""
    state = state_of(request)
    try:
        node, problem = _node(state), ""
    except Refusal as refusal:
        node, problem = None, refusal.message
    return page(
        "status.html.j2",
        here="watch",  # not "status", which is a class of the scan page
        identity=state.model.predictor.identity,
        server=_server(state),
        node=_rows(node) if node else None,
        running=bool(node and node.running),
        refusals=sorted(node.refusals.items()) if node else [],
        events=node.events if node else (),
        watched=state.options.node is not None,
        problem=problem,
    )


def _node(state: State) -> NodeStatus | None:
    if state.options.node is None:
        return None
    try:
        return status(state.options.node)
    except UsageError as error:
        raise Refusal(503, error.code, "the node's queue cannot be read", error.hint) from None


def _server(state: State) -> str:
    words = strings()["status"]
    return words["ready" if state.admission.open else "busy"].format(n=state.admission.inside)


def _rows(node: NodeStatus) -> list[tuple[str, str]]:
    """What is counted, in words."""
    words = strings()["status"]
    rows = [(words["received"], f"{node.received:,}")]
    for counted, names in ((node.series, _SERIES), (node.objects, _OBJECTS)):
        rows += [(words[said], f"{counted[name]:,}") for name, said in names.items() if name in counted]
    if node.waiting is not None:
        rows.append((words["waiting"], words["seconds"].format(n=round(node.waiting))))
    if node.failing:
        rows.append((words["failing"], f"{node.failing:,}"))
    rows.append((words["free"], f"{node.free / 2**30:,.1f} GiB"))
    return rows
