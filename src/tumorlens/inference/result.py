"""What an answer holds; ``as_dict`` is the contract's JSON."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tumorlens.errors import TumorLensError
from tumorlens.preprocess.unfit import Unfit

#: The verdict that goes with no class at all.
NOT_BRAIN_MRI = "not_brain_mri"
#: The reason of a slice on which there is nothing to see.
BLANK = Unfit.BLANK.reason
#: The reason against a slice whose header says so (Burned In Annotation, PS3.3 C.7.6.1).
BURNT_IN = "its header says that text is burnt into the picture"


@dataclass(frozen=True, eq=False)
class Prediction:
    """The answer for one slice.

    Attributes:
        id: ``path`` or ``path#frame``.
        path: the file.
        frame: index in a multi-frame file, or None.
        predicted: the most probable class; None when the slice is refused.
        probabilities: class → probability; of a refused slice they mean nothing.
        set: the classes of the conformal set, or None while the model has none.
        verdict: ``accepted``, ``uncertain``, ``not_brain_mri``, or None while the model has no thresholds.
        reason: why, in words, or None.
        map: where the activation map was written, or None.
        model: ``{"name", "version", "sha256"}``.
        ms: time for this slice in milliseconds, from decoded pixels to the answer.
        embedding: float32 (D,).
        activation: float32 (h, w), activation of the predicted class at each position, in logits; None when the network
            has no map.
        mask: float32 (h, w), probability of tumour at each position; None when the network predicts none.
        image: uint8 (S, S), what the network saw.
        series: what it is a slice of, or None; not part of the JSON.
        position: where in that series it lies, or None; not part of the JSON.
        derived: whether its file says that it was computed from other images; not part of the JSON.
    """

    id: str
    path: str
    frame: int | None
    predicted: str | None
    probabilities: dict[str, float]
    model: dict[str, str]
    ms: float
    set: tuple[str, ...] | None = None
    verdict: str | None = None
    reason: str | None = None
    map: str | None = None
    embedding: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float32), repr=False)
    activation: np.ndarray | None = field(default=None, repr=False)
    mask: np.ndarray | None = field(default=None, repr=False)
    image: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), np.uint8), repr=False)
    series: str | None = field(default=None, repr=False)
    position: float | None = field(default=None, repr=False)
    derived: bool = field(default=False, repr=False)

    def as_dict(self) -> dict[str, Any]:
        """The contract's entry for a slice."""
        return {
            "id": self.id,
            "path": self.path,
            "frame": self.frame,
            "predicted": self.predicted,
            "probabilities": self.probabilities,
            "set": None if self.set is None else list(self.set),
            "verdict": self.verdict,
            "reason": self.reason,
            "map": self.map,
            "model": self.model,
            "ms": self.ms,
        }


@dataclass(frozen=True)
class SeriesPrediction:
    """The answer for a volume, a multi-frame file or a DICOM series.

    Attributes:
        path: the file, or the folder of the first file of a DICOM series.
        slices: ids of its slices, in the order in which they lie.
        predicted: the most probable class; None when the series is refused.
        probabilities: class → probability; the mean over the supporting slices, calibrated where the model is. Of a
            refused series they mean nothing.
        model: ``{"name", "version", "sha256"}``.
        uid: SeriesInstanceUID of a series of several files, else empty.
        answered: ids of those that are no padding, no copy and look like brain MRI.
        supporting: ids of the slices that the answer stands on: the most suspicious share of these.
        set: the classes of the conformal set, or None while the model has none for series.
        verdict: ``accepted``, ``uncertain`` (also where slices are judged and nothing is known of series);
            ``not_brain_mri`` when most slices are; None where nothing is judged.
        reason: why, in words, or None.
        aside: how many slices have no part in the answer, and why: ``blank``, ``derived`` (where there are originals),
            ``not_brain_mri``.
    """

    path: str
    slices: tuple[str, ...]
    predicted: str | None
    probabilities: dict[str, float]
    model: dict[str, str]
    uid: str = ""
    answered: tuple[str, ...] = ()
    supporting: tuple[str, ...] = ()
    set: tuple[str, ...] | None = None
    verdict: str | None = None
    reason: str | None = None
    aside: dict[str, int] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """The file's path, or ``folder#uid``."""
        return f"{self.path}#{self.uid}" if self.uid else self.path

    def as_dict(self) -> dict[str, Any]:
        """The contract's entry for a series."""
        return {
            "id": self.id,
            "path": self.path,
            "frame": None,
            "series": True,
            "slices": list(self.slices),
            "answered": list(self.answered),
            "supporting": list(self.supporting),
            "aside": dict(self.aside),
            "predicted": self.predicted,
            "probabilities": self.probabilities,
            "set": None if self.set is None else list(self.set),
            "verdict": self.verdict,
            "reason": self.reason,
            "map": None,
            "model": self.model,
            "ms": None,
        }


@dataclass(frozen=True)
class Failure:
    """An input that could not be used.

    Attributes:
        path: the file as it was named.
        error: why.
    """

    path: str
    error: TumorLensError

    @property
    def sentence(self) -> str:
        """What a person is told: most messages name the file themselves."""
        named = self.error.message if self.path in self.error.message else f"{self.path}: {self.error.message}"
        return f"{named} ({self.error.hint})" if self.error.hint else named

    def as_dict(self) -> dict[str, Any]:
        """The contract's entry for an unusable input."""
        return {"path": self.path, "error": self.error.as_dict()}


Answer = Prediction | SeriesPrediction | Failure
