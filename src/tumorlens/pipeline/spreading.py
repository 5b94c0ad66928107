"""Work side by side: joblib's processes on this machine, or an existing Ray cluster through Ray's own backend.

What a worker makes lies in a folder that every machine sees under the same path, and a training continues from its last
epoch. So a worker that dies costs no more than an epoch: what it was at goes to another one.
"""

from __future__ import annotations

import os
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tumorlens.errors import EnvironmentFailure, MissingExtraError, TumorLensError, UsageError
from tumorlens.pipeline import locking
from tumorlens.pipeline.reporter import Reporter

# Rounds in a row in which workers died and nothing went on by a single epoch.
_PATIENCE = 3
_LOOK_SECONDS = 1.0
_WAIT_SECONDS = 60.0
_ANSWER_SECONDS = 60.0


@dataclass(frozen=True)
class Workers:
    """Who works.

    Attributes:
        jobs: how many trainings at a time; on a cluster 0 leaves it to the cluster.
        ray: address of an existing Ray cluster (``auto``, ``host:port``); this machine when empty.
    """

    jobs: int = 1
    ray: str = ""

    @property
    def here(self) -> int:
        """How many share this machine, or one of a cluster, whose machines nobody knows here, likely as many."""
        return min(self.jobs or cores(), cores()) if self.ray else self.jobs


# One training at a time, in this process.
HERE = Workers()


@dataclass(frozen=True)
class Work:
    """Calls that can be made side by side, in any order.

    Attributes:
        folder: that they work in.
        call: a function of a module, given the folder and one of ``left``; raises what a user should read.
        left: what has not ended; asked again after every round.
        mend: puts right what a worker that died has left behind.
        done: epochs that have been trained.
        epochs: of all.
        what: they are, for the progress bar.
    """

    folder: Path
    call: Callable[..., None]
    left: Callable[[], Sequence[tuple[Any, ...]]]
    mend: Callable[[], None]
    done: Callable[[], int]
    epochs: int
    what: str


def check(workers: Workers) -> None:
    """Refuse what cannot work before anything is done.

    Raises:
        UsageError: for a number of jobs below 1 (0 on a cluster).
        MissingExtraError: without Ray, when a cluster is named.
    """
    least = 0 if workers.ray else 1
    if workers.jobs < least:
        raise UsageError(f"found {workers.jobs} jobs, expected {least} or more")
    if workers.ray:
        try:
            import ray  # noqa: F401 - whether it is there
        except ImportError:
            raise MissingExtraError("Ray", "ray") from None


def spread(work: Work, workers: Workers, tell: Reporter) -> None:
    """Do all that is left, several calls at a time.

    Raises:
        EnvironmentFailure: when workers keep dying, the cluster cannot be reached, or it does not see the folder.
        TumorLensError: the first that a call raised.
    """
    idle = 0
    with _backend(workers, tell), _watched(work, tell):
        while left := work.left():
            before = work.done()
            try:
                errors = _round(work, left, workers)
            except Exception as died:
                work.mend()
                still = work.left()
                idle = 0 if len(still) < len(left) or work.done() > before else idle + 1
                if idle == _PATIENCE:
                    raise EnvironmentFailure(
                        f"workers died {idle} times in a row before a training went on: {died}",
                        hint=f"is there enough memory? Try fewer --jobs, or look for log.txt in {work.folder}",
                        code="workers_died",
                    ) from died
                tell.warn(f"a worker died; going on with {len(still)} {work.what} ({type(died).__name__})")
                continue
            for error in errors:
                if error is not None:
                    raise error


