"""The answer for slices that belong together, made while they go by."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, replace

import numpy as np

from tumorlens.inference.result import BLANK, BURNT_IN, NOT_BRAIN_MRI, Prediction, SeriesPrediction
from tumorlens.inference.trust import as_logits
from tumorlens.inference.trust.series import SeriesTrust, combined, mostly_refused
from tumorlens.labels import NO_TUMOR


@dataclass(frozen=True)
class _Slice:
    """What is kept of a slice; ``aside`` says why it has no part in the answer, if it has none."""

    order: tuple[bool, float, int]
    id: str
    aside: str
    derived: bool
    marked: bool  # text is burnt into it
    judged: bool  # it has a verdict on its answer
    accepted: str  # its class, if its answer is sure enough
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
        aside = "blank" if answer.reason == BLANK else NOT_BRAIN_MRI if answer.verdict == NOT_BRAIN_MRI else ""
        probabilities = tuple(answer.probabilities.values())
        accepted = (answer.predicted or "") if answer.verdict == "accepted" else ""
        marked, judged = BURNT_IN in (answer.reason or ""), answer.verdict in ("accepted", "uncertain")
        self._slices.append(_Slice(order, answer.id, aside, answer.derived, marked, judged, accepted, probabilities))

    def answer(self) -> SeriesPrediction:
        """The answer that stands on the slices so far, which are named in the order of their positions."""
        first, names = self._first, tuple(self._first.probabilities)
        ordered = sorted(self._slices, key=lambda one: one.order)
        # Beside originals, what was computed from them says nothing new.
        if any(not one.derived and not one.aside for one in ordered):
            ordered = [replace(one, aside=one.aside or ("derived" if one.derived else "")) for one in ordered]
        aside = dict(sorted(Counter(one.aside for one in ordered if one.aside).items()))
        answered = [one for one in ordered if not one.aside]
        foreign = aside.get(NOT_BRAIN_MRI, 0)
        refused = mostly_refused(foreign, len(answered) + foreign)
        used = answered or ordered
        mean, chosen = combined(np.array([one.probabilities for one in used]), names, self._trust.share)
        judged = self._trust.trust.judge(as_logits(mean[np.newaxis]), names)
        own, verdict, reason = None, None, None
        if refused:
            verdict = NOT_BRAIN_MRI
            reason = f"of {len(self)} slices only {len(answered)} look like a brain MRI"
        else:
            if judged.sets is not None:
                own = tuple(name for name, inside in zip(names, judged.sets[0], strict=True) if inside)
            likeliest = names[int(judged.probabilities[0].argmax())]
            # A tumour shows on some slices of its head only, so those without one say nothing against it.
            others = Counter(one.accepted for one in answered if one.accepted not in ("", likeliest, NO_TUMOR))
            free = self._trust.trust.always
            if judged.accepted is None and others:
                # Without a threshold; where single slices say otherwise with certainty, none is believed.
                found, count = others.most_common(1)[0]
                verdict, reason = "uncertain", f"{count} of its slices are accepted as {found}, not as {likeliest}"
            elif judged.accepted is None and (own is not None or any(one.judged for one in answered)):
                rare = f" of {' and '.join(free)}" if free else ""
                verdict = "uncertain"
                reason = f"too few series{rare} were known to say when an answer for a series is sure enough"
                if own is not None and likeliest not in own:
                    reason = f"unlike the series of every class that could be measured; {reason}"
            if judged.accepted is not None:
                verdict = "accepted" if judged.accepted[0] else "uncertain"
                reason = None if judged.accepted[0] else "the answer for the series is not sure enough"
            if marked := sum(used[i].marked for i in chosen):
                verdict, reason = "uncertain", f"text is burnt into {marked} of the slices that it stands on"
        return SeriesPrediction(
            path=first.path if first.frame is not None else _folder(first.path),
            slices=tuple(one.id for one in ordered),
            answered=tuple(one.id for one in answered),
            supporting=() if refused else tuple(used[i].id for i in chosen),
            predicted=None if refused else names[int(judged.probabilities[0].argmax())],
            probabilities=dict(zip(names, map(float, judged.probabilities[0]), strict=True)),
            set=own,
            verdict=verdict,
            reason=reason,
            aside=aside,
            model=first.model,
            uid="" if first.frame is not None else str(first.series),
        )


def _folder(path: str) -> str:
    """The folder around a file; of ``archive.zip!dir/a.dcm``, ``archive.zip!dir``; the series on a server."""
    if path.startswith("dicomweb:"):
        return path.rpartition("/instances/")[0]
    archive, bang, member = path.rpartition("!")
    inside = os.path.dirname(member)
    return f"{archive}!{inside}" if bang and inside else archive if bang else inside or "."
