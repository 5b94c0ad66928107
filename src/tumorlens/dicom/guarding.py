"""Bounds on what a connection may send: how long a PDU takes, how large it is, how much comes before a C-STORE ends."""

from __future__ import annotations

import socket
import time
from typing import Any, cast

_SECONDS = 8.0
# Senders announce at most 16 KiB by default; 1 MiB is more than any asks for (PS3.8 D.1).
_PDU = 1 << 20
_CHUNK = 1 << 16


class Guard:
    """Reads in place of pynetdicom's socket wrapper, which waits and collects without limits.

    Args:
        wrapper: the ``AssociationSocket`` of an association.
        most: bytes that may come between two objects.
    """

    def __init__(self, wrapper: Any, most: int) -> None:
        self._wrapper, self._most, self._come = wrapper, most, 0

    def object_ended(self) -> None:
        """Count from 0 again."""
        self._come = 0

    def recv(self, count: int) -> bytearray:
        """As many bytes; fewer when the connection ends.

        Raises:
            OSError: when they take too long or are too many, which ends the connection.
        """
        self._come += count
        if count > _PDU or self._come > self._most:
            raise OSError("a PDU or an object is larger than may be sent")
        connection, end = cast(socket.socket, self._wrapper.socket), time.monotonic() + _SECONDS
        usual = connection.gettimeout()
        read = bytearray()
        try:
            while len(read) < count:
                left = end - time.monotonic()
                if left <= 0:
                    raise TimeoutError("a PDU takes too long")
                connection.settimeout(left)
                part = connection.recv(min(_CHUNK, count - len(read)))
                if not part:
                    break
                read += part
        finally:
            connection.settimeout(usual)
        return read


def guard(association: Any, most: int) -> Guard:
    """Guard an association that is about to start; its :class:`Guard`."""
    wrapper = association.dul.socket
    made = Guard(wrapper, most)
    wrapper.recv = made.recv
    return made
