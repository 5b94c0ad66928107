"""Files opened ahead of the network, in their order, with no more of their pixels in memory than there is room for."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice

from tumorlens.data.inputs import Item
from tumorlens.inference import Failure
from tumorlens.io.slice import Slice

#: Files that are answered together, and as many that are opened meanwhile.
TOGETHER = 32
#: Bytes of pixels from which on nothing more is opened; half of them are answered together. So many slices of
#: 1024 × 1024 pixels have 128 MiB: only pictures larger than those of scanners are answered in smaller batches.
ROOM = 256 << 20

#: What a file turned out to be: a slice, the frames of a volume, unusable, or plainly no image.
Opened = Slice | tuple[int | None, ...] | Failure | None
Batch = list[tuple[Item, Opened]]


def batches(items: Iterable[Item], pool: ThreadPoolExecutor, opening: Callable[[Item], Opened]) -> Iterator[Batch]:
    """Opened files in their order, as many as are answered together; a volume alone.

    In memory are at most :data:`ROOM` bytes of pixels, and beyond them a slice for each thread of the pool.

    Args:
        items: files.
        pool: opens them. None of its threads waits for room, so it may be used for other things meanwhile.
        opening: opens one.

    Yields:
        Lists that are emptied when the next is asked for: their pixels then count as answered.
    """
    readers, batch = _Readers(pool, opening), Batch()
    stream, ahead = iter(items), deque[_File]()
    try:
        while True:
            ahead.extend(readers.add(item) for item in islice(stream, TOGETHER - len(ahead)))
            if not ahead:
                break
            batch.append(ahead.popleft().wait())
            volume = batch.pop() if isinstance(batch[-1][1], tuple) else None
            if batch and (volume or is_full([found for _, found in batch])):
                yield batch
                readers.release(batch)
            if volume:
                yield [volume]
        if batch:
            yield batch
            readers.release(batch)
    finally:
        readers.stop()


def is_full(several: Iterable[Opened]) -> bool:
    """Whether so much is answered before more is read."""
    sizes = [_size(one) for one in several]
    return len(sizes) >= TOGETHER or sum(sizes) >= ROOM // 2


@dataclass(eq=False)
class _File:
    item: Item
    opened: Future[Opened] = field(default_factory=Future)

    def wait(self) -> tuple[Item, Opened]:
        return self.item, self.opened.result()


class _Readers:
    """Opens files in a pool, in the order in which they were added.

    For each that waits, the pool has a task, or there was no room for one and it is given again when there is. What is
    held while the next file in line waits is what came before it: less than a full batch, so that there is room for it.
    """

    def __init__(self, pool: ThreadPoolExecutor, opening: Callable[[Item], Opened]) -> None:
        self._pool, self._opening = pool, opening
        self._lock = threading.Lock()
        self._waiting: deque[_File] = deque()
        self._held = 0  # bytes of pixels that were not answered yet
        self._put_off = 0  # tasks without room

    def add(self, item: Item) -> _File:
        """Open a file, after those that were added before."""
        file = _File(item)
        with self._lock:
            self._waiting.append(file)
        self._pool.submit(self._read)
        return file

    def release(self, batch: Batch) -> None:
        """Empty a list of what was answered, and go on where there was no room."""
        with self._lock:
            self._held -= sum(_size(found) for _, found in batch)
            tasks, self._put_off = self._put_off, 0
        batch.clear()
        for _ in range(tasks):
            self._pool.submit(self._read)

    def stop(self) -> None:
        """Open nothing more."""
        with self._lock:
            self._waiting.clear()

    def _read(self) -> None:
        """Open the next file if there is room."""
        with self._lock:
            if not self._waiting:
                return
            if self._held >= ROOM:
                self._put_off += 1
                return
            file = self._waiting.popleft()
        try:
            found = self._opening(file.item)
        except BaseException as error:  # noqa: BLE001 - raised where the file is waited for
            file.opened.set_exception(error)
            return
        with self._lock:
            self._held += _size(found)
        file.opened.set_result(found)


def _size(found: Opened) -> int:
    return found.pixels.nbytes if isinstance(found, Slice) else 0