def _round(work: Work, left: Sequence[tuple[Any, ...]], workers: Workers) -> list[Exception | None]:
    """All calls once; what each ended with. Raises what the backend raises when a worker is gone."""
    import joblib

    backend: dict[str, Any] = {"backend": "loky"}
    count, at_once = workers.jobs, cores()
    if workers.ray:
        # Asked again each round: a machine may have left, and more jobs than processors would wait for ever. Ray's
        # workers ask for no processor unless told to, and then all may land on one machine. For one job alone Ray's
        # backend takes this process, which is on a machine of the cluster, too.
        backend = {"backend": "ray", "ray_remote_args": {"num_cpus": 1}}
        at_once = max(1, processors())
        count = min(workers.jobs or at_once, at_once)
    count = min(count, len(left))
    folder, threads = str(work.folder.resolve()), max(1, at_once // count)
    with joblib.parallel_config(**backend):
        errors: list[Exception | None] = joblib.Parallel(n_jobs=count, batch_size=1, pre_dispatch="all")(
            joblib.delayed(attempt)(work.call, folder, arguments, threads) for arguments in left
        )
    return errors


def cores() -> int:
    """Processors that this process may use: by its affinity, and by the quota of its container (cgroup v2)."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return count if quota == "max" else max(1, min(count, round(int(quota) / int(period))))
    except (OSError, ValueError):
        return count


def processors() -> int:
    """Those of the machines of the Ray cluster that answer; Ray itself counts one that has died for a while."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    @ray.remote(num_cpus=0, max_retries=0)  # type: ignore[untyped-decorator]
    def ping() -> None:
        pass

    asked = {}
    for node in ray.nodes():
        if node["Alive"]:
            there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            asked[ping.options(scheduling_strategy=there).remote()] = int(node["Resources"].get("CPU", 0))
    answered, _ = ray.wait(list(asked), num_returns=len(asked), timeout=_ANSWER_SECONDS)
    count = 0
    for reference in answered:
        with suppress(ray.exceptions.RayError):
            ray.get(reference)
            count += asked[reference]
    return count


def attempt(call: Callable[..., None], folder: str, arguments: tuple[Any, ...], threads: int) -> Exception | None:
    """What a worker does: one call.

    Args:
        call: of the work.
        folder: absolute path; of a run that has begun.
        arguments: one of what is left.
        threads: that it may use.

    Returns:
        None, or the error that ended it: so that what a backend raises means that a worker is gone.
    """
    # TensorFlow reads these when it is first imported.
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", str(threads))
    os.environ.setdefault("TF_NUM_INTEROP_THREADS", str(threads))
    try:
        if not (Path(folder) / "config.toml").is_file():
            raise EnvironmentFailure(
                f"a worker does not see {folder}",
                hint="the folder and the data must lie where every machine of the cluster has them under the same path",
                code="not_shared",
            )
        _patiently(lambda: call(Path(folder), *arguments))
    except TumorLensError as error:
        return error
    except Exception:  # noqa: BLE001 - told by the process that was asked for it
        return RuntimeError(traceback.format_exc())
    return None


def _patiently(call: Callable[[], None]) -> None:
    """Wait for a worker that was given up and has yet to end."""
    deadline = time.monotonic() + _WAIT_SECONDS
    while True:
        try:
            return call()
        except UsageError as error:
            if error.code != "running" or time.monotonic() > deadline:
                raise
            time.sleep(_LOOK_SECONDS)


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Inside, a folder in a run is this process's alone, once a worker that was given up has ended.

    For a call that cannot be made twice: one that waits here is not made again by :func:`attempt`, whose patience
    began earlier.

    Raises:
        UsageError: ``running``, when the other has not ended within a minute.
    """
    with ExitStack() as stack:
        _patiently(lambda: stack.enter_context(locking.held(folder)))
        yield


@contextmanager
def _backend(workers: Workers, tell: Reporter) -> Iterator[None]:
    """Inside, joblib knows Ray, where a cluster is named."""
    if not workers.ray:
        yield
        return
    with cluster(workers.ray, tell):
        from ray.util.joblib import register_ray

        register_ray()
        yield


@contextmanager
def cluster(address: str, tell: Reporter) -> Iterator[None]:
    """Inside, this process belongs to the Ray cluster at ``address``.

    Raises:
        EnvironmentFailure: ``no_cluster``.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is reported to anybody
    import ray

    try:
        ray.init(address=address, log_to_driver=False, logging_level="error")
    except Exception as error:  # Ray has no common error for a cluster that is not there
        raise EnvironmentFailure(
            f"there is no Ray cluster at {address}: {error}",
            hint="start one with: ray start --head, and name its address",
            code="no_cluster",
        ) from error
    try:
        alive = [node for node in ray.nodes() if node["Alive"]]
        tell.note(f"Ray cluster: {len(alive)} machines, {ray.cluster_resources().get('CPU', 0):.0f} processors")
        yield
    finally:
        ray.shutdown()


@contextmanager
def _watched(work: Work, tell: Reporter) -> Iterator[None]:
    """Inside, the epochs of all calls together are shown as they end, read from the folder."""
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(_LOOK_SECONDS):
            update(work.done(), work.epochs)

    with tell.progress(f"{work.what}, epochs") as update:
        thread = threading.Thread(target=watch, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


def epochs_of(run: Path) -> int:
    """Epochs that the training in a folder has behind it, by its ``history.csv``."""
    try:
        return max(0, (run / "history.csv").read_bytes().count(b"\n") - 1)
    except OSError:
        return 0
