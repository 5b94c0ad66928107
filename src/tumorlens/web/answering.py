"""From uploads to answers: files are decoded in a few threads, slices answered together, nothing kept."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

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
# Files of a request that are in work, or answered and not yet taken, at once.
_AHEAD = 4
# Seconds that a file keeps its place while its answers wait to be taken, when there is no other place left.
_PAUSE = 0.5

T = TypeVar("T")
#: What is made of a slice and its answer while the slice is in memory.
Render = Callable[[Slice, Prediction], dict[str, Any]]


@dataclass(frozen=True)
class Answered:
    """An answer, and what was made of its slice; nothing for a series and for what could not be used."""

    answer: Answer
    shown: dict[str, Any] | None = None


@dataclass(frozen=True)
class _Part:
    """Some slices of a file, answered; whether more may follow, or why not.

    Answers leave it as they are taken: what was made of their slices is large.
    """

    answered: deque[Answered]
    more: bool = False
    error: TumorLensError | None = None


class Places:
    """So many files at a time; whether somebody waits for one of the places.

    Attributes:
        wanted: how many wait.
    """

    def __init__(self, count: int) -> None:
        self._free = asyncio.Semaphore(count)
        self.wanted = 0

    async def __aenter__(self) -> None:
        await self.take()

    async def __aexit__(self, *_: object) -> None:
        self.give()

    async def take(self) -> None:
        """Wait for a place."""
        self.wanted += 1
        try:
            await self._free.acquire()
        finally:
            self.wanted -= 1

    def give(self) -> None:
        """Give a place back."""
        self._free.release()


class _Open:
    """A file in work. It has one of the server's places as long as its stream is open.

    Args:
        name: what it is called in answers.
        begin: opens its stream.
        places: of the server.
    """

    first: asyncio.Task[_Part]

    def __init__(self, name: str, begin: Callable[[], Iterator[Slice]], places: Places) -> None:
        self.name, self._begin, self._places = name, begin, places
        self._stream: Iterator[Slice] | None = None
        self._done = 0
        self._pausing: asyncio.TimerHandle | None = None

    async def stream(self) -> Iterator[Slice]:
        """The slices that are left, as soon as there is a place for them."""
        self._go_on()
        if self._stream is None:
            await self._places.take()
            self._stream = islice(self._begin(), self._done, None)
        return self._stream

    def pause(self, count: int) -> None:
        """So many slices more were answered, and whoever takes the answers may ask for others.

        The stream stays open, as one that is opened again decodes again what came before. But a place that others need
        is not kept for a slow reader.
        """
        self._done += count
        self._pausing = asyncio.get_running_loop().call_later(_PAUSE, self._paused)

    def _paused(self) -> None:
        if self._places.wanted:
            self.leave()
        else:
            self.pause(0)

    def _go_on(self) -> None:
        if self._pausing is not None:
            self._pausing.cancel()
            self._pausing = None

    def leave(self) -> None:
        """Close the stream and free its place; more than once does no harm."""
        self._go_on()
        if self._stream is not None:
            self._stream = None
            self._places.give()

    def close(self) -> None:
        """Ask no more of it; more than once does no harm."""
        self.first.cancel()
        self.leave()


class Answerer:
    """Answers uploads with a model.

    Args:
        model: the one in memory.
        limits: of a file.
        batcher: of that model.

    Attributes:
        begun: how many files are in work, or answered and not yet taken.
    """

    def __init__(self, model: Model, limits: Limits, batcher: Batcher) -> None:
        self.model = model
        self._limits = limits
        self._batcher = batcher
        processors = os.cpu_count() or 1
        # Decoders leave Python's lock; more threads than processors would only hold more slices in memory.
        self._threads = ThreadPoolExecutor(max_workers=processors, thread_name_prefix="decode")
        # Files that are open at once, of all requests together: what they unpack to is in memory.
        self._places = Places(2 * processors)
        # Answers are in memory until they are taken. Of each request one file may be begun, more only while there are
        # fewer than so many of all together: else a few slow readers could fill the memory.
        self.begun = 0
        self._most = 4 * processors

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
                while self._another(len(begun)) and (following := next(coming, None)) is not None:
                    begun.append(self._opened(*following, render))
                async for one in self._file(begun[0], render):
                    yield one
                    answer = one.answer
                    if isinstance(answer, Prediction) and answer.frame is None and answer.series:
                        scans.setdefault(answer.series, self.model.gathering(answer)).add(answer)
                self._closed(begun.popleft())
        finally:
            for file in begun:
                self._closed(file)
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
            slices = await self.in_thread(lambda: list(islice(stream, frame, frame + 1)))
            if not slices:
                raise InputError(f"{name} has no frame {frame}", hint="frames count from 0", code="not_found")
            (answer,) = await asyncio.wrap_future(self._batcher.submit(slices))
        return answer, slices[0]

    def _another(self, ahead: int) -> bool:
        """Whether a request that has begun so many files may begin another."""
        return not ahead or (ahead < _AHEAD and self.begun < self._most)

    def _opened(self, upload: UploadFile, name: str, render: Render | None) -> _Open:
        """A file whose first slices are being answered, as soon as there is a place for it."""
        file = _Open(name, lambda: self._read(upload, name), self._places)
        # Files of a request take their places in order, so the one that is read next never waits for those behind it.
        file.first = asyncio.create_task(self._part(file, render))
        self.begun += 1
        return file

    def _closed(self, file: _Open) -> None:
        self.begun -= 1
        file.close()

    async def _file(self, file: _Open, render: Render | None) -> AsyncIterator[Answered]:
        whole: SeriesSum | None = None
        part = await file.first
        while True:
            while part.answered:
                one = part.answered.popleft()
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
            part = await self._part(file, render)
        if whole and len(whole) > 1:
            yield Answered(whole.answer())

    async def _part(self, file: _Open, render: Render | None) -> _Part:
        """The next slices of a file, decoded and answered; after the last ones its place is free."""
        stream = await file.stream()
        slices, more, error = await self.in_thread(lambda: _taken(stream))
        answered = await self._answered(slices, render) if slices else []
        if more:
            file.pause(len(slices))
        else:
            file.leave()
        return _Part(deque(answered), more, error)

    async def _answered(self, slices: list[Slice], render: Render | None) -> list[Answered]:
        answers = await asyncio.wrap_future(self._batcher.submit(slices))
        if render is None:
            return [Answered(answer) for answer in answers]
        pairs = list(zip(slices, answers, strict=True))
        shown = await self.in_thread(lambda: [render(item, answer) for item, answer in pairs])
        return [Answered(*both) for both in zip(answers, shown, strict=True)]

    def _read(self, upload: UploadFile, name: str) -> Iterator[Slice]:
        upload.file.seek(0)
        for item in io.stream_bytes(upload.file.read(), name, limits=self._limits):
            yield accepted(item)

    async def in_thread(self, work: Callable[[], T]) -> T:
        """What work gives, done in a decoding thread: the event loop goes on meanwhile."""
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
