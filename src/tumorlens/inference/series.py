"""The answer for slices that belong together, made while they go by."""

from __future__ import annotations

import os
from collections import Counter

from tumorlens.inference.result import Prediction, SeriesPrediction


class SeriesSum:
    """Sums probabilities; keeps no image, so that a series may be of any length.

    Args:
        first: any prediction of the series; to be added like the others.
    """

    def __init__(self, first: Prediction) -> None:
        self._first = first
        self._sum: Counter[str] = Counter()
        self._slices: list[tuple[bool, float, int, str]] = []

    def __len__(self) -> int:
        return len(self._slices)

    def add(self, answer: Prediction) -> None:
        """Another slice."""
        self._sum.update(answer.probabilities)
        place = (answer.position is None, answer.position or 0.0)
        self._slices.append((*place, len(self), answer.id))

    def answer(self) -> SeriesPrediction:
        """The mean over the slices so far, which are named in the order of their positions."""
        mean = {name: self._sum[name] / len(self) for name in self._first.probabilities}
        first = self._first
        return SeriesPrediction(
            path=first.path if first.frame is not None else _folder(first.path),
            slices=tuple(name for *_, name in sorted(self._slices)),
            predicted=max(mean, key=lambda name: mean[name]),
            probabilities=mean,
            model=first.model,
            uid="" if first.frame is not None else str(first.series),
        )


def _folder(path: str) -> str:
    """The folder around a file; of ``archive.zip!dir/a.dcm``, ``archive.zip!dir``."""
    archive, bang, member = path.rpartition("!")
    inside = os.path.dirname(member)
    return f"{archive}!{inside}" if bang and inside else archive if bang else inside or "."
