"""From uploads to answers: files are decoded in a few threads, slices answered together, nothing kept."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any

from starlette.datastructures import UploadFile

from tumorlens import io
from tumorlens.errors import InputError, TumorLensError
from tumorlens.inference import Failure, Prediction
from tumorlens.inference.result import Answer
from tumorlens.inference.series import SeriesSum
from tumorlens.io.limits import Limits
from tumorlens.io.slice import Slice
from tumorlens.pipeline.model import Model, accepted
from tumorlens.web.batching import Batcher
from tumorlens.web.uploads import shown_names

# Of one file at a time in memory: so many slices, or so many pixels, whichever comes first.
_SLICES, _PIXELS = 16, 4_000_000
# Files of a request that are in work at once.
_AHEAD = 4

#: What is made of a slice and its answer while the slice is in memory.
Render = Callable[[Slice, Prediction], dict[str, Any]]


@dataclass(frozen=True)
class Answered:
    """An answer, and what was made of its slice; nothing for a series and for what could not be used."""

    answer: Answer
    shown: dict[str, Any] | None = None


@dataclass(frozen=True)
class _Part:
    """Some slices of a file, answered; whether more may follow, or why not."""

    answered: list[Answered]
    more: bool = False
    error: TumorLensError | None = None


class _Open:
    """A file in work."""

    first: asyncio.Task[_Part]

    def __init__(self, name: str, stream: Iterator[Slice], places: asyncio.Semaphore) -> None:
        self.name, self.stream, self._places = name, stream, places
        self.placed = False

    def close(self) -> None:
        """Free its place; more than once does no harm."""
        self.first.cancel()
        if self.placed:
            self.placed = False
            self._places.release()


@asynccontextmanager
async def _closing(file: _Open) -> AsyncIterator[_Open]:
    try:
        yield file
    finally:
        file.close()


class Answerer:
    """Answers uploads with a model.

    Args:
        model: the one in memory.
        limits: of a file.
        batcher: of that model.
    """

    def __init__(self, model: Model, limits: Limits, batcher: Batcher) -> None:
        self.model = model
        self._limits = limits
        self._batcher = batcher
        processors = os.cpu_count() or 1
        # Decoders leave Python's lock; more threads than processors would only hold more slices in memory.
        self._threads = ThreadPoolExecutor(max_workers=processors, thread_name_prefix="decode")
        # Files that are open at once, of all requests together: what they unpack to is in memory.
        self._places = asyncio.Semaphore(2 * processors)

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown()
        self._batcher.close()

    async def answers(
        self, uploads: Sequence[UploadFile], render: Render | None = None
    ) -> AsyncGenerator[Answered, None]:
        """The answers for files, in their order; those for DICOM series of several files last."""
        scans: dict[str, SeriesSum] = {}
        coming = iter(list(zip(uploads, shown_names(uploads), strict=True)))
        begun: deque[_Open] = deque()
        try:
            for _ in uploads:
                while len(begun) < _AHEAD and (following := next(coming, None)) is not None:
                    begun.append(self._opened(*following, render))
                async with _closing(begun[0]) as file:
                    async for one in self._file(file, render):
                        yield one
                        answer = one.answer
                        if isinstance(answer, Prediction) and answer.frame is None and answer.series:
                            scans.setdefault(answer.series, self.model.gathering(answer)).add(answer)
                begun.popleft()
        finally:
            for file in begun:
                file.close()
        for scan in scans.values():
            if len(scan) > 1:
                yield Answered(scan.answer())

    async def first(self, upload: UploadFile, frame: int) -> tuple[Prediction, Slice]:
        """The answer for one slice of a file.

        Raises:
            TumorLensError: when there is no such slice, or it cannot be used.
        """
        (name,) = shown_names([upload])
        async with self._places:
            stream = self._read(upload, name)
            slices = await self._in_thread(lambda: list(islice(stream, frame, frame + 1)))
            if not slices:
                raise InputError(f"{name} has no frame {frame}", hint="frames count from 0", code="not_found")
            (answer,) = await asyncio.wrap_future(self._batcher.submit(slices))
        return answer, slices[0]

    def _opened(self, upload: UploadFile, name: str, render: Render | None) -> _Open:
        """A file whose first slices are being answered, as soon as there is a place for it."""
        stream = self._read(upload, name)
        file = _Open(name, stream, self._places)
        file.first = asyncio.create_task(self._begun(file, render))
        return file

    async def _begun(self, file: _Open, render: Render | None) -> _Part:
        # Files of a request take their places in order, so the one that is read next never waits for those behind it.
        await self._places.acquire()
        file.placed = True
        return await self._part(file.stream, render)

    async def _file(self, file: _Open, render: Render | None) -> AsyncIterator[Answered]:
        whole: SeriesSum | None = None
        part = await file.first
        while True:
            for one in part.answered:
                yield one
                answer = one.answer
                if isinstance(answer, Prediction) and answer.frame is not None and answer.series:
                    whole = whole or self.model.gathering(answer)
                    whole.add(answer)
            if part.error is not None:
                yield Answered(Failure(file.name, part.error))
                return
            if not part.more:
                break
            part = await self._part(file.stream, render)
        if whole and len(whole) > 1:
            yield Answered(whole.answer())

    async def _part(self, stream: Iterator[Slice], render: Render | None) -> _Part:
        """The next slices of a file, decoded and answered."""
        slices, more, error = await self._in_thread(lambda: _taken(stream))
        if not slices:
            return _Part([], more, error)
        answers = await asyncio.wrap_future(self._batcher.submit(slices))
        pairs = list(zip(slices, answers, strict=True))
        if render is None:
            return _Part([Answered(answer) for answer in answers], more, error)
        shown = await self._in_thread(lambda: [render(item, answer) for item, answer in pairs])
        return _Part([Answered(*both) for both in zip(answers, shown, strict=True)], more, error)

    def _read(self, upload: UploadFile, name: str) -> Iterator[Slice]:
        upload.file.seek(0)
        for item in io.stream_bytes(upload.file.read(), name, limits=self._limits):
            yield accepted(item)

    async def _in_thread(self, work: Callable[[], Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)


def _taken(stream: Iterator[Slice]) -> tuple[list[Slice], bool, TumorLensError | None]:
    """Some slices of a file; whether there may be more; and what ended it, if something did."""
    slices: list[Slice] = []
    pixels = 0
    try:
        for item in stream:
            slices.append(item)
            pixels += item.pixels.size
            if len(slices) >= _SLICES or pixels >= _PIXELS:
                return slices, True, None
    except TumorLensError as error:
        return slices, False, error
    return slices, False, None
