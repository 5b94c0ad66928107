"""A loaded model that answers for files, bytes and arrays."""

from __future__ import annotations

import hashlib
import os
import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import cast

import cv2
import numpy as np

from tumorlens import bundle, io
from tumorlens.data.dicomweb.address import is_address, shown
from tumorlens.data.inputs import Item, Note, frames_of, nothing_in, passed_over, stream
from tumorlens.errors import EnvironmentFailure, InputError, MissingExtraError, TumorLensError, UsageError
from tumorlens.inference import Failure, Prediction, Predictor, SeriesPrediction, engines, maps
from tumorlens.inference.result import Answer
from tumorlens.inference.series import SeriesSum
from tumorlens.io.arrays import from_array
from tumorlens.io.atomic import write_bytes, writing
from tumorlens.io.slice import Slice
from tumorlens.pipeline import readahead
from tumorlens.pipeline.reporter import Reporter

Input = str | os.PathLike[str] | bytes | np.ndarray | Slice


class Model:
    """A model ready to answer.

    Args:
        predictor: from a bundle.

    Attributes:
        info: ``bundle.json`` as a :class:`~tumorlens.bundle.BundleInfo`.
        labels: class names, in the order of the logits.
        predictor: the one behind it, for standardised images.
    """

    def __init__(self, predictor: Predictor) -> None:
        self.predictor = predictor
        self.info = predictor.bundle.info
        self.labels = predictor.labels

    def __repr__(self) -> str:
        return f"<Model {self.info.name} {self.info.version}: {', '.join(self.labels)}>"

    def predict(self, source: Input | Sequence[Input]) -> Prediction | list[Answer]:
        """The answer for a slice, or the answers for several.

        Args:
            source: a path, encoded bytes, a grey (H, W) or colour (H, W, 3) array, a slice, or a list of these.

        Returns:
            One :class:`~tumorlens.inference.Prediction` for one image; a list for a list, and for a file of several
            slices, whose last entry is the answer for the series.

        Raises:
            InputError: when a single input cannot be used; in a list that becomes a ``Failure``.
            UsageError: likewise for what is no input at all.
        """
        if not isinstance(source, (list, tuple)):
            answers = self._answer(_slices(cast(Input, source), "array"))
            first = answers[0]
            return first if len(answers) == 1 and isinstance(first, Prediction) else answers
        several: list[Answer] = []
        for number, item in enumerate(source):
            try:
                several += self._answer(_slices(item, f"array{number}"))
            except TumorLensError as error:
                named = shown(os.fspath(item)) if isinstance(item, (str, os.PathLike)) else f"input {number}"
                several.append(Failure(named, error))
        return several

    def predict_paths(
        self,
        inputs: Iterable[str],
        *,
        map_folder: str | os.PathLike[str] | None = None,
        reporter: Reporter | None = None,
    ) -> Iterator[Answer]:
        """Answers for files, folders, archives and volumes, one after another, in constant memory.

        Args:
            inputs: as named by the user.
            map_folder: where to write the activation maps as PNG, or None.
            reporter: told what was passed over.

        Raises:
            EnvironmentFailure: when the maps cannot be written.
        """
        folder = None if map_folder is None else Path(map_folder)
        if folder is not None:
            with writing(folder):
                folder.mkdir(parents=True, exist_ok=True)
        # A DICOM series is a file per slice, and its files may be named one by one.
        scans: dict[str, SeriesSum] = {}
        lost: set[str] = set()
        with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
            for named in inputs:
                for answer in self._predict_input(named, pool, folder, reporter or Reporter()):
                    yield answer
                    if isinstance(answer, Prediction) and answer.frame is None and answer.series:
                        scans.setdefault(answer.series, self.gathering(answer)).add(answer)
                    elif isinstance(answer, SeriesPrediction) and answer.uid:
                        scans.pop(answer.uid, None)  # a server's series are complete one by one
                    elif isinstance(answer, Failure) and isinstance(answer.error, EnvironmentFailure):
                        # The server of a series was lost; the answer for a part would pass for that for all of it.
                        lost.add(answer.path.rpartition("/series/")[2].partition("/")[0])
        yield from (scan.answer() for uid, scan in scans.items() if len(scan) > 1 and uid not in lost)

    def _predict_input(
        self, named: str, pool: ThreadPoolExecutor, map_folder: Path | None, tell: Reporter
    ) -> Iterator[Answer]:
        if is_address(named):
            from tumorlens.pipeline.asking import ask

            yield from ask(named, pool, lambda slices: self._answer_slices(slices, map_folder), self.gathering)
            return
        others, example, root, anything = 0, "", "", False
        found = told(stream(named, [map_folder] if map_folder else ()), tell)
        for item, answer in self.predict_items(found, pool, map_folder):
            root = item.root
            if answer is None:
                others, example = others + 1, example or item.path
            else:
                anything = True
                yield answer
        if others:
            tell.note(passed_over(root, others, example))
        if others and not anything:
            yield Failure(named, nothing_in(root, others))

    def predict_items(
        self, items: Iterable[Item], pool: ThreadPoolExecutor, map_folder: Path | None
    ) -> Iterator[tuple[Item, Answer | None]]:
        """Answers for files in their order, each with the file that it is for; None for one that is no image at all.

        Args:
            items: files.
            pool: reads them, some ahead of the network: see :mod:`tumorlens.pipeline.readahead`.
            map_folder: where to write the activation maps, or None.
        """
        # Single slices of many files share batches; a volume is read on its own, some slices at a time.
        for batch in readahead.batches(items, pool, _open):
            item, found = batch[0]
            if isinstance(found, tuple):
                yield from ((item, answer) for answer in self._predict_frames(item.path, found, map_folder))
            else:
                del found  # nobody may hold on to pixels that were answered
                yield from self._predict_batch(batch, map_folder)

    def _predict_batch(self, batch: readahead.Batch, map_folder: Path | None) -> Iterator[tuple[Item, Answer | None]]:
        good = self._answer_slices([found for _, found in batch if isinstance(found, Slice)], map_folder)
        for item, found in batch:
            yield item, next(good) if isinstance(found, Slice) else cast("Failure | None", found)

    def _predict_frames(self, path: str, frames: Sequence[int | None], map_folder: Path | None) -> Iterator[Answer]:
        whole: SeriesSum | None = None
        left = deque(frames)
        while left:
            try:
                slices = _next_frames(path, left)
            except (InputError, MissingExtraError) as error:
                yield Failure(path, error)
                return
            for answer in self._answer_slices(slices, map_folder):
                yield answer
                if answer.series:
                    whole = whole or self.gathering(answer)
                    whole.add(answer)
            slices.clear()  # before more are read
        if whole:
            yield whole.answer()

    def _answer(self, slices: Sequence[Slice]) -> list[Answer]:
        answers = list(self._answer_slices(slices, None))
        if len(answers) < 2 or not answers[0].series:
            return [*answers]
        whole = self.gathering(answers[0])
        for answer in answers:
            whole.add(answer)
        return [*answers, whole.answer()]

    def gathering(self, first: Prediction) -> SeriesSum:
        """What gathers the answers for a series; ``first`` is any of them, and has to be added, too."""
        return SeriesSum(first, self.predictor.series)

    def _answer_slices(self, slices: Iterable[Slice], map_folder: Path | None) -> Iterator[Prediction]:
        for answer in self.predictor.predict_slices(slices):
            if map_folder is None or answer.predicted is None:  # of a refused slice there is nothing to show
                yield answer
            else:
                yield replace(answer, map=self._write_map(answer, map_folder))

    def _write_map(self, answer: Prediction, folder: Path) -> str:
        name = str(answer.predicted)
        scale = maps.MASK_SCALE if answer.mask is not None else maps.CLASS_SCALE
        picture = maps.captioned(answer.image, self.map(answer), f"{name} {answer.probabilities[name]:.1%}", scale)
        path = folder / f"{_file_name(answer.id)}.png"
        write_bytes(path, cv2.imencode(".png", picture)[1].tobytes())
        return str(path)

    def map(self, answer: Prediction) -> np.ndarray:
        """Where the network looked for its answer: float32 (S, S) in [0, 1].

        The predicted tumour mask where the network has one, else its exact class-activation map, else by occlusion.
        """
        if answer.mask is not None:
            return maps.enlarge(answer.mask, len(answer.image))
        activation = answer.activation
        if activation is None:
            likeliest = max(self.labels, key=lambda name: answer.probabilities[name])
            index = self.labels.index(answer.predicted or likeliest)
            activation = maps.occlusion(answer.image, index, self.predictor.logits)
        return maps.normalise(activation, len(answer.image))


