"""The side of a node that sends: each destination in its own thread, so that one that is away holds up no other."""

from __future__ import annotations

import math
import threading
from concurrent.futures import Future, ThreadPoolExecutor

from tumorlens.dicom.journal import Journal
from tumorlens.dicom.options import NodeOptions
from tumorlens.dicom.queue import Queue, Sending
from tumorlens.dicom.sending import send

_LEAST_WAIT, _MOST_WAIT, _DOUBLINGS = 2.0, 20.0, 4


class Deliverer:
    """Sends what is due, again and again until it is taken.

    Args:
        options: of the node.
        queue: with what is due.
        journal: where it is told.
    """

    def __init__(self, options: NodeOptions, queue: Queue, journal: Journal) -> None:
        self._options, self._queue, self._journal = options, queue, journal
        self._stopping = threading.Event()
        self._pool = ThreadPoolExecutor(max(1, len(options.destinations)), thread_name_prefix="send")
        self._running: dict[str, Future[None]] = {}
        if set(queue.waiting(math.inf)) - set(options.destinations):  # also what is tried again later
            journal.note("kept back", reason="destinations that are not named any more")

    def stop(self) -> None:
        """Finish what is on its way, send nothing more."""
        self._stopping.set()
        self._pool.shutdown()

    def look(self) -> None:
        """Start sending to each destination that something waits for."""
        for destination in set(self._queue.waiting()) & set(self._options.destinations):
            running = self._running.get(destination)
            if running is None or running.done():
                if running is not None and running.exception() is not None:
                    self._journal.note("fault", reason=type(running.exception()).__name__)
                self._running[destination] = self._pool.submit(self._deliver, destination)

    def _deliver(self, destination: str) -> None:
        while not self._stopping.is_set() and (objects := self._queue.due(destination)):
            waiting = {one.sop: one for one in objects}
            try:
                for one, reason in send(destination, objects, self._options.title):
                    del waiting[one.sop]
                    if reason:
                        self._again(one, reason)
                    else:
                        self._queue.sent(one)
                        self._journal.note("sent", sop=one.sop)
            except Exception as error:  # noqa: BLE001 - whatever it was, they wait and are tried again
                for one in waiting.values():
                    self._again(one, type(error).__name__)

    def _again(self, one: Sending, reason: str) -> None:
        self._queue.unsent(one, min(_MOST_WAIT, _LEAST_WAIT * 2 ** min(one.attempts, _DOUBLINGS)))
        self._journal.note("not sent", sop=one.sop, reason=reason, attempts=one.attempts + 1)
