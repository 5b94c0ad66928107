"""Chunks of files answered side by side, in order: by processes on this machine, or on a Ray cluster through Ray Data.

Processes rather than threads: a DICOM header is read in Python, and more than a few threads would wait for each other.
Whoever answers does the same, :class:`tumorlens.pipeline.answering.Answerer`; what a worker that dies was at is asked
again.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import chain, islice
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

import numpy as np

from tumorlens.errors import EnvironmentFailure, MissingExtraError
from tumorlens.pipeline.answering import Answerer, Order
from tumorlens.pipeline.model import Model
from tumorlens.pipeline.reporter import Reporter
from tumorlens.pipeline.spreading import Workers, cluster, processors

# Chunks that wait for each worker, so that none stands still while an answer travels.
_AHEAD = 2
# Times in a row that a worker dies before a chunk is answered.
_PATIENCE = 3
# Chunks that Ray Data gets at a time, all in memory; of these, so many a task.
_WINDOW, _TASK = 4096, 4


def cores() -> int:
    """Processors that this process may use: by its affinity, and by the quota of its container (cgroup v2)."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return count if quota == "max" else max(1, min(count, round(int(quota) / int(period))))
    except (OSError, ValueError):
        return count


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


def answered(
    chunks: Iterator[bytes], order: Order, workers: Workers, model: Model, tell: Reporter
) -> Generator[bytes, None, None]:
    """The packed parts for packed chunks, in the order of the chunks, which are taken a few ahead.

    Args:
        chunks: lists of :class:`tumorlens.data.inputs.Item`.
        order: how to answer; the threads are those of one worker.
        workers: how many at a time, 0 for as many as there are processors; and on which cluster.
        model: of the order, in this process.
        tell: told about workers that die.

    Raises:
        EnvironmentFailure: ``workers_died`` when workers keep dying, ``no_cluster``.
    """
    if workers.ray:
        with cluster(workers.ray, tell):
            while window := list(islice(chunks, _WINDOW)):
                yield from _on_ray(window, order, workers.jobs)
        return
    jobs = workers.jobs or cores()
    first = list(islice(chunks, 2))
    chunks = chain(first, chunks)
    if jobs == 1 or len(first) < 2:  # not worth a process
        yield from map(Answerer(order, model), chunks)
        return
    yield from _in_processes(chunks, order, jobs, tell)


def _in_processes(chunks: Iterator[bytes], order: Order, jobs: int, tell: Reporter) -> Iterator[bytes]:
    waiting: deque[bytes] = deque()
    idle = 0
    while True:
        # Spawned: a fork would copy the threads of the runtime half.
        pool = ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), _begin, (order,))
        try:
            futures: deque[Future[bytes]] = deque(pool.submit(_answer, chunk) for chunk in waiting)
            while True:
                for chunk in islice(chunks, _AHEAD * jobs - len(futures)):
                    waiting.append(chunk)
                    futures.append(pool.submit(_answer, chunk))
                if not futures:
                    return
                part = futures.popleft().result()
                waiting.popleft()
                idle = 0
                yield part
        except BrokenProcessPool as died:
            idle = _again(idle, died, tell)
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
        return {"part": np.array([self._answerer(chunk) for chunk in batch["chunk"]], dtype=object)}


def _on_ray(chunks: list[bytes], order: Order, jobs: int) -> Iterator[bytes]:
    """The parts for some chunks. Ray starts what dies again on another machine, and asks it again."""
    import ray.data

    for handler in logging.getLogger("ray.data").handlers:
        if handler.name == "console":  # its own log file keeps what it has to say
            handler.setLevel(logging.CRITICAL)
    context = ray.data.DataContext.get_current()
    context.execution_options.preserve_order = True
    context.enable_progress_bars = False
    at_once = max(1, processors())  # a machine may have left
    tasks = -(-len(chunks) // _TASK)
    # Workers of half a processor each, as many as there are processors: those of a machine that dies find room.
    parts = ray.data.from_items([{"chunk": chunk} for chunk in chunks], override_num_blocks=tasks).map_batches(
        _Actor,
        fn_constructor_args=(order,),
        batch_size=1,
        compute=ray.data.ActorPoolStrategy(size=min(jobs or at_once, at_once, tasks)),
        num_cpus=0.5,
    )
    try:
        for row in parts.iter_rows():
            yield row["part"]
    except Exception as error:  # Ray has no common error
        raise EnvironmentFailure(
            f"the Ray cluster has given up: {error}",
            hint="ray status tells what is left of it; --resume goes on",
            code="workers_died",
        ) from error


def _again(idle: int, died: Exception, tell: Reporter) -> int:
    if idle + 1 == _PATIENCE:
        raise EnvironmentFailure(
            f"workers died {_PATIENCE} times in a row before a file was answered: {died}",
            hint="is there enough memory? Try fewer --jobs; --resume goes on",
            code="workers_died",
        ) from died
    tell.warn(f"a worker died; what it was at is asked again ({type(died).__name__})")
    return idle + 1
