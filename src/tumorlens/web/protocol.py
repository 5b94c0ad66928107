"""HTTP/1.1 as uvicorn speaks it with httptools, which sets no limit to the head of a request."""

from __future__ import annotations

import asyncio
import contextlib
import socket

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

#: Bytes of request line and headers together.
HEAD = 64 << 10
# Bytes of an answer that the system keeps unsent. It would keep megabytes, and ask for more when a third has gone: a
# slow client would seem to take nothing for long.
_UNSENT = 64 << 10


class Bounded(HttpToolsProtocol):  # type: ignore[misc]
    """Ends a connection whose request has a head that does not end, and sends little of an answer ahead."""

    _in_head = True
    _head = 0

    def connection_made(self, transport: asyncio.Transport) -> None:
        """A client is there."""
        super().connection_made(transport)
        connection = transport.get_extra_info("socket")
        option = getattr(socket, "TCP_NOTSENT_LOWAT", None)  # Windows has none
        if option is not None and connection.family in (socket.AF_INET, socket.AF_INET6):
            with contextlib.suppress(OSError):  # the client has left again
                connection.setsockopt(socket.IPPROTO_TCP, option, _UNSENT)

    def on_message_begin(self) -> None:
        """A request begins."""
        self._in_head, self._head = True, 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Its head is complete."""
        self._in_head = False
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        super().data_received(data)
        if self._in_head:
            self._head += len(data)
            if self._head > HEAD and self.transport is not None:
                self.transport.write(b"HTTP/1.1 431 Request Header Fields Too Large\r\nConnection: close\r\n\r\n")
                self.transport.close()
