"""Bodies are measured while they are read: too many bytes, or none for too long, end the request."""

from __future__ import annotations

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tumorlens.web.options import MIB
from tumorlens.web.refusals import Refusal, too_large


class BodyLimits:
    """ASGI middleware.

    Args:
        app: the next.
        most: bytes of a body.
        stalled: seconds that a client may send nothing while its body is not complete.
    """

    def __init__(self, app: ASGIApp, most: int, stalled: float) -> None:
        self._app, self._most, self._stalled = app, most, stalled

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or end the request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        declared = dict(scope["headers"]).get(b"content-length", b"")
        if declared.isdigit() and int(declared) > self._most:
            await self._refused(int(declared)).response()(scope, receive, send)
            return
        seen, complete = 0, False

        async def measured() -> Message:
            nonlocal seen, complete
            if complete:  # what follows is only whether the client is still there
                return await receive()
            try:
                message = await asyncio.wait_for(receive(), self._stalled)
            except TimeoutError:
                raise Refusal(
                    408,
                    "stalled",
                    f"nothing of the upload came for {self._stalled:g} seconds",
                    "send the request again",
                    {"Connection": "close"},
                ) from None
            if message["type"] == "http.request":
                seen += len(message.get("body", b""))
                complete = not message.get("more_body", False)
                if seen > self._most:
                    raise self._refused(seen)
            return message

        await self._app(scope, measured, send)

    def _refused(self, size: int) -> Refusal:
        refusal = too_large(f"more than {(size - 1) // MIB} MiB", f"{self._most / MIB:g} MiB")
        refusal.headers["Connection"] = "close"  # the rest of the body is not read
        return refusal
