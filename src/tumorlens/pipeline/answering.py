"""The unit of work of an archive: some files in, the lines about them out, as bytes that travel to other machines."""

from __future__ import annotations

import json
import os
import traceback
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from tumorlens import __version__, errors
from tumorlens.data.dicomweb.address import is_address
from tumorlens.data.inputs import Item
from tumorlens.errors import EnvironmentFailure, InputError, MissingExtraError, ModelError, TumorLensError
from tumorlens.inference import Failure, Prediction, SeriesPrediction
from tumorlens.inference.lines import line
from tumorlens.inference.result import Answer
from tumorlens.pipeline.model import Model, load


@dataclass(frozen=True)
class Order:
    """How files are answered, wherever that is.

    Attributes:
        model: MODEL; None for the one that ships.
        sha256: of its bundle.
        engine: which program runs it.
        form: of the lines, one of :data:`tumorlens.inference.lines.FORMS`.
        maps: folder of the activation maps, or None.
        folder: that paths are relative to.
        threads: of each worker.
        version: of tumorlens.
    """

    model: str | None
    sha256: str
    engine: str
    form: str
    maps: str | None
    folder: str
    threads: int = 1
    version: str = __version__


class Part(msgspec.Struct, forbid_unknown_fields=True):
    """What was answered for some files.

    Attributes:
        text: lines, in the order of the files.
        used: answers among them.
        failed: sentences about files that could not be used, one for each.
        unseen: those among them that the worker has not found at all or may not read, each with the folder or archive
            that it was found in.
        roots: folder or archive → answers, files passed over, and one of these.
        slices: what has to be kept of the slices of DICOM series that lie in a file each, in the order of the files.
        error: kind, message, hint and code of what stopped the worker; empty when nothing did.
    """

    text: str = ""
    used: int = 0
    failed: list[str] = []
    unseen: list[tuple[str, str]] = []
    roots: dict[str, tuple[int, int, str]] = {}
    slices: list[dict[str, Any]] = []
    error: tuple[str, ...] = ()

    def check(self) -> None:
        """Raise the error that stopped the worker, if one did."""
        if self.error:
            kind, message, hint, code = self.error
            family = getattr(errors, kind, None)
            if family is None:
                raise RuntimeError(message)
            raise errors.again(family, message, hint, code)


# JSON, whose escapes carry file names that are no text in any encoding.
def packed(value: object) -> bytes:
    """Anything of plain values, dataclasses and structs, as bytes."""
    return json.dumps(msgspec.to_builtins(value)).encode()


def items_of(chunk: bytes) -> list[Item]:
    """The files that were packed."""
    return msgspec.convert(json.loads(chunk), list[Item])


def part_of(content: bytes) -> Part:
    """The part that was packed."""
    return msgspec.convert(json.loads(content), Part)


def joined(parts: Iterable[Part]) -> Part:
    """One part of several, in their order; the error is that of the first that has one."""
    whole = Part()
    for part in parts:
        whole.text += part.text
        whole.used += part.used
        whole.failed += part.failed
        whole.unseen += part.unseen
        whole.slices += part.slices
        whole.error = whole.error or part.error
        for root, (answered, passed, example) in part.roots.items():
            before = whole.roots.get(root, (0, 0, ""))
            whole.roots[root] = before[0] + answered, before[1] + passed, before[2] or example
    return whole


def failed(item: Item, error: InputError, form: str, labels: Sequence[str]) -> Part:
    """The part that says why a file could not be used."""
    failure = Failure(item.path, error)
    return Part(text=line(failure, form, labels), failed=[failure.sentence], roots={item.root: (1, 0, "")})


