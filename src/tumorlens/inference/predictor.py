"""From slices to answers: the one predictor of the command line, Python, the web and evaluation."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, cast

import numpy as np

from tumorlens.bundle import Bundle
from tumorlens.errors import ModelError
from tumorlens.inference.engines import DEFAULT, engine_of
from tumorlens.inference.gate import REASON, Gate
from tumorlens.inference.result import BURNT_IN, NOT_BRAIN_MRI, Prediction
from tumorlens.inference.trust import Selective, Trust
from tumorlens.inference.trust.series import SeriesTrust
from tumorlens.io.slice import Slice
from tumorlens.preprocess import standardise, to_input
from tumorlens.preprocess.stack import Stack
from tumorlens.preprocess.unfit import unfit

_BATCH = 32
# Outputs with a place in the image, float32 (N, h, w, …).
_MAPS = ("cam", "mask")


@dataclass(frozen=True)
class Outputs:
    """What the network gives for N images.

    Attributes:
        logits: float32 (N, classes).
        probabilities: float64 (N, classes), calibrated where the bundle is.
        embedding: float32 (N, D).
        activation: float32 (N, h, w, classes), or None when the network has no map.
        mask: float32 (N, h, w), probability of tumour at each place, or None when the network predicts none.
        sets: bool (N, classes), the conformal sets, or None when the bundle has none.
        accepted: bool (N,), whether an answer is sure enough and its slice not refused, or None when the bundle has no
            threshold.
        refused: bool (N,), which slices are no brain MRI, or None when the bundle has no gate.
    """

    logits: np.ndarray
    probabilities: np.ndarray
    embedding: np.ndarray
    activation: np.ndarray | None
    mask: np.ndarray | None
    sets: np.ndarray | None = None
    accepted: np.ndarray | None = None
    refused: np.ndarray | None = None

    def take(self, rows: np.ndarray) -> Outputs:
        """Those of some images, by number."""

        def of(values: np.ndarray | None) -> np.ndarray | None:
            return None if values is None else values[rows]

        return Outputs(
            logits=self.logits[rows],
            probabilities=self.probabilities[rows],
            embedding=self.embedding[rows],
            activation=of(self.activation),
            mask=of(self.mask),
            sets=of(self.sets),
            accepted=of(self.accepted),
            refused=of(self.refused),
        )


class Predictor:
    """Answers questions with one bundle.

    Args:
        bundle: from :func:`tumorlens.bundle.load`.
        threads: for one call of the network; 0 lets the runtime choose.
        engine: which program runs it, of :data:`tumorlens.inference.engines.ENGINES`.

    Raises:
        ModelError: when the network cannot be run, or is not the one that ``bundle.json`` describes.
        UsageError: for an unknown engine, or one whose package is not installed.
    """

    def __init__(self, bundle: Bundle, threads: int = 0, engine: str = DEFAULT) -> None:
        self.bundle = bundle
        self.labels = bundle.info.labels
        self.identity = {"name": bundle.info.name, "version": bundle.info.version, "sha256": bundle.sha256}
        if engine != DEFAULT:  # scores, and trust, are those of the reference
            self.identity["engine"] = engine
        self._engine = engine_of(bundle, engine, threads)
        info = bundle.info
        try:
            self.trust = Trust.read(info.calibration, info.conformal, info.selective, info.labels)
            self.series = SeriesTrust.read(info.series, info.labels)
            self.gate = None if info.rejection is None else Gate.read(bundle.gate, info.rejection, threads)
        except ValueError as error:
            raise _mismatch(bundle, str(error)) from None
        self._check()

    def run(self, images: np.ndarray | Stack, progress: Callable[[int, int], None] | None = None) -> Outputs:
        """The network's outputs for standardised images, uint8 (N, S, S)."""
        found = self._network(images, progress)
        raw = Outputs(
            logits=found["logits"],
            probabilities=np.zeros(0),
            embedding=found["embedding"],
            activation=found.get("cam"),
            mask=found["mask"][..., 0] if "mask" in found else None,
            refused=None if self.gate is None else self.gate.refuses(images),
        )
        return self.judged(raw)

    def logits(self, images: np.ndarray) -> np.ndarray:
        """What the network says of standardised images, uint8 (N, S, S), without gate and trust: float32 (N, K)."""
        return self._network(images)["logits"]

    def _network(
        self, images: np.ndarray | Stack, progress: Callable[[int, int], None] | None = None
    ) -> dict[str, np.ndarray]:
        """All outputs by name, batch by batch."""
        parts = []
        for start in range(0, len(images), _BATCH):
            parts.append(self._run_batch(np.asarray(images[start : start + _BATCH])))
            if progress:
                progress(min(start + _BATCH, len(images)), len(images))
        if not parts:
            size = self.bundle.info.recipe.size
            empty = self._run_batch(np.zeros((1, size, size), np.uint8))
            parts = [{name: value[:0] for name, value in empty.items()}]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def judged(self, outputs: Outputs) -> Outputs:
        """The outputs of the same network and gate in another bundle, with the trust of this one."""
        judged = self.trust.judge(outputs.logits, self.labels)
        accepted = judged.accepted
        if accepted is not None and outputs.refused is not None:
            accepted = accepted & ~outputs.refused
        return replace(outputs, probabilities=judged.probabilities, sets=judged.sets, accepted=accepted)

    def predict_slices(self, slices: Iterable[Slice]) -> Iterator[Prediction]:
        """Answers for slices, in their order, a batch at a time."""
        stream = iter(slices)
        while batch := list(islice(stream, _BATCH)):
            yield from self._predict_batch(batch)

    def _predict_batch(self, batch: Sequence[Slice]) -> list[Prediction]:
        begun = time.perf_counter()
        images = np.stack([standardise(item.pixels, self.bundle.info.recipe) for item in batch])
        outputs = self.run(images)
        each = round((time.perf_counter() - begun) * 1000 / len(batch), 3)
        answers = []
        for index, item in enumerate(batch):
            best = int(outputs.probabilities[index].argmax())
            probabilities = dict(zip(self.labels, map(float, outputs.probabilities[index]), strict=True))
            wrong = unfit(item.pixels, images[index])
            answers.append(
                Prediction(
                    id=item.id,
                    path=item.path,
                    frame=item.frame,
                    probabilities=probabilities,
                    model=self.identity,
                    ms=each,
                    embedding=outputs.embedding[index],
                    activation=None if outputs.activation is None else outputs.activation[index, :, :, best],
                    mask=None if outputs.mask is None else outputs.mask[index],
                    **(_refused(wrong.reason) if wrong else _flagged(self._judged(outputs, index), item)),
                    image=images[index],
                    series=item.series,
                    position=item.position,
                    derived=item.derived,
                )
            )
        return answers

    def _judged(self, outputs: Outputs, index: int) -> dict[str, Any]:
        """What is said of a slice: its class, set, verdict and reason."""
        if outputs.refused is not None and outputs.refused[index]:
            return _refused(REASON)
        predicted = self.labels[int(outputs.probabilities[index].argmax())]
        own, reasons = None, []
        if outputs.sets is not None:
            own = tuple(name for name, inside in zip(self.labels, outputs.sets[index], strict=True) if inside)
            if not own:
                reasons.append("unlike every class that the model knows")
        if outputs.accepted is None:
            return {"predicted": predicted, "set": own, "verdict": None, "reason": None}
        top, threshold = float(outputs.probabilities[index].max()), cast(Selective, self.trust.selective).threshold
        if top < threshold:
            digits = next((n for n in (1, 2, 3) if f"{top:.{n}%}" != f"{threshold:.{n}%}"), 4)
            reasons.insert(0, f"the highest probability, {top:.{digits}%}, is below {threshold:.{digits}%}")
        return {
            "predicted": predicted,
            "set": own,
            "verdict": "accepted" if outputs.accepted[index] else "uncertain",
            "reason": "; ".join(reasons) or None,
        }

    def _run_batch(self, images: np.ndarray) -> dict[str, np.ndarray]:
        count = len(images)
        if not self.bundle.info.flip_average:
            return self._engine.run(to_input(images))
        # One call for the slices and their mirror images; averaging logits keeps the map exact.
        both = self._engine.run(to_input(np.concatenate([images, images[:, :, ::-1]])))
        return {
            name: (value[:count] + (value[count:, :, ::-1] if name in _MAPS else value[count:])) / 2
            for name, value in both.items()
        }

    def _check(self) -> None:
        """Compare ``bundle.json`` with what the network does with one black image."""
        info = self.bundle.info
        missing = {"logits", "embedding", *info.outputs} - set(self._engine.outputs)
        if missing:
            raise _mismatch(self.bundle, f"the network has no output {sorted(missing)[0]!r}")
        try:
            found = self._engine.run(np.zeros((1, info.recipe.size, info.recipe.size, 1), np.float32))
        except Exception as error:
            # ONNX Runtime has no error of its own for an input of another size.
            reason = f"the network takes no images of {info.recipe.size} × {info.recipe.size} pixels"
            raise _mismatch(self.bundle, reason) from error
        if found["logits"].shape != (1, len(self.labels)):
            reason = f"the network knows {found['logits'].shape[-1]} classes, bundle.json {len(self.labels)}"
            raise _mismatch(self.bundle, reason)


def _refused(reason: str) -> dict[str, Any]:
    """What is said of a slice that gets no answer."""
    return {"predicted": None, "set": None, "verdict": NOT_BRAIN_MRI, "reason": reason}


def _flagged(judged: dict[str, Any], item: Slice) -> dict[str, Any]:
    """What is said of a slice, doubted where text is part of the picture: the network may have read it."""
    if not item.burnt_in or judged["predicted"] is None:
        return judged
    verdict = "uncertain" if judged["verdict"] == "accepted" else judged["verdict"]
    return {**judged, "verdict": verdict, "reason": "; ".join(filter(None, (judged["reason"], BURNT_IN)))}


def _mismatch(bundle: Bundle, reason: str) -> ModelError:
    return ModelError(
        f"the parts of {bundle.where} do not belong together: {reason}",
        hint="copy or export the bundle again",
        code="mismatch",
    )
