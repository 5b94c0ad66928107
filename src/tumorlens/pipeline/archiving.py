"""Answers for an archive: any number of files into one file of answers, in constant memory, to be stopped at will."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path

from tumorlens import __version__
from tumorlens.data.dicomweb.address import is_address, shown
from tumorlens.data.inputs import Item, nothing_in, passed_over, stream
from tumorlens.errors import EnvironmentFailure, UsageError
from tumorlens.inference import Failure
from tumorlens.inference.lines import head, line
from tumorlens.inference.result import Answer
from tumorlens.io.atomic import writing
from tumorlens.pipeline.answering import Order, Part, packed, part_of, slice_of
from tumorlens.pipeline.keeping import Ledger
from tumorlens.pipeline.model import Model, told
from tumorlens.pipeline.reporter import Reporter
from tumorlens.pipeline.sharing import answered, check, connected
from tumorlens.pipeline.spreading import Workers, cores

# Slices that are answered together: a batch of the network, and what is asked again when a worker dies.
_TOGETHER = 32
# Images of an .npz, which has many, that are answered together: its array is read once for them.
_IMAGES = 1024
# Many slices each, as a rule.
_VOLUMES = (".nii", ".nii.gz")
_TELL_SECONDS = 60.0


@dataclass(frozen=True)
class Archive:
    """What is asked, and how.

    Attributes:
        named: the inputs as the user named them.
        out: the file of answers.
        form: of its lines, one of :data:`tumorlens.inference.lines.FORMS`.
        model: MODEL as the user named it; None for the one that ships.
        engine: which program runs it.
        maps: folder of the activation maps, or None.
        resume: go on, where there is something to go on with.
        workers: processes, 0 for as many as there are processors; or a Ray cluster.
    """

    named: Sequence[str]
    out: Path
    form: str
    model: str | None
    engine: str
    maps: str | None = None
    resume: bool = False
    workers: Workers = field(default_factory=lambda: Workers(0))


@dataclass(frozen=True)
class Counts:
    """What a file of answers holds.

    Attributes:
        used: answers.
        failed: inputs that could not be used.
    """

    used: int
    failed: int


def answer_archive(asked: Archive, model: Model, names: Iterable[str], tell: Reporter) -> Counts:
    """Answer all inputs, but for those that have been answered before.

    The order of the answers is that of the inputs, each folder's in natural order; the answers for DICOM series of
    several files come last. An input that occurs twice is answered once.

    Args:
        asked: what, and how.
        model: of ``asked``, in memory.
        names: the inputs one by one: lists on stdin are read as they come.
        tell: told about unusable inputs, and now and then how far it is.

    Returns:
        What the file holds now, also from before.

    Raises:
        UsageError: ``exists``, ``running``, ``other_run``, as :class:`tumorlens.pipeline.keeping.Ledger`; for
            ``dicomweb:`` on a cluster.
        EnvironmentFailure: when the answers cannot be written, workers die whatever they are asked, the cluster cannot
            be reached or does not see the files, or a folder is gone while it is read.
        TumorLensError: ``missing_extra`` for a file that needs a package which is not installed.
    """
    for name in asked.named:
        _check_name(name, asked.workers)
    check(asked.workers)
    if asked.maps is not None:
        with writing(asked.maps):
            Path(asked.maps).mkdir(parents=True, exist_ok=True)
    with (
        connected(asked.workers, tell),
        Ledger(asked.out, _settings(asked, model), head(asked.form, model.labels), resume=asked.resume) as ledger,
    ):
        if ledger.complete:
            tell.note(f"{asked.out} is complete: nothing to go on with")
            return Counts(ledger.used, ledger.failed)
        if ledger.before:
            tell.note(f"{asked.out}: going on; {ledger.before} inputs have been answered")
        _answer(asked, model, names, ledger, tell)
        for root, answers, others, example in ledger.roots():
            if root and others:
                tell.note(passed_over(root, others, example))
            if root and others and not answers:
                _add(ledger, "root", root, Failure(root, nothing_in(root, others)), asked, model, tell)
        for series, slices in ledger.series():
            first, *more = (slice_of(kept, model.predictor.identity) for kept in slices)
            whole = model.gathering(first)
            for one in (first, *more):
                whole.add(one)
            _add(ledger, "series", series, whole.answer(), asked, model, tell)
        return Counts(ledger.used, ledger.failed)


def _answer(asked: Archive, model: Model, names: Iterable[str], ledger: Ledger, tell: Reporter) -> None:
    """Answer what is in files, as they come."""
    waiting: deque[list[bytes]] = deque()
    chunks = _chunks(asked, names, ledger, waiting, tell)
    begun = last = time.monotonic()
    count = 0
    # The run before may have been killed by a file that this process would have to read again.
    found = answered(chunks, _order(asked, model), asked.workers, model, tell, apart=ledger.going_on)
    with closing(found) as parts:
        for content in parts:
            part = part_of(content)
            part.check()
            _check_seen(part)
            for sentence in part.failed:
                tell.note(sentence)
            keys = waiting.popleft()
            ledger.add(keys, part)
            count += len(keys)
            if time.monotonic() - last > _TELL_SECONDS:
                last = time.monotonic()
                tell.note(f"{ledger.before + count} inputs answered, {count / (last - begun):.0f} a second")


def _check_seen(part: Part) -> None:
    """What a worker cannot read must not become an answer when it can be read here, or when its disk is gone."""
    for path, root in part.unseen:
        if os.access(path, os.R_OK):
            raise EnvironmentFailure(
                f"a worker does not see {path}",
                hint="the files must lie where every machine of the cluster has them under the same path",
                code="not_shared",
            )
        folder = os.path.dirname(path) or os.curdir
        if root and not os.path.exists(path) and not (os.path.exists(root) and _holds_any(folder)):
            raise EnvironmentFailure(
                f"{folder} was there and is gone, with what it held",
                hint="is its disk connected? --resume goes on",
                code="not_found",
            )


def _holds_any(folder: str) -> bool:
    """Whether a folder is there with anything in it; the place of a disk that was removed stays, and is empty."""
    try:
        with os.scandir(folder) as found:
            return any(found)
    except OSError:
        return False


def _chunks(
    asked: Archive, names: Iterable[str], ledger: Ledger, waiting: deque[list[bytes]], tell: Reporter
) -> Iterator[bytes]:
    """Inputs that are still to be answered, some at a time; their keys go to the end of ``waiting``.

    Where they are divided does not depend on what has been answered: a batch of other slices could round otherwise.
    """
    # What is being written may lie below a folder that is read. Not even to look at it may this process open its own
    # state: closing a file gives up all locks (POSIX) that a process has on it.
    aside = [*map(str, ledger.files), *([asked.maps] if asked.maps else [])]
    found = chain.from_iterable(told(stream(_check_name(name, asked.workers), aside), tell) for name in names)
    for items in _together(found):
        # The same file may be a mask in its folder, and an image where it is named itself.
        every = {_key(item.path, item.frames, _is_mask(item)): item for item in items}
        new = ledger.begin(list(every))
        left = {key: item for key, item in every.items() if key in new}
        if left:
            waiting.append(list(left))
            yield packed(list(left.values()))


def _together(found: Iterable[Item]) -> Iterator[list[Item]]:
    items: list[Item] = []
    slices = 0
    for item in chain.from_iterable(map(_divided, found)):
        items.append(item)
        volume = is_address(item.path) or item.path.lower().endswith(_VOLUMES)
        slices += len(item.frames) if item.frames else _TOGETHER if volume else 1
        if slices >= _TOGETHER:
            yield items
            items, slices = [], 0
    if items:
        yield items


def _divided(item: Item) -> Iterator[Item]:
    """The images of an ``.npz`` in portions; a volume has one answer more, about all of it."""
    frames = item.frames or ()
    if len(frames) <= _IMAGES or ".npz!" not in item.path.lower():
        yield item
        return
    for start in range(0, len(frames), _IMAGES):
        yield replace(item, frames=frames[start : start + _IMAGES])


def _is_mask(item: Item) -> bool:
    return item.problem is not None and item.problem.code == "mask"


def _add(ledger: Ledger, kind: str, name: str, answer: Answer, asked: Archive, model: Model, tell: Reporter) -> None:
    """Write an answer about several files, unless it is there."""
    key = _key(kind, name)
    if not ledger.begin([key]):
        return
    failed = [answer.sentence] if isinstance(answer, Failure) else []
    for sentence in failed:
        tell.note(sentence)
    ledger.add([key], Part(text=line(answer, asked.form, model.labels), used=1 - len(failed), failed=failed))


def _check_name(name: str, workers: Workers) -> str:
    """Refuse what workers on other machines cannot ask for: they have neither token nor ``~/.netrc``."""
    if workers.ray and is_address(name):
        raise UsageError(
            f"{shown(name)} cannot be asked from a Ray cluster, whose workers have no token",
            hint="leave out --ray; --jobs uses all processors of this machine",
        )
    return name


def _order(asked: Archive, model: Model) -> Order:
    jobs = asked.workers.jobs or cores()
    return Order(
        model=asked.model,
        sha256=model.predictor.bundle.sha256,
        engine=asked.engine,
        form=asked.form,
        maps=asked.maps,
        folder=os.getcwd(),
        threads=1 if asked.workers.ray else max(1, cores() // jobs),
    )


def _settings(asked: Archive, model: Model) -> dict[str, str]:
    """What makes answers comparable. What is asked of a server has no part in it: hashes of patient IDs are guessed."""
    named = [shown(name) for name in asked.named]
    return {
        "version of tumorlens": __version__,
        "model": model.predictor.bundle.sha256,
        "engine": asked.engine,
        "format": asked.form,
        # Answers hold paths as they were named: the same folder by another name would be answered once more.
        "working folder": os.getcwd(),
        "list of inputs": hashlib.sha256(json.dumps(named).encode()).hexdigest(),
        "folder of maps": "" if asked.maps is None else os.path.abspath(asked.maps),
    }


def _key(*parts: object) -> bytes:
    """What tells an input from all others."""
    return hashlib.blake2b(json.dumps(parts).encode(), digest_size=16).digest()