class Answerer:
    """Answers files with one model, which it loads when the first come.

    Args:
        order: how.
        model: the same model, where it is in memory already.
    """

    def __init__(self, order: Order, model: Model | None = None) -> None:
        self._order = order
        self._model = model
        self._pool = ThreadPoolExecutor(max_workers=order.threads)

    def __call__(self, chunk: bytes) -> bytes:
        """The packed :class:`Part` for packed files. Nothing is raised: errors travel in the part.

        For no files the network runs all the same: whether this machine can answer at all.
        """
        try:
            return packed(self._answered(items_of(chunk)))
        except TumorLensError as error:
            return packed(Part(error=(type(error).__name__, error.message, error.hint, error.code)))
        except Exception as error:  # noqa: BLE001 - told by the process that asked
            return packed(Part(error=("", _place(error), "", "")))

    def _answered(self, items: Sequence[Item]) -> Part:
        if not items:
            self._try()
            return Part()
        try:
            return self._part(items)
        except TumorLensError:
            raise
        except Exception as error:  # noqa: BLE001 - of which file is not known
            self._try()  # raises what says nothing about the files
            if len(items) > 1:
                half = len(items) // 2
                return joined([self._answered(items[:half]), self._answered(items[half:])])
            unexpected = InputError(
                f"{items[0].path} cannot be answered: {_place(error)}",
                hint="this is a fault in tumorlens; please report it",
                code="internal",
            )
            return failed(items[0], unexpected, self._order.form, self._loaded().labels)

    def _try(self) -> None:
        model = self._loaded()
        size = model.info.recipe.size
        model.predictor.run(np.zeros((1, size, size), np.uint8))

    def _part(self, items: Sequence[Item]) -> Part:
        model = self._loaded()
        part, text = Part(), []
        kept: dict[str, list[dict[str, Any]]] = {}
        for item, answer in self._answers(model, items):
            answered, passed, example = part.roots.get(item.root, (0, 0, ""))
            if answer is None:
                part.roots[item.root] = answered, passed + 1, example or item.path
                continue
            part.roots[item.root] = answered + 1, passed, example
            text.append(line(answer, self._order.form, model.labels))
            if isinstance(answer, Failure):
                error = answer.error
                # These say nothing about the file.
                if isinstance(error, EnvironmentFailure) or error.code == MissingExtraError.code:
                    raise error
                part.failed.append(answer.sentence)
                if error.code == "no_permission" or (error.code == "not_found" and not os.path.exists(on_disk(item))):
                    part.unseen.append((on_disk(item), item.root))
                continue
            part.used += 1
            if isinstance(answer, Prediction) and answer.frame is None and answer.series:
                kept.setdefault(answer.series, []).append(kept_of(answer))
            elif isinstance(answer, SeriesPrediction) and answer.uid:
                kept.pop(answer.uid, None)  # a server's series are complete one by one
        part.text = "".join(text)
        part.slices = [one for several in kept.values() for one in several]
        return part

    def _answers(self, model: Model, items: Iterable[Item]) -> Iterator[tuple[Item, Answer | None]]:
        maps = None if self._order.maps is None else Path(self._order.maps)
        files: list[Item] = []
        for item in items:
            if item.problem is None and is_address(item.path):
                yield from model.predict_items(files, self._pool, maps)
                files = []
                yield from ((item, one) for one in model.predict_paths([item.path], map_folder=maps))
            else:
                files.append(item)
        yield from model.predict_items(files, self._pool, maps)

    def _loaded(self) -> Model:
        self._model = self._model or self._load()
        return self._model

    def _load(self) -> Model:
        import cv2

        if self._order.version != __version__:
            raise EnvironmentFailure(
                f"a worker has tumorlens {__version__}, expected {self._order.version}",
                hint="the same version of tumorlens must be on every machine of the cluster",
                code="not_shared",
            )
        folder = self._order.folder
        try:
            if os.getcwd() != folder:
                os.chdir(folder)
        except OSError:
            raise EnvironmentFailure(
                f"a worker does not see {folder}",
                hint="the files must lie where every machine of the cluster has them under the same path",
                code="not_shared",
            ) from None
        # OpenCV's own threads would only stand in the way of the other workers.
        cv2.setNumThreads(self._order.threads)
        model = load(self._order.model, threads=self._order.threads, engine=self._order.engine)
        if model.predictor.bundle.sha256 != self._order.sha256:
            raise ModelError(
                f"a worker has another model than asked for, {model.predictor.bundle.sha256[:16]}…, by the same name",
                hint="the same version of tumorlens, and the same model, must be on every machine of the cluster",
                code="not_shared",
            )
        return model


def on_disk(item: Item) -> str:
    """The file itself, or the archive that it is in."""
    return item.path if os.path.exists(item.path) else item.path.partition("!")[0]


def _place(error: Exception) -> str:
    """What went wrong and where, without the text of the error, which may repeat what a file holds."""
    last = traceback.extract_tb(error.__traceback__)[-1:]
    return type(error).__name__ + "".join(f" at {Path(one.filename).name}:{one.lineno}" for one in last)


_LEFT_OUT = {"embedding", "activation", "mask", "image", "model", "map", "ms"}
_KEPT = tuple(one.name for one in fields(Prediction) if one.name not in _LEFT_OUT)


def kept_of(answer: Prediction) -> dict[str, Any]:
    """What has to be kept of a slice until its series is complete: plain values."""
    return {name: getattr(answer, name) for name in _KEPT}


def slice_of(kept: dict[str, Any], model: dict[str, str]) -> Prediction:
    """The slice that was kept, without its images.

    Args:
        kept: from :func:`kept_of`.
        model: as in every prediction.
    """
    return Prediction(**kept, model=model, ms=0.0)
