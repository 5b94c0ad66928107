"""What the page asks for: answers with pictures, one line each as soon as it is there."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, aclosing
from typing import Any

import msgspec
from fastapi import APIRouter, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from tumorlens.inference import Prediction
from tumorlens.io.slice import Slice
from tumorlens.web.api import count
from tumorlens.web.picture import shown
from tumorlens.web.state import State, state_of
from tumorlens.web.uploads import received
from tumorlens.web.words import said

router = APIRouter(include_in_schema=False)


@router.post("/view")
async def view(request: Request) -> Response:
    """JSON lines of ``{"entry", "said", "shown"}``; without ``{"end": true}`` at the end something broke off."""
    state = state_of(request)
    async with AsyncExitStack() as stack:
        stack.enter_context(state.admission.one())
        files = await stack.enter_async_context(received(request, state.options.files))
        lines = _lines(state, files)
        # Where the lines break off, nobody else ends what makes them.
        stack.push_async_callback(lines.aclose)
        # What is wrong with the request was said by now; what is open stays open until the last line is sent.
        kept = stack.pop_all()
    return _Lines(lines, kept)


class _Lines(StreamingResponse):
    """Lines as they come; whatever ends them, what was kept open is closed."""

    def __init__(self, lines: AsyncIterator[bytes], kept: AsyncExitStack) -> None:
        super().__init__(lines, media_type="application/x-ndjson")
        self._kept = kept

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._kept.aclose()


async def _lines(state: State, files: list[Any]) -> AsyncGenerator[bytes, None]:
    def render(item: Slice, answer: Prediction) -> dict[str, Any]:
        return shown(item, answer, state.model)

    async with aclosing(state.answerer.answers(files, render)) as answers:
        async for one in answers:
            count(state, one.answer)
            line = {"entry": one.answer.as_dict(), "said": said(one.answer, state.measured), "shown": one.shown}
            yield msgspec.json.encode(line) + b"\n"
    yield b'{"end":true}\n'
