"""The answer for slices that belong together, made while they go by."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np

from tumorlens.inference.result import Prediction, SeriesPrediction
from tumorlens.inference.trust.series import SeriesTrust, as_logits, combined

# Of the slices of a series; the lowest slices of a head show little brain, and its highest none.
_MOST_REFUSED = 0.5


@dataclass(frozen=True)
class _Slice:
    """What is kept of a slice."""

    order: tuple[bool, float, int]
    id: str
    answered: bool
    probabilities: tuple[float, ...]


class SeriesSum:
    """Gathers the answers for slices; keeps no image, so that a series may be of any length.

    Args:
        first: any prediction of the series; to be added like the others.
        trust: how the answer is made; the mean of all slices, uncalibrated, when None.
    """

    def __init__(self, first: Prediction, trust: SeriesTrust | None = None) -> None:
        self._first, self._trust = first, trust or SeriesTrust()
        self._slices: list[_Slice] = []

    def __len__(self) -> int:
        return len(self._slices)

    def add(self, answer: Prediction) -> None:
        """Another slice."""
        order = (answer.position is None, answer.position or 0.0, len(self))
        answered = answer.verdict != "not_brain_mri"
        self._slices.append(_Slice(order, answer.id, answered, tuple(answer.probabilities.values())))

    def answer(self) -> SeriesPrediction:
        """The answer that stands on the slices so far, which are named in the order of their positions."""
        first, names = self._first, tuple(self._first.probabilities)
        ordered = sorted(self._slices, key=lambda one: one.order)
        answered = [one for one in ordered if one.answered]
        refused = len(self) - len(answered) > _MOST_REFUSED * len(self)
        used = answered or ordered
        mean, chosen = combined(np.array([one.probabilities for one in used]), names, self._trust.share)
        judged = self._trust.trust.judge(as_logits(mean[np.newaxis]), names)
        best = names[int(judged.probabilities[0].argmax())]
        own = None
        if judged.sets is not None:
            own = tuple(name for name, inside in zip(names, judged.sets[0], strict=True) if inside)
        verdict, reason = None, None
        if judged.accepted is not None:
            verdict = "accepted" if judged.accepted[0] else "uncertain"
            reason = None if judged.accepted[0] else "the answer for the series is not sure enough"
        if refused:
            verdict, own = "not_brain_mri", None
            reason = f"{len(self) - len(answered)} of {len(self)} slices do not look like a brain MRI"
        return SeriesPrediction(
            path=first.path if first.frame is not None else _folder(first.path),
            slices=tuple(one.id for one in answered),
            supporting=() if refused else tuple(used[i].id for i in chosen),
            predicted=None if refused else best,
            probabilities=dict(zip(names, map(float, judged.probabilities[0]), strict=True)),
            set=own,
            verdict=verdict,
            reason=reason,
            model=first.model,
            uid="" if first.frame is not None else str(first.series),
        )


def _folder(path: str) -> str:
    """The folder around a file; of ``archive.zip!dir/a.dcm``, ``archive.zip!dir``."""
    archive, bang, member = path.rpartition("!")
    inside = os.path.dirname(member)
    return f"{archive}!{inside}" if bang and inside else archive if bang else inside or "."