def load(model: str | os.PathLike[str] | None = None, *, threads: int = 0, engine: str = engines.DEFAULT) -> Model:
    """Load MODEL: a bundle folder or zip, a run folder, or the name of a shipped model (``default`` when None).

    Args:
        model: MODEL.
        threads: for one call of the network; 0 lets the runtime choose.
        engine: which program runs it, of :data:`tumorlens.inference.engines.ENGINES`.

    Raises:
        ModelError: when there is none, or it is damaged, or the engine cannot run it.
        UsageError: for an unknown engine, or one whose package is not installed.
    """
    return Model(Predictor(bundle.load(model), threads, engine))


def told(found: Iterable[Item | Note], tell: Reporter) -> Iterator[Item]:
    """The files among what was found; the sentences among it go to ``tell``."""
    for one in found:
        if isinstance(one, Note):
            tell.note(one.text)
        else:
            yield one


def _open(item: Item) -> readahead.Opened:
    try:
        frames = frames_of(item)
        return accepted(io.read_slice(item.path, frames[0])) if frames and len(frames) == 1 else frames
    except (InputError, MissingExtraError) as error:
        return Failure(item.path, error)


def _next_frames(path: str, left: deque[int | None]) -> list[Slice]:
    """The next frames of a volume, as many as are answered together."""
    found: list[Slice] = []
    while left and not readahead.is_full(found):
        found.append(accepted(io.read_slice(path, left.popleft())))
    return found


def _slices(item: Input, name: str) -> list[Slice]:
    if isinstance(item, Slice):
        found = [item]
    elif isinstance(item, bytes):
        found = io.read_bytes(item)
    elif isinstance(item, np.ndarray):
        found = [from_array(item, name)]
    elif isinstance(item, (str, os.PathLike)):
        if is_address(os.fspath(item)):
            raise UsageError(f"{shown(os.fspath(item))} is on a server", hint="ask for it with predict_paths")
        found = io.read(os.fspath(item))
    else:
        raise UsageError(
            f"cannot predict from a {type(item).__name__}",
            hint="pass a path, bytes, an array, a Slice, or a list of these",
        )
    return [accepted(each) for each in found]


def accepted(item: Slice) -> Slice:
    """The slice, unless its file says itself that it is no MR image of a head."""
    if item.objection is not None:
        raise item.objection.with_traceback(None)
    return item


def _file_name(slice_id: str) -> str:
    """A file name for a slice: its end can be read, and no two slices share one."""
    readable = re.sub(r"[^\w.#-]+", "_", slice_id, flags=re.ASCII)[-80:].strip("._")
    return f"{readable}-{hashlib.sha256(slice_id.encode(errors='surrogateescape')).hexdigest()[:8]}"


__all__ = ["Model", "TumorLensError", "load"]
