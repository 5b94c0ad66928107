"""One model for many requests: slices that wait at the same time are answered in one call of the network."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from tumorlens.inference import Prediction
from tumorlens.io.slice import Slice

#: Slices of one call.
BATCH = 32


@dataclass(frozen=True)
class _Job:
    slices: Sequence[Slice]
    answers: Future[list[Prediction]]


class Batcher:
    """Answers slices in a thread of its own.

    Nothing waits for a batch to fill: the first slices are answered at once, and those that come meanwhile together.

    Args:
        predict: from slices to answers, in order.
        seen: told how many slices each call had.
    """

    def __init__(
        self, predict: Callable[[Sequence[Slice]], list[Prediction]], seen: Callable[[int], None] = lambda _: None
    ) -> None:
        self._predict, self._seen = predict, seen
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="batches", daemon=True)
        self._thread.start()

    def submit(self, slices: Sequence[Slice]) -> Future[list[Prediction]]:
        """The answers for slices, later."""
        answers: Future[list[Prediction]] = Future()
        self._jobs.put(_Job(slices, answers))
        return answers

    def close(self) -> None:
        """Answer what waits, then end the thread."""
        self._jobs.put(None)
        self._thread.join()

    def _work(self) -> None:
        ending = False
        while not ending:
            jobs: list[_Job] = []
            count = 0
            job = self._jobs.get()
            while job is not None:
                if job.answers.set_running_or_notify_cancel():
                    jobs.append(job)
                    count += len(job.slices)
                if count >= BATCH:
                    break
                try:
                    job = self._jobs.get_nowait()
                except queue.Empty:
                    break
            ending = job is None
            if jobs:
                self._answer(jobs, count)

    def _answer(self, jobs: Sequence[_Job], count: int) -> None:
        self._seen(count)
        try:
            answers = iter(self._predict([item for job in jobs for item in job.slices]))
            for job in jobs:
                job.answers.set_result([next(answers) for _ in job.slices])
        except Exception as error:  # noqa: BLE001 - whoever waits is told, and the thread lives on
            for job in jobs:
                if not job.answers.done():
                    job.answers.set_exception(error)
