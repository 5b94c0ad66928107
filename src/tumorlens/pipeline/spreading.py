"""Trainings side by side: joblib's processes on this machine, or an existing Ray cluster through Ray's own backend.

What a worker makes lies in the cross-validation's folder, which every machine sees under the same path, and a training
continues from its last epoch. So a worker that dies costs no more than an epoch: its training goes to another one.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tumorlens.config import Settings
from tumorlens.errors import EnvironmentFailure, MissingExtraError, TumorLensError, UsageError
from tumorlens.pipeline import folds, runs
from tumorlens.pipeline.reporter import Reporter

# Rounds in a row in which workers died and no training went on by a single epoch.
_PATIENCE = 3
_LOOK_SECONDS = 1.0
_WAIT_SECONDS = 60.0
Job = tuple[int, str]


@dataclass(frozen=True)
class Workers:
    """Who trains.

    Attributes:
        jobs: how many trainings at a time; on a cluster 0 leaves it to the cluster.
        ray: address of an existing Ray cluster (``auto``, ``host:port``); this machine when empty.
    """

    jobs: int = 1
    ray: str = ""


# One training at a time, in this process.
HERE = Workers()


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


def spread(folder: Path, jobs: Sequence[Job], settings: Settings, workers: Workers, tell: Reporter) -> None:
    """Do trainings (seed, fold) of a cross-validation that has begun, several at a time.

    Raises:
        EnvironmentFailure: when workers keep dying, the cluster cannot be reached, or it does not see the folder.
        TumorLensError: the first that a training raised.
    """
    left, idle = list(jobs), 0
    with _cluster(workers, tell), _watched(folder, left, settings.train.epochs, tell):
        while left:
            before = _epochs(folder, left)
            try:
                errors = _round(folder, left, workers)
            except Exception as died:
                still = [job for job in left if not _finished(folder, job)]
                idle = 0 if len(still) < len(left) or _epochs(folder, still) > before else idle + 1
                if idle == _PATIENCE:
                    raise EnvironmentFailure(
                        f"workers died {idle} times in a row before a training went on: {died}",
                        hint=f"is there enough memory? Try fewer --jobs, or look into {folder}/seed-*/folds/*/log.txt",
                        code="workers_died",
                    ) from died
                tell.warn(f"a worker died; going on with {len(still)} trainings ({type(died).__name__})")
                errors = []
            for error in errors:
                if error is not None:
                    raise error
            left = [job for job in left if not _finished(folder, job)]


def _round(folder: Path, jobs: Sequence[Job], workers: Workers) -> list[Exception | None]:
    """All trainings once; what each ended with. Raises what the backend raises when a worker is gone."""
    import joblib

    backend, cores = "loky", os.cpu_count() or 1
    count = workers.jobs
    if workers.ray:
        import ray

        # Asked again each round: a machine may have left. More jobs than processors would wait for ever. For one
        # alone Ray's backend takes this process, which is on a machine of the cluster, too.
        backend, cores = "ray", max(1, int(ray.cluster_resources().get("CPU", 1)))
        count = min(workers.jobs or cores, cores)
    count = min(count, len(jobs))
    with joblib.parallel_config(backend=backend):
        errors: list[Exception | None] = joblib.Parallel(n_jobs=count, batch_size=1, pre_dispatch="all")(
            joblib.delayed(work)(str(folder.resolve()), seed, fold, max(1, cores // count)) for seed, fold in jobs
        )
    return errors


def work(folder: str, seed: int, fold: str, threads: int) -> Exception | None:
    """What a worker does: one training of the cross-validation in ``folder``.

    Args:
        folder: absolute path.
        seed: of the training.
        fold: that it is tested on.
        threads: that it may use.

    Returns:
        None, or the error that ended it: so that what a backend raises means that a worker is gone.
    """
    # TensorFlow reads these when it is first imported.
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", str(threads))
    os.environ.setdefault("TF_NUM_INTEROP_THREADS", str(threads))
    from tumorlens.pipeline.crossvalidating import reopened, train_one

    place = Path(folder)
    try:
        if not (place / "config.toml").is_file():
            raise EnvironmentFailure(
                f"a worker does not see {place}",
                hint="the folder and the data must lie where every machine of the cluster has them under the same path",
                code="not_shared",
            )
        begun = reopened(place, Reporter())
        _patiently(lambda: train_one(place, seed, fold, *begun, Reporter()))
    except TumorLensError as error:
        return error
    except Exception:  # noqa: BLE001 - told by the process that was asked for it
        return RuntimeError(traceback.format_exc())
    return None


def _patiently(train: Callable[[], None]) -> None:
    """Wait for a worker that was given up and has yet to end."""
    deadline = time.monotonic() + _WAIT_SECONDS
    while True:
        try:
            return train()
        except UsageError as error:
            if error.code != "running" or time.monotonic() > deadline:
                raise
            time.sleep(_LOOK_SECONDS)


@contextmanager
def _cluster(workers: Workers, tell: Reporter) -> Iterator[None]:
    """Inside, this process belongs to the Ray cluster, where one is named."""
    if not workers.ray:
        yield
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is reported to anybody
    import ray
    from ray.util.joblib import register_ray

    try:
        ray.init(address=workers.ray, log_to_driver=False, logging_level="error")
    except Exception as error:  # Ray has no common error for a cluster that is not there
        raise EnvironmentFailure(
            f"there is no Ray cluster at {workers.ray}: {error}",
            hint="start one with: ray start --head, and name its address",
            code="no_cluster",
        ) from error
    try:
        register_ray()
        alive = [node for node in ray.nodes() if node["Alive"]]
        tell.note(f"Ray cluster: {len(alive)} machines, {ray.cluster_resources().get('CPU', 0):.0f} processors")
        yield
    finally:
        ray.shutdown()


@contextmanager
def _watched(folder: Path, jobs: Sequence[Job], epochs: int, tell: Reporter) -> Iterator[None]:
    """Inside, the epochs of all trainings together are shown as they end, read from the folder."""
    done, every = threading.Event(), list(jobs)

    def watch() -> None:
        while not done.wait(_LOOK_SECONDS):
            update(_epochs(folder, every, epochs), epochs * len(every))

    with tell.progress(f"{len(every)} trainings, epochs") as update:
        thread = threading.Thread(target=watch, daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()


def _epochs(folder: Path, jobs: Sequence[Job], whole: int = 0) -> int:
    """Epochs that trainings have behind them; one that has ended counts ``whole``, where given."""
    total = 0
    for seed, fold in jobs:
        place = folds.place_of(folder / f"seed-{seed}", fold)
        if whole and (place / "bundle" / "bundle.json").is_file():
            total += whole
            continue
        with contextlib.suppress(OSError):
            total += max(0, (place / "history.csv").read_bytes().count(b"\n") - 1)
    return total


def _finished(folder: Path, job: Job) -> bool:
    return runs.finished(folds.place_of(folder / f"seed-{job[0]}", job[1])) is not None
