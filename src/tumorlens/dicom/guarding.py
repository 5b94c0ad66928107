"""Bounds on what connections may send: how long part of a PDU takes, how large it is, how much waits to be handled."""

from __future__ import annotations

import socket
import time
import weakref
from typing import Any, cast

_SECONDS = 8.0
# Senders announce at most 16 KiB by default; 1 MiB is more than any asks for (PS3.8 D.1).
_PDU = 1 << 20
_CHUNK = 1 << 16
# What comes with an object and is not its data set: commands, and the heads of PDUs and of their parts.
_WRAPPING, _SHARE = 1024, 1000


class Guards:
    """The guards of a server.

    Args:
        most: bytes of one connection that may wait to be handled.
        together: the same of all connections.
    """

    def __init__(self, most: int, together: int) -> None:
        self._most, self._together = most, together
        # Not every connection tells its end; a guard is gone when its association is.
        self._guards: weakref.WeakSet[Guard] = weakref.WeakSet()

    def add(self, association: Any) -> Guard:
        """Guard an association that is about to start."""
        made = Guard(association.dul.socket, self)
        association.dul.socket.recv = made.recv
        self._guards.add(made)
        return made

    def allow(self, one: Guard) -> bool:
        """Whether so much may wait."""
        return one.waiting <= self._most and sum(each.waiting for each in tuple(self._guards)) <= self._together


class Guard:
    """Reads in place of pynetdicom's socket wrapper, which waits and collects without limits.

    Args:
        wrapper: the ``AssociationSocket`` of an association.
        guards: of the server.

    Attributes:
        waiting: bytes that came and were not handled yet.
    """

    def __init__(self, wrapper: Any, guards: Guards) -> None:
        self._wrapper, self._guards, self.waiting = wrapper, guards, 0

    def handled(self, size: int) -> None:
        """An object with a data set of that size has been handled."""
        self.waiting = max(0, self.waiting - size - size // _SHARE - _WRAPPING)

    def recv(self, count: int) -> bytearray:
        """As many bytes; fewer when the connection ends.

        Raises:
            OSError: when they take too long or are too many, which ends the connection.
        """
        if count > _PDU:  # said, and not sent yet: it does not count
            raise OSError("a PDU is larger than may be sent")
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
                self.waiting += len(part)
                if not self._guards.allow(self):
                    raise OSError("more is sent than can be kept")
        finally:
            connection.settimeout(usual)
        return read
