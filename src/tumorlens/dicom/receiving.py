"""The side of a node that listens: who may send what, and what is on the disk before it is acknowledged."""

from __future__ import annotations

import shutil
from typing import Any

from tumorlens.dicom.closing import announced
from tumorlens.dicom.guarding import Guards
from tumorlens.dicom.journal import Journal
from tumorlens.dicom.options import NodeOptions
from tumorlens.dicom.queue import Queue
from tumorlens.dicom.uids import is_uid
from tumorlens.errors import EnvironmentFailure
from tumorlens.io.guard import extra, quiet

# PS3.4 table B.2-1, PS3.7 C.5.11: what a sender is told.
_SUCCESS, _FULL, _CANNOT, _FAILURE = 0x0000, 0xA700, 0xC000, 0x0110
_DEFLATED = "1.2.840.10008.1.2.1.99"
_PLACES = 50  # connections that have not said anything yet take one, too, for as long as the time-out of ACSE
_BIG, _TOGETHER = 512 << 20, 1 << 30  # bytes of objects, which are in memory while they come
_END_SECONDS = 10


class Receiver:
    """A server for C-STORE, C-ECHO and Instance Availability Notifications.

    Args:
        options: of the node.
        queue: where instances are kept.
        journal: where it is told.

    Raises:
        EnvironmentFailure: when the address cannot be used.
        MissingExtraError: without pynetdicom.
    """

    def __init__(self, options: NodeOptions, queue: Queue, journal: Journal) -> None:
        self._options, self._queue, self._journal = options, queue, journal
        self._guards = Guards(_BIG, _TOGETHER)
        self._server = self._listen()
        self.port: int = self._server.server_address[1]

    def stop(self) -> None:
        """Take nothing more: associations are aborted, so that senders try again later."""
        entity = self._server.ae
        open_ones = list(entity.active_associations)
        entity.shutdown()
        for association in open_ones:
            association.join(_END_SECONDS)  # what it is keeping is kept

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
        for context in (
            Verification,
            InstanceAvailabilityNotification,
            MRImageStorage,
            EnhancedMRImageStorage,
            LegacyConvertedEnhancedMRImageStorage,
        ):
            entity.add_supported_context(context, syntaxes)
        handlers = [
            (evt.EVT_C_STORE, self._store),
            (evt.EVT_C_ECHO, self._echo),
            (evt.EVT_N_CREATE, self._announced),
            (evt.EVT_REJECTED, self._rejected),
            (evt.EVT_CONN_OPEN, self._opened),
            (evt.EVT_RELEASED, self._released),
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

    def _opened(self, event: Any) -> None:
        # They end with the association, whatever ends that.
        event.assoc.tumorlens_guard = self._guards.add(event.assoc)
        event.assoc.tumorlens_series = set()

    def _echo(self, event: Any) -> int:
        return _SUCCESS

    def _rejected(self, event: Any) -> None:
        self._journal.note("association rejected")

    def _announced(self, event: Any) -> tuple[int, None]:
        """Somebody says what a study holds: what is complete by that need not be waited for."""
        with quiet():
            try:
                for series, instances in announced(event.attribute_list).items():
                    if self._queue.close_series(series, instances):
                        self._journal.note("closed", series=series, reason="announced")
            except Exception as error:  # noqa: BLE001 - a hostile data set
                self._journal.note("refused", reason=type(error).__name__)
                return _FAILURE, None
        return _SUCCESS, None

    def _released(self, event: Any) -> None:
        if self._options.on_release:
            for series in event.assoc.tumorlens_series:
                if self._queue.close_series(series):
                    self._journal.note("closed", series=series, reason="released")

    def _store(self, event: Any) -> int:
        """Keep an instance; what is acknowledged is on the disk."""
        with quiet():
            try:
                return self._kept(event)
            except EnvironmentFailure as error:
                self._journal.note("refused", reason=error.code)
                return _FULL
            except Exception as error:  # noqa: BLE001 - a hostile data set; the sender is told, the node lives on
                self._journal.note("refused", reason=type(error).__name__)
                return _CANNOT
            finally:
                event.assoc.tumorlens_guard.handled(_size(event))

    def _kept(self, event: Any) -> int:
        about = event.request
        if shutil.disk_usage(self._options.folder).free < self._options.free:
            self._journal.note("refused", reason="watermark")
            return _FULL
        if about.AffectedSOPClassUID != event.context.abstract_syntax:
            self._journal.note("refused", reason="sop_class")
            return _CANNOT
        head = event.dataset
        sop, series, study = (str(head.get(f"{name}InstanceUID") or "") for name in ("SOP", "Series", "Study"))
        if sop != str(about.AffectedSOPInstanceUID) or not all(map(is_uid, (sop, series, study))):
            self._journal.note("refused", reason="identifiers")
            return _CANNOT
        new = self._queue.receive(sop, series, study, event.encoded_dataset())
        event.assoc.tumorlens_series.add(series)
        self._journal.note("received" if new else "received again", sop=sop, series=series)
        return _SUCCESS


def _size(event: Any) -> int:
    content = event.request.DataSet
    return len(content.getbuffer()) if content is not None else 0
