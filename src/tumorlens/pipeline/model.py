"""A loaded model that answers for files, bytes and arrays."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import groupby, islice
from pathlib import Path
from typing import cast

import cv2
import numpy as np

from tumorlens import bundle, data, io
from tumorlens.errors import DataError, InputError, MissingExtraError, TumorLensError, UsageError
from tumorlens.inference import Failure, Prediction, Predictor, SeriesPrediction, maps
from tumorlens.inference.result import Answer
from tumorlens.io.atomic import write_bytes
from tumorlens.io.slice import Slice

Input = str | os.PathLike[str] | bytes | np.ndarray | Slice
_FILES_AHEAD = 32


class Model:
    """A model ready to answer.

    Args:
        predictor: from a bundle.
    """

    def __init__(self, predictor: Predictor) -> None:
        self.predictor = predictor
        self.info = predictor.bundle.info
        self.labels = predictor.labels

    def predict(self, source: Input | Sequence[Input]) -> Prediction | list[Answer]:
        """The answer for a slice, or the answers for several.

        Args:
            source: a path, encoded bytes, a grey (H, W) or colour (H, W, 3) array, a slice, or a list of these.

        Returns:
            One :class:`~tumorlens.inference.Prediction` for one image; a list for a list, and for a file of several
            slices, whose last entry is the answer for the series.

        Raises:
            InputError: when a single input cannot be used; in a list that becomes a ``Failure``.
        """
        if not isinstance(source, (list, tuple)):
            slices = _slices(cast(Input, source), "array")
            answers: list[Answer] = list(self._answer(slices))
            first = answers[0]
            return first if len(answers) == 1 and isinstance(first, Prediction) else answers
        several: list[Answer] = []
        for number, item in enumerate(source):
            try:
                several += self._answer(_slices(item, f"array{number}"))
            except InputError as error:
                several.append(
                    Failure(os.fspath(item) if isinstance(item, (str, os.PathLike)) else f"input {number}", error)
                )
        return several

    def predict_paths(
        self, inputs: Iterable[str], *, map_folder: str | os.PathLike[str] | None = None
    ) -> Iterator[Answer]:
        """Answers for files, folders, archives and volumes, one after another, in constant memory.

        Args:
            inputs: as named by the user.
            map_folder: where to write the activation maps as PNG, or None.
        """
        with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
            for named in inputs:
                yield from self._predict_input(named, pool, map_folder)

    def _predict_input(
        self, named: str, pool: ThreadPoolExecutor, map_folder: str | os.PathLike[str] | None
    ) -> Iterator[Answer]:
        try:
            manifest = data.read(named)
        except (DataError, InputError, UsageError) as error:
            yield Failure(named, error)
            return
        for skipped in manifest.skipped:
            yield Failure(skipped.path, InputError(skipped.reason, code=skipped.code))
        files = iter(
            [(path, [row.frame for row in rows]) for path, rows in groupby(manifest, key=lambda row: row.path)]
        )
        while chunk := list(islice(files, _FILES_AHEAD)):
            ready = list(pool.map(lambda file: _read(*file), chunk))
            # Single slices of many files share batches; a volume is a batch of its own.
            for many, members in groupby(ready, key=lambda item: isinstance(item, list) and len(item) > 1):
                if many:
                    for item in members:
                        yield from self._answer(item, map_folder)  # type: ignore[arg-type]
                    continue
                batch = list(members)
                good = iter(self._answer_slices([item[0] for item in batch if isinstance(item, list)], map_folder))
                for item in batch:
                    yield item if isinstance(item, Failure) else next(good)

    def _answer(self, slices: Sequence[Slice], map_folder: str | os.PathLike[str] | None = None) -> list[Answer]:
        answers: list[Answer] = list(self._answer_slices(slices, map_folder))
        if len(slices) > 1:
            single = [answer for answer in answers if isinstance(answer, Prediction)]
            mean = {name: float(np.mean([answer.probabilities[name] for answer in single])) for name in self.labels}
            best = max(mean, key=lambda name: mean[name])
            answers.append(
                SeriesPrediction(
                    slices[0].path, tuple(answer.id for answer in single), best, mean, self.predictor.identity
                )
            )
        return answers

    def _answer_slices(
        self, slices: Iterable[Slice], map_folder: str | os.PathLike[str] | None
    ) -> Iterator[Prediction]:
        for answer in self.predictor.predict_slices(slices):
            yield answer if map_folder is None else replace(answer, map=self._write_map(answer, Path(map_folder)))

    def _write_map(self, answer: Prediction, folder: Path) -> str:
        strength = self.map(answer)
        picture = maps.overlay(answer.image, strength)
        stem = Path(answer.path.rpartition("!")[2]).name.partition(".")[0] or "slice"
        name = stem if answer.frame is None else f"{stem}-{answer.frame:04d}"
        path = folder / f"{name}.png"
        number = 1
        while path.exists():
            number += 1
            path = folder / f"{name}-{number}.png"
        write_bytes(path, cv2.imencode(".png", picture)[1].tobytes())
        return str(path)

    def map(self, answer: Prediction) -> np.ndarray:
        """Where the network looked for its answer: float32 (S, S) in [0, 1].

        The exact class-activation map where the network has one, else by occlusion.
        """
        activation = answer.activation
        if activation is None:
            index = self.labels.index(str(answer.predicted))
            activation = maps.occlusion(answer.image, index, lambda images: self.predictor.run(images).logits)
        return maps.normalise(activation, len(answer.image))


def load(model: str | os.PathLike[str] | None = None, *, threads: int = 0) -> Model:
    """Load MODEL: a bundle folder or zip, a run folder, or the name of a shipped model (``default`` when None).

    Raises:
        ModelError: when there is none, or it is damaged.
    """
    return Model(Predictor(bundle.load(model), threads))


def _read(path: str, frames: list[int | None]) -> list[Slice] | Failure:
    try:
        return [io.read_slice(path, frame) for frame in frames]
    except (InputError, MissingExtraError) as error:
        return Failure(path, error)


def _slices(item: Input, name: str) -> list[Slice]:
    if isinstance(item, Slice):
        return [item]
    if isinstance(item, bytes):
        return io.read_bytes(item)
    if isinstance(item, np.ndarray):
        return [Slice(_grey(item), name)]
    if isinstance(item, (str, os.PathLike)):
        return io.read(os.fspath(item))
    raise UsageError(
        f"cannot predict from a {type(item).__name__}", hint="pass a path, bytes, an array, a Slice, or a list of these"
    )


def _grey(array: np.ndarray) -> np.ndarray:
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim == 3 and array.shape[2] == 3:
        array = array.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    if array.ndim != 2 or not array.size or array.dtype.kind not in "biuf":
        raise InputError(
            f"found an array of shape {array.shape} and type {array.dtype}, expected numbers (H, W) or (H, W, 3)",
            hint="pass one slice; for a volume pass a list of its slices",
            code="not_an_image",
        )
    return array.astype(np.float32)


__all__ = ["Model", "TumorLensError", "load"]
