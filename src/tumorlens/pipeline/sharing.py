"""Chunks of files answered side by side, in order: by processes on this machine, or on a Ray cluster through Ray Data.

Processes rather than threads: a DICOM header is read in Python, and more than a few threads would wait for each other.
Whoever answers does the same, :class:`tumorlens.pipeline.answering.Answerer`. What a worker that dies was at is asked
again; where it dies again, its files are asked one by one, and the one that kills its worker becomes a failure.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import chain, islice
from multiprocessing.connection import wait
from typing import Any

import numpy as np

from tumorlens.errors import EnvironmentFailure, InputError, MissingExtraError, TumorLensError
from tumorlens.pipeline.answering import Answerer, Order, Part, failed, items_of, joined, packed, part_of
from tumorlens.pipeline.model import Model
from tumorlens.pipeline.reporter import Reporter
from tumorlens.pipeline.spreading import Workers, cluster, cores, processors

# Chunks that wait for each worker, so that none stands still while an answer travels.
_AHEAD = 2
# Times that Ray asks again what a worker has died of, or with.
_RETRIES = 2
# Chunks that Ray Data gets at a time, all in memory; of these, so many a task.
_WINDOW, _TASK = 4096, 4


def check(workers: Workers) -> None:
    """Refuse what cannot work before anything is done.

    Raises:
        MissingExtraError: without Ray Data, when a cluster is named.
    """
    if workers.ray:
        try:
            import ray.data  # noqa: F401 - whether it is there
        except ImportError:
            raise MissingExtraError("Ray Data", "ray") from None


def connected(workers: Workers, tell: Reporter) -> AbstractContextManager[None]:
    """Inside, this process belongs to the cluster, where one is named.

    Raises:
        EnvironmentFailure: ``no_cluster``.
    """
    return cluster(workers.ray, tell) if workers.ray else nullcontext()


def answered(
    chunks: Iterator[bytes], order: Order, workers: Workers, model: Model, tell: Reporter, *, apart: bool = False
) -> Generator[bytes, None, None]:
    """The packed parts for packed chunks, in the order of the chunks, which are taken a few ahead.

    Args:
        chunks: lists of :class:`tumorlens.data.inputs.Item`.
        order: how to answer; the threads are those of one worker.
        workers: how many at a time, 0 for as many as there are processors; and on which cluster, :func:`connected` to.
        model: of the order, in this process.
        tell: told about workers that die.
        apart: in processes of their own, also where one would do: a file may kill whoever reads it.

    Raises:
        EnvironmentFailure: ``workers_died`` when workers die without a file, or the cluster has given up.
    """
    if workers.ray:
        while window := list(islice(chunks, _WINDOW)):
            yield from _on_ray(window, order, workers.jobs, model.labels, tell)
        return
    jobs = workers.jobs or cores()
    first = list(islice(chunks, 2))
    chunks = chain(first, chunks)
    if not apart and (jobs == 1 or len(first) < 2):  # not worth a process
        yield from map(Answerer(order, model), chunks)
        return
    yield from _in_processes(chunks, order, jobs, model.labels, tell)


def _in_processes(
    chunks: Iterator[bytes], order: Order, jobs: int, labels: Sequence[str], tell: Reporter
) -> Iterator[bytes]:
    waiting: deque[bytes] = deque()
    died = False  # since the last answer
    while True:
        try:
            with _pool(jobs, order) as pool:
                futures: deque[Future[bytes]] = deque(pool.submit(_answer, chunk) for chunk in waiting)
                while True:
                    ready = bool(futures) and futures[0].done()  # first: to take more may mean to wait for a list
                    if not ready and len(futures) < _AHEAD * jobs and (chunk := next(chunks, None)) is not None:
                        waiting.append(chunk)
                        futures.append(pool.submit(_answer, chunk))
                        continue
                    if not futures:
                        return
                    part = futures.popleft().result()
                    waiting.popleft()
                    died = False
                    yield part
        except BrokenProcessPool:
            tell.warn("a worker died; what it was at is asked again")
        if died:  # which of several died is not known, but the first in line is always one of them
            yield packed(_one_by_one(waiting.popleft(), order, labels))
        died = True


def _one_by_one(chunk: bytes, order: Order, labels: Sequence[str]) -> Part:
    """The part for a chunk that a worker may have died of.

    Raises:
        EnvironmentFailure: ``workers_died`` when a worker dies before it is asked about a file.
    """
    part = _alone(chunk, order)
    if part is not None:
        return part
    if _alone(packed([]), order) is None:
        raise EnvironmentFailure(
            "workers die before they are asked about a file",
            hint="is there enough memory? Try fewer --jobs; --resume goes on",
            code="workers_died",
        )
    items = items_of(chunk)
    if len(items) > 1:
        half = len(items) // 2
        return joined(_one_by_one(packed(some), order, labels) for some in (items[:half], items[half:]))
    crashed = InputError(
        f"{items[0].path} killed the process that read it",
        hint="it is damaged, or needs more memory than there is; export it again",
        code="crashed",
    )
    return failed(items[0], crashed, order.form, labels)


def _alone(chunk: bytes, order: Order) -> Part | None:
    """The part for a chunk from a process of its own; None when that dies."""
    try:
        with _pool(1, order) as pool:
            return part_of(pool.submit(_answer, chunk).result())
    except BrokenProcessPool:
        return None


@contextmanager
def _pool(jobs: int, order: Order) -> Iterator[ProcessPoolExecutor]:
    """Processes that answer; whatever goes wrong ends them at once."""
    # Spawned: a fork would copy the threads of the runtime half.
    pool = ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), _begin, (order,))
    try:
        yield pool
    except BaseException:
        for process in dict(pool._processes or {}).values():  # nothing public ends them before Python 3.14
            process.terminate()
        raise
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


# Of a process of the pool.
_answerer: Answerer


def _begin(order: Order) -> None:
    global _answerer
    _answerer = Answerer(order)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all of them; what to do is decided by the first
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(parent: int) -> None:
    """Nobody else would end a process whose parent was killed."""
    wait([parent])
    os._exit(1)


def _answer(chunk: bytes) -> bytes:
    return _answerer(chunk)


class _Actor:
    """What Ray Data keeps in a worker."""

    def __init__(self, order: Order) -> None:
        self._answerer = Answerer(order)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        parts = np.array([self._answerer(chunk) for chunk in batch["chunk"]], dtype=object)
        return {"number": batch["number"], "part": parts}


def _on_ray(chunks: list[bytes], order: Order, jobs: int, labels: Sequence[str], tell: Reporter) -> Iterator[bytes]:
    """The parts for some chunks. Ray starts what dies again, on another machine if need be, and asks it again.

    What dies each time is left out of Ray's answers, and asked here, file by file.
    """
    import ray.data

    for handler in logging.getLogger("ray.data").handlers:
        if handler.name == "console":  # its own log file keeps what it has to say
            handler.setLevel(logging.CRITICAL)
    context = ray.data.DataContext.get_current()
    context.execution_options.preserve_order = True
    context.enable_progress_bars = False
    context.max_errored_blocks = -1
    at_once = max(1, processors())  # a machine may have left
    tasks = -(-len(chunks) // _TASK)
    # Workers of half a processor each, as many as there are processors: those of a machine that dies find room.
    rows = [{"number": number, "chunk": chunk} for number, chunk in enumerate(chunks)]
    parts = ray.data.from_items(rows, override_num_blocks=tasks).map_batches(
        _Actor,
        fn_constructor_args=(order,),
        batch_size=1,
        compute=ray.data.ActorPoolStrategy(size=min(jobs or at_once, at_once, tasks)),
        num_cpus=0.5,
        max_task_retries=_RETRIES,
    )

    def left_out(upto: int) -> Iterator[bytes]:
        for chunk in chunks[count:upto]:
            tell.warn("a worker died; what it was at is asked again on this machine")
            yield packed(_one_by_one(chunk, order, labels))

    count = 0
    try:
        for row in parts.iter_rows():
            yield from left_out(row["number"])
            count = row["number"] + 1
            yield row["part"]
        yield from left_out(len(chunks))
    except TumorLensError:
        raise
    except Exception as error:  # Ray has no common error
        raise EnvironmentFailure(
            f"the Ray cluster has given up: {error}",
            hint="ray status tells what is left of it; --resume goes on",
            code="workers_died",
        ) from error
