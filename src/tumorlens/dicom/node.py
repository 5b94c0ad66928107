"""The network node: takes MR instances in, answers series, sends the results on."""

from __future__ import annotations

import shutil
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tumorlens import __version__
from tumorlens.dicom.answering import objects_of
from tumorlens.dicom.closing import announced
from tumorlens.dicom.guarding import Guard, guard
from tumorlens.dicom.journal import JOURNAL, Journal
from tumorlens.dicom.places import place
from tumorlens.dicom.queue import Queue
from tumorlens.dicom.sending import send
from tumorlens.errors import EnvironmentFailure, InputError, TumorLensError
from tumorlens.io.atomic import writing
from tumorlens.io.guard import extra, quiet
from tumorlens.pipeline.locking import held
from tumorlens.pipeline.model import Model

# PS3.4 table B.2-1: what a sender is told.
_SUCCESS, _FULL, _CANNOT = 0x0000, 0xA700, 0xC000
_FAILURE = 0x0110  # PS3.7 C.5.11: processing failure
_DEFLATED = "1.2.840.10008.1.2.1.99"
_LEAST_WAIT, _MOST_WAIT = 2.0, 20.0
_TRIES = 5
_PLACES = 50  # connections that have not said anything yet take one, too, for as long as the time-out of ACSE
_KEPT = 24 * 3600.0
_BIG = 512 << 20  # of an object; it is in memory while it comes


@dataclass(frozen=True)
class NodeOptions:
    """How a node behaves.

    Attributes:
        folder: where its queue lies.
        title: its AE title.
        host: address to listen on.
        port: likewise.
        destinations: where results go, as :func:`tumorlens.dicom.places.place` reads them.
        callers: AE titles that may send; empty for any.
        quiet: seconds after the last instance after which a series counts as complete.
        free: bytes that have to stay free on the disk.
        on_release: whether a series is complete when the association that sent it is released.
    """

    folder: Path
    title: str = "TUMORLENS"
    host: str = "127.0.0.1"
    port: int = 11112
    destinations: tuple[str, ...] = ()
    callers: tuple[str, ...] = ()
    quiet: float = 10.0
    free: int = 1 << 30
    on_release: bool = False


