"""Answers for the series of a DICOMweb server while they are fetched; nothing of them touches the disk."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import groupby, islice

from tumorlens import io
from tumorlens.data.dicomweb.address import Address, parse, shown
from tumorlens.data.dicomweb.retrieving import Instance, retrieve
from tumorlens.data.dicomweb.walking import Refused, connect, instances, walk
from tumorlens.errors import EnvironmentFailure, InputError, MissingExtraError, TumorLensError
from tumorlens.inference import Failure, Prediction
from tumorlens.inference.result import Answer
from tumorlens.inference.series import SeriesSum
from tumorlens.io.remote import Site
from tumorlens.io.slice import Slice
from tumorlens.pipeline.model import accepted

Predict = Callable[[Iterable[Slice]], Iterator[Prediction]]
Gathering = Callable[[Prediction], SeriesSum]
# Instances that are fetched at a time, and slices that wait for the network to answer them together.
_ABREAST, _TOGETHER = 4, 8
# Instances one after another that the server was too busy for: until then each is a fault of its own.
_PATIENCE = 3


def ask(named: str, pool: ThreadPoolExecutor, predict: Predict, gathering: Gathering) -> Iterator[Answer]:
    """Answers for what an address names: each slice, then its series, then the next series.

    Args:
        named: ``dicomweb:…``, as :func:`tumorlens.data.dicomweb.address.parse` reads it.
        pool: what fetches.
        predict: answers slices.
        gathering: makes what gathers the answers for a series.

    Returns:
        Answers named by UIDs; a ``Failure`` for what cannot be used. One with an ``EnvironmentFailure`` is the last of
        its series, which then has no answer; another says that the rest was not asked for.
    """
    try:
        address = parse(named)
        site = connect(address)
    except TumorLensError as error:
        yield Failure(shown(named), error)
        return
    with site:
        for found in walk(site, address):
            if isinstance(found, Refused):
                yield Failure(found.name, found.error)
                continue
            for answer in _series(site, found, pool, predict, gathering):
                yield answer
                if isinstance(answer, Failure) and isinstance(answer.error, EnvironmentFailure):
                    if answer.path != address.name:
                        yield Failure(address.name, _lost(address.name, answer.error.code))
                    return


def _series(
    site: Site, series: Address, pool: ThreadPoolExecutor, predict: Predict, gathering: Gathering
) -> Iterator[Answer]:
    try:
        places, wrong = instances(site, series)
    except (EnvironmentFailure, InputError) as error:
        yield Failure(series.name, error)
        return
    yield from (Failure(series.name, error) for error in wrong)
    whole: SeriesSum | None = None
    fetched = _judged(_fetched(site, places, pool))
    # A file of several frames is unpacked frame by frame, and alone.
    for many, members in groupby(fetched, key=lambda item: isinstance(item, Instance)):
        if many:
            for item in members:
                if isinstance(item, Instance):
                    yield from _frames(item, predict, gathering)
            continue
        while chunk := list(islice(members, _TOGETHER)):
            good = predict([item for item in chunk if isinstance(item, Slice)])
            for item in chunk:
                if isinstance(item, Failure):
                    yield item
                elif isinstance(item, Slice):
                    answer = next(good)
                    whole = whole or gathering(answer)
                    whole.add(answer)
                    yield answer
    if whole and len(whole) > 1:
        yield whole.answer()


def _judged(fetched: Iterable[Slice | Instance | Failure]) -> Iterator[Slice | Instance | Failure]:
    """What was fetched, up to where the server is lost; that it has no time for one instance says nothing about it."""
    busy = 0
    for item in fetched:
        if not isinstance(item, Failure):
            busy = 0
            yield item
            continue
        error = item.error
        busy = busy + 1 if error.code == "busy" else 0
        if 0 < busy < _PATIENCE:
            error = InputError(error.message, hint=error.hint, code=error.code)
        yield Failure(item.path, error)
        if isinstance(error, EnvironmentFailure):
            return


def _fetched(site: Site, places: Iterable[Address], pool: ThreadPoolExecutor) -> Iterator[Slice | Instance | Failure]:
    """Instances in their order, a few of them fetched ahead."""
    ahead: deque[Future[Slice | Instance | Failure]] = deque()
    try:
        for at in places:
            ahead.append(pool.submit(_fetch, site, at))
            if len(ahead) == _ABREAST:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
    finally:
        for one in ahead:
            one.cancel()


def _fetch(site: Site, at: Address) -> Slice | Instance | Failure:
    try:
        instance = retrieve(site, at)
        if instance.frames is not None:
            return instance
        return accepted(io.read_bytes(instance.content, instance.name)[0])
    except (EnvironmentFailure, InputError, MissingExtraError) as error:
        return Failure(at.name, error)


def _lost(name: str, code: str) -> EnvironmentFailure:
    return EnvironmentFailure(
        f"{name} was not read to its end: the server was lost on the way",
        hint="ask again when it answers; the series without an answer of their own are incomplete",
        code=code,
    )


def _frames(instance: Instance, predict: Predict, gathering: Gathering) -> Iterator[Answer]:
    whole: SeriesSum | None = None
    slices = io.stream_bytes(instance.content, instance.name)
    try:
        while chunk := [accepted(item) for item in islice(slices, _TOGETHER)]:
            for answer in predict(chunk):
                yield answer
                whole = whole or gathering(answer)
                whole.add(answer)
    except (InputError, MissingExtraError) as error:
        yield Failure(instance.name, error)
        return
    if whole:
        yield whole.answer()
