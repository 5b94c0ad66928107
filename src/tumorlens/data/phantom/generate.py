"""The stream of slices, rendered ahead by two threads and delivered in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from tumorlens.errors import UsageError

from .patients import PhantomSlice, patient_size, patient_slices

__all__ = ["make_slices"]

_WORKERS = 2
_AHEAD = 6  # patients in flight: enough to keep both threads busy, few enough to stay small in memory


def make_slices(count: int = 1200, seed: int = 0) -> Iterator[PhantomSlice]:
    """Yield exactly `count` slices, ordered by patient; the classes are balanced to within one patient.

    The slices of patient k depend on `seed` and k only, so a smaller `count` gives a prefix of a larger one.
    The same seed gives the same bytes on the same machine and library versions. Raises UsageError for `count`
    below 1 or a negative `seed`.
    """
    if count < 1:
        raise UsageError(f"the phantom needs at least 1 slice, not {count}", hint="give a count of 1 or more")
    if seed < 0:
        raise UsageError(f"the phantom's seed must not be negative: {seed}", hint="give a seed of 0 or more")
    return _stream(count, seed)


def _render(seed: int, k: int, limit: int) -> list[PhantomSlice]:
    return list(patient_slices(seed, k, limit))


def _stream(count: int, seed: int) -> Iterator[PhantomSlice]:
    with ThreadPoolExecutor(_WORKERS, thread_name_prefix="phantom") as pool:
        pending: deque[Future[list[PhantomSlice]]] = deque()
        try:
            k = planned = 0
            while planned < count or pending:
                while planned < count and len(pending) < _AHEAD:
                    n = min(patient_size(seed, k), count - planned)
                    pending.append(pool.submit(_render, seed, k, n))
                    planned += n
                    k += 1
                yield from pending.popleft().result()
        finally:  # a consumer that stops early must not wait for slices nobody wants
            for future in pending:
                future.cancel()
