"""Bodies are measured while they are read, answers while they are taken: too much or too slow ends the request."""

from __future__ import annotations

import asyncio
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tumorlens.web.options import MIB
from tumorlens.web.refusals import Refusal, too_large

# What a client has to send and to take at least, on the whole, in bytes a second.
_SLOWEST = 16 << 10
# An answer is handed over in pieces of so many bytes: what is taken of a longer one would not be seen.
_PIECE = 64 << 10
# A client that still sends does not listen: some of what is too much is read and dropped before it is told.
_DROPPED, _DROPPING = 64 * MIB, 3.0


class TooSlow(Exception):
    """A client that does not take its answer."""


class BodyLimits:
    """ASGI middleware.

    Args:
        app: the next.
        most: bytes of a body.
        stalled: seconds that a client may send nothing while its body is not complete, or take nothing of its answer.
    """

    def __init__(self, app: ASGIApp, most: int, stalled: float) -> None:
        self._app, self._most, self._stalled = app, most, stalled

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or end the request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        taken = _Taken(send, self._stalled)

        declared = dict(scope["headers"]).get(b"content-length", b"")
        if declared.isdigit() and int(declared) > self._most:
            await _dropped(receive)
            await self._refused(int(declared)).response()(scope, receive, taken)
            return
        seen, complete, begun = 0, False, time.monotonic()

        async def measured() -> Message:
            nonlocal seen, complete
            if complete:  # what follows is only whether the client is still there
                return await receive()
            left = begun + self._stalled + seen / _SLOWEST - time.monotonic()
            try:
                message = await asyncio.wait_for(receive(), max(0.0, min(self._stalled, left)))
            except TimeoutError:
                raise Refusal(
                    408,
                    "stalled",
                    f"too little of the upload came: {seen} bytes in {time.monotonic() - begun:.0f} seconds",
                    "send the request again",
                    {"Connection": "close"},
                ) from None
            if message["type"] == "http.request":
                seen += len(message.get("body", b""))
                complete = not message.get("more_body", False)
                if seen > self._most:
                    if not complete:
                        await _dropped(receive)
                    raise self._refused(seen)
            return message

        await self._app(scope, measured, taken)

    def _refused(self, size: int) -> Refusal:
        refusal = too_large(f"more than {(size - 1) // MIB} MiB", f"{self._most / MIB:g} MiB")
        refusal.headers["Connection"] = "close"  # the rest of the body is not read
        return refusal


class _Taken:
    """Hands an answer over, as fast as the client takes it.

    Args:
        send: returns when most of what was sent before has been taken.
        stalled: seconds that the client may take nothing.
    """

    def __init__(self, send: Send, stalled: float) -> None:
        self._send, self._stalled = send, stalled
        self._bytes, self._waited = 0, 0.0

    async def __call__(self, message: Message) -> None:
        """Send a message.

        Raises:
            TooSlow: when the client takes nothing, or too little on the whole.
        """
        body = message.get("body", b"")
        last = max(0, len(body) - 1) // _PIECE * _PIECE
        for start in range(0, last, _PIECE):
            await self._piece({**message, "body": body[start : start + _PIECE], "more_body": True})
        await self._piece({**message, "body": body[last:]} if last else message)

    async def _piece(self, message: Message) -> None:
        # Only waiting for the client counts, not the time in which an answer is made.
        begun = time.monotonic()
        left = self._stalled + self._bytes / _SLOWEST - self._waited
        try:
            async with asyncio.timeout(max(0.0, min(self._stalled, left))):
                await self._send(message)
        except TimeoutError:
            raise TooSlow from None
        self._waited += time.monotonic() - begun
        self._bytes += len(message.get("body", b""))


async def _dropped(receive: Receive) -> None:
    """Read on for a while, and forget it."""
    size, end = 0, time.monotonic() + _DROPPING
    while size < _DROPPED and (left := end - time.monotonic()) > 0:
        try:
            message = await asyncio.wait_for(receive(), left)
        except TimeoutError:
            return
        size += len(message.get("body", b""))
        if message["type"] != "http.request" or not message.get("more_body", False):
            return
