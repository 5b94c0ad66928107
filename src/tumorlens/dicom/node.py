"""The network node: takes MR instances in, answers series, sends the results on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import ExitStack

from tumorlens import __version__
from tumorlens.dicom.answering import objects_of
from tumorlens.dicom.delivering import Deliverer
from tumorlens.dicom.journal import JOURNAL, Journal
from tumorlens.dicom.options import NodeOptions
from tumorlens.dicom.queue import Queue
from tumorlens.dicom.receiving import Receiver
from tumorlens.errors import EnvironmentFailure, InputError, TumorLensError
from tumorlens.io.atomic import writing
from tumorlens.io.guard import quiet
from tumorlens.pipeline.locking import held
from tumorlens.pipeline.model import Model

_WAIT = 20.0
_TRIES = 5
_KEPT = 24 * 3600.0


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
        self._options, self._model = options, model
        self._stopping = threading.Event()
        with writing(options.folder):
            options.folder.mkdir(parents=True, exist_ok=True)
        with ExitStack() as undo:  # of a start that fails
            undo.enter_context(held(options.folder))
            self.queue = Queue(options.folder)
            undo.callback(self.queue.close)
            self.journal = Journal(options.folder / JOURNAL)
            undo.callback(self.journal.close)
            for series, attempts in self.queue.killed(_WAIT).items():
                self._failed(series, [one.sop for one in self.queue.instances(series)], attempts, "crashed")
            self._receiver = Receiver(options, self.queue, self.journal)
            self._closing = undo.pop_all()
        self.port = self._receiver.port
        self.journal.note("started", version=__version__, model=model.predictor.bundle.sha256, port=self.port)
        self._deliverer = Deliverer(options, self.queue, self.journal)
        self._threads = [
            threading.Thread(target=self._repeat, args=(work,), name=work.__name__, daemon=True)
            for work in (self._answer, self._deliverer.look, self._tidy)
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Take nothing more, finish what is in hand, close."""
        self._stopping.set()
        self._receiver.stop()
        for thread in self._threads:
            thread.join()
        self._deliverer.stop()
        self.journal.note("stopped")
        self._closing.close()

    def _repeat(self, work: Callable[[], None]) -> None:
        while not self._stopping.wait(0.5):
            try:
                work()
            except Exception as error:  # noqa: BLE001 - the next round tries again
                self.journal.note("fault", reason=_reason(error))
                self._stopping.wait(2)

    def _answer(self) -> None:
        for series in self.queue.ready(self._options.quiet):
            if self._stopping.is_set():
                return
            self.queue.begun(series)  # on the disk before anything of it is decoded, which may kill the program
            try:
                self._answer_series(series)
            finally:
                self.queue.ended(series)

    def _answer_series(self, series: str) -> None:
        instances = self.queue.instances(series)
        seen = [one.sop for one in instances]
        begun = time.monotonic()
        try:
            with quiet():
                made = objects_of(instances, self._model)
            done = self.queue.answered(series, seen, made, self._options.destinations)
        except InputError as error:
            if self.queue.refused(series, seen, error.code):
                self.journal.note("series refused", series=series, reason=error.code)
            return
        except EnvironmentFailure:
            raise  # a full disk is no fault of the series, however long it lasts
        except Exception as error:  # noqa: BLE001 - one series must not stop the others
            reason = _reason(error)
            self._failed(series, seen, self.queue.failed(series, reason, _WAIT), reason)
            return
        if done:
            self.journal.note(
                "answered", series=series, instances=len(instances), objects=len(made),
                seconds=round(time.monotonic() - begun, 2),
            )  # fmt: skip

    def _failed(self, series: str, seen: list[str], attempts: int, reason: str) -> None:
        """Give a series up that answering has failed with too often."""
        if attempts >= _TRIES:
            self.queue.refused(series, seen, reason)
        self.journal.note("series failed", series=series, reason=reason)

    def _tidy(self) -> None:
        self.queue.forget(_KEPT)
        self._stopping.wait(60)


def _reason(error: Exception) -> str:
    """Which error it was, without what it says: that may name somebody."""
    return error.code if isinstance(error, TumorLensError) else type(error).__name__


__all__ = ["Node", "NodeOptions"]