class Node:
    """A running node.

    Args:
        options: how it behaves.
        model: that answers.

    Raises:
        EnvironmentFailure: when its folder or its address cannot be used.
        UsageError: ``running``, when another node has the folder.
        MissingExtraError: without pynetdicom.
    """

    def __init__(self, options: NodeOptions, model: Model) -> None:
        for destination in options.destinations:
            place(destination)
        self._options, self._model = options, model
        self._stopping = threading.Event()
        self._senders = ThreadPoolExecutor(max(1, len(options.destinations)), thread_name_prefix="send")
        self._deliveries: dict[str, Future[None]] = {}
        self._guards: dict[int, Guard] = {}  # by association, like the series that came over it
        self._sent: dict[int, set[str]] = defaultdict(set)
        with writing(options.folder):
            options.folder.mkdir(parents=True, exist_ok=True)
        with ExitStack() as undo:  # of a start that fails
            undo.enter_context(held(options.folder))
            self.queue = Queue(options.folder)
            undo.callback(self.queue.close)
            self.journal = Journal(options.folder / JOURNAL)
            undo.callback(self.journal.close)
            self._server = self._listen()
            self._closing = undo.pop_all()
        self.port: int = self._server.server_address[1]
        self._threads = [
            threading.Thread(target=self._repeat, args=(work,), name=work.__name__, daemon=True)
            for work in (self._answer, self._send, self._tidy)
        ]
        for thread in self._threads:
            thread.start()
        self.journal.note("started", version=__version__, model=model.predictor.bundle.sha256, port=self.port)

    def stop(self) -> None:
        """Take nothing more, finish what is in hand, close."""
        self._stopping.set()
        self._server.shutdown()
        for thread in self._threads:
            thread.join()
        self._senders.shutdown()
        self.journal.note("stopped")
        self._closing.close()

    def _listen(self) -> Any:
        with extra("pynetdicom", "dicom"):
            from pynetdicom import AE, ALL_TRANSFER_SYNTAXES, evt
            from pynetdicom.sop_class import (  # type: ignore[attr-defined]
                EnhancedMRImageStorage,
                InstanceAvailabilityNotification,
                LegacyConvertedEnhancedMRImageStorage,
                MRImageStorage,
                Verification,
            )
        # Deflated data would be unpacked, whatever they unpack to, before they could be looked at.
        syntaxes = [uid for uid in ALL_TRANSFER_SYNTAXES if uid != _DEFLATED]
        entity = AE(ae_title=self._options.title)
        entity.require_called_aet = False
        entity.require_calling_aet = list(self._options.callers)
        entity.maximum_associations = _PLACES
        entity.acse_timeout, entity.dimse_timeout, entity.network_timeout = 5, 30, 30
        for context in (Verification, InstanceAvailabilityNotification):
            entity.add_supported_context(context)
        for context in (MRImageStorage, EnhancedMRImageStorage, LegacyConvertedEnhancedMRImageStorage):
            entity.add_supported_context(context, syntaxes)
        handlers = [
            (evt.EVT_C_STORE, self._store),
            (evt.EVT_C_ECHO, self._echo),
            (evt.EVT_N_CREATE, self._announced),
            (evt.EVT_REJECTED, self._rejected),
            (evt.EVT_CONN_OPEN, self._opened),
            (evt.EVT_RELEASED, self._released),
            (evt.EVT_CONN_CLOSE, self._gone),
        ]
        try:
            return entity.start_server(
                (self._options.host, self._options.port),
                block=False,
                evt_handlers=handlers,  # type: ignore[arg-type]
            )
        except (OSError, OverflowError) as error:
            raise EnvironmentFailure(
                f"cannot listen on {self._options.host}:{self._options.port}: {error}",
                hint="another program may use the port: see --host and --port",
            ) from None

    def _echo(self, event: Any) -> int:
        return _SUCCESS

    def _rejected(self, event: Any) -> None:
        self.journal.note("association rejected")

    def _announced(self, event: Any) -> tuple[int, None]:
        """Somebody says what a study holds: what is complete by that need not be waited for."""
        try:
            for series, instances in announced(event.attribute_list).items():
                if self.queue.close_series(series, instances):
                    self.journal.note("closed", series=series, reason="announced")
        except Exception as error:  # noqa: BLE001 - a hostile data set
            self.journal.note("refused", reason=type(error).__name__)
            return _FAILURE, None
        return _SUCCESS, None

    def _released(self, event: Any) -> None:
        if self._options.on_release:
            for series in self._sent.pop(id(event.assoc), ()):
                if self.queue.close_series(series):
                    self.journal.note("closed", series=series, reason="released")

    def _opened(self, event: Any) -> None:
        self._guards[id(event.assoc)] = guard(event.assoc, _BIG)

    def _gone(self, event: Any) -> None:
        self._sent.pop(id(event.assoc), None)
        self._guards.pop(id(event.assoc), None)

    def _store(self, event: Any) -> int:
        """Keep an instance; what is acknowledged is on the disk."""
        if id(event.assoc) in self._guards:
            self._guards[id(event.assoc)].object_ended()
        with quiet():
            return self._kept(event)

    def _kept(self, event: Any) -> int:
        try:
            if shutil.disk_usage(self._options.folder).free < self._options.free:
                self.journal.note("refused", reason="watermark")
                return _FULL
            about = event.request
            sop = str(about.AffectedSOPInstanceUID)
            head = event.dataset
            series, study = str(head.get("SeriesInstanceUID") or ""), str(head.get("StudyInstanceUID") or "")
            if not sop or not series or not study or sop != str(head.get("SOPInstanceUID")):
                self.journal.note("refused", reason="identifiers")
                return _CANNOT
            new = self.queue.receive(sop, series, study, event.encoded_dataset())
            self._sent[id(event.assoc)].add(series)
            self.journal.note("received" if new else "received again", sop=sop, series=series)
            return _SUCCESS
        except EnvironmentFailure as error:
            self.journal.note("refused", reason=error.code)
            return _FULL
        except Exception as error:  # noqa: BLE001 - a hostile data set; the sender is told, the node lives on
            self.journal.note("refused", reason=type(error).__name__)
            return _CANNOT

    def _repeat(self, work: Callable[[], None]) -> None:
        while not self._stopping.wait(0.5):
            try:
                work()
            except Exception as error:  # noqa: BLE001 - the next round tries again
                self.journal.note("fault", reason=type(error).__name__)
                self._stopping.wait(2)

    def _answer(self) -> None:
        for series in self.queue.ready(self._options.quiet):
            if self._stopping.is_set():
                return
            instances = self.queue.instances(series)
            begun = time.monotonic()
            try:
                with quiet():
                    made = objects_of(instances, self._model)
                done = self.queue.answered(series, [one.sop for one in instances], made, self._options.destinations)
            except InputError as error:
                self.queue.refused(series, error.code)
                self.journal.note("series refused", series=series, reason=error.code)
                continue
            except Exception as error:  # noqa: BLE001 - one series must not stop the others
                reason = error.code if isinstance(error, TumorLensError) else type(error).__name__
                if self.queue.failed(series, reason, _MOST_WAIT) >= _TRIES:
                    self.queue.refused(series, reason)
                self.journal.note("series failed", series=series, reason=reason)
                continue
            if done:
                self.journal.note(
                    "answered", series=series, instances=len(instances), objects=len(made),
                    seconds=round(time.monotonic() - begun, 2),
                )  # fmt: skip

    def _send(self) -> None:
        """Give every destination that something waits for a thread, so that one that is away holds up no other."""
        for destination in self.queue.waiting():
            current = self._deliveries.get(destination)
            if current is None or current.done():
                self._deliveries[destination] = self._senders.submit(self._deliver, destination)

    def _deliver(self, destination: str) -> None:
        while not self._stopping.is_set() and (objects := self.queue.due(destination)):
            try:
                failed = send(destination, objects, self._options.title)
            except Exception as error:  # noqa: BLE001 - whatever it was, they wait and are tried again
                failed = {one.sop: type(error).__name__ for one in objects}
            for one in objects:
                if one.sop in failed:
                    self.queue.unsent(one, min(_MOST_WAIT, _LEAST_WAIT * 2**one.attempts))
                    self.journal.note("not sent", sop=one.sop, reason=failed[one.sop], attempts=one.attempts + 1)
                else:
                    self.queue.sent(one)
                    self.journal.note("sent", sop=one.sop)

    def _tidy(self) -> None:
        self.queue.forget(_KEPT)
        self._stopping.wait(60)
