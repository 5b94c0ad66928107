"""The network node: takes MR instances in, answers series, sends the results on."""

from __future__ import annotations

import shutil
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tumorlens import __version__
from tumorlens.dicom.answering import objects_of
from tumorlens.dicom.journal import Journal
from tumorlens.dicom.places import place
from tumorlens.dicom.queue import Queue, Sending
from tumorlens.dicom.sending import send
from tumorlens.errors import EnvironmentFailure, InputError, TumorLensError
from tumorlens.io.guard import extra
from tumorlens.pipeline.model import Model

# PS3.4 table B.2-1: what a sender is told.
_SUCCESS, _FULL, _CANNOT = 0x0000, 0xA700, 0xC000
_DEFLATED = "1.2.840.10008.1.2.1.99"
_LEAST_WAIT, _MOST_WAIT = 2.0, 20.0
_TRIES = 5
_KEPT = 24 * 3600.0
_BIG = 4096 << 20


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
    """

    folder: Path
    title: str = "TUMORLENS"
    host: str = "127.0.0.1"
    port: int = 11112
    destinations: tuple[str, ...] = ()
    callers: tuple[str, ...] = ()
    quiet: float = 10.0
    free: int = 1 << 30


class Node:
    """A running node.

    Args:
        options: how it behaves.
        model: that answers.

    Raises:
        EnvironmentFailure: when its folder or its address cannot be used.
        MissingExtraError: without pynetdicom.
    """

    def __init__(self, options: NodeOptions, model: Model) -> None:
        for destination in options.destinations:
            place(destination)
        self._options, self._model = options, model
        self.queue = Queue(options.folder)
        self.journal = Journal(options.folder / "audit.jsonl")
        self._stopping = threading.Event()
        self._server = self._listen()
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
        self.journal.note("stopped")
        self.journal.close()
        self.queue.close()

    def _listen(self) -> Any:
        with extra("pynetdicom", "dicom"):
            from pynetdicom import AE, ALL_TRANSFER_SYNTAXES, evt
            from pynetdicom.sop_class import (  # type: ignore[attr-defined]
                EnhancedMRImageStorage,
                LegacyConvertedEnhancedMRImageStorage,
                MRImageStorage,
                Verification,
            )
        # Deflated data would be unpacked, whatever they unpack to, before they could be looked at.
        syntaxes = [uid for uid in ALL_TRANSFER_SYNTAXES if uid != _DEFLATED]
        entity = AE(ae_title=self._options.title)
        entity.require_called_aet = False
        entity.require_calling_aet = list(self._options.callers)
        entity.maximum_associations = 20
        entity.acse_timeout, entity.dimse_timeout, entity.network_timeout = 10, 30, 30
        entity.add_supported_context(Verification)
        for context in (MRImageStorage, EnhancedMRImageStorage, LegacyConvertedEnhancedMRImageStorage):
            entity.add_supported_context(context, syntaxes)
        handlers = [(evt.EVT_C_STORE, self._store), (evt.EVT_C_ECHO, self._echo), (evt.EVT_REJECTED, self._rejected)]
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

    def _store(self, event: Any) -> int:
        """Keep an instance; what is acknowledged is on the disk."""
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
            content = event.encoded_dataset()
            if len(content) > _BIG:
                return _CANNOT
            new = self.queue.receive(sop, series, study, content)
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
        waiting: dict[str, list[Sending]] = defaultdict(list)
        for one in self.queue.due():
            waiting[one.destination].append(one)
        for destination, objects in waiting.items():
            if self._stopping.is_set():
                return
            failed = send(destination, objects, self._options.title)
            for one in objects:
                if one.sop in failed:
                    wait = min(_MOST_WAIT, _LEAST_WAIT * 2**one.attempts)
                    self.queue.unsent(one, wait)
                    self.journal.note("not sent", sop=one.sop, reason=failed[one.sop], attempts=one.attempts + 1)
                else:
                    self.queue.sent(one)
                    self.journal.note("sent", sop=one.sop)

    def _tidy(self) -> None:
        self.queue.forget(_KEPT)
        self._stopping.wait(60)
