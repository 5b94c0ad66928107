"""What is said about an answer, in words: all from ``strings.toml``."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib import resources
from typing import Any

from tumorlens.inference import Failure, Prediction
from tumorlens.inference.gate import REASON
from tumorlens.inference.result import BLANK, NOT_BRAIN_MRI, Answer
from tumorlens.labels import title
from tumorlens.report.words import percent, percent_range
from tumorlens.web.reliability import Measured


@lru_cache(maxsize=1)
def strings() -> dict[str, dict[str, str]]:
    """Every sentence, by table and name."""
    text = resources.files("tumorlens.web").joinpath("strings.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def headline(answer: Answer) -> str:
    """The answer in one line: a class, what it is between, or why there is none."""
    words = strings()["words"]
    if isinstance(answer, Failure):
        return words["error"]
    if answer.verdict == NOT_BRAIN_MRI or answer.predicted is None:
        if answer.reason == BLANK:
            return words["blank"]
        if isinstance(answer, Prediction) and answer.reason not in (None, REASON):
            return words["unfit"].format(reason=answer.reason)
        return words["not_brain_mri"]
    name = title(answer.predicted)
    if answer.verdict != "uncertain":
        return words["plain"].format(name=name)
    if answer.set is None or len(answer.set) == 1:
        return words["uncertain_one"].format(name=_inside(name))
    if not answer.set:
        return words["uncertain_none"].format(name=_inside(name))
    return words["uncertain_set"].format(list=words["or"].join(_inside(title(each)) for each in answer.set))


def reliability(name: str, measured: Measured | None, verdict: str | None = None) -> str:
    """How far to believe the model when it says a class with a verdict (with any, if None)."""
    words = strings()["reliability"]
    inside = _inside(title(name))
    rate = None if measured is None else measured.ppv_by_verdict.get(verdict or "", measured.ppv)
    if measured is None or rate is None or rate.value is None:
        return words["unmeasured"].format(name=inside)
    known = verdict if verdict in measured.ppv_by_verdict else "any"
    parts = [
        words[f"ppv_{known}"].format(name=inside, ppv=percent(rate.value), range=_range(rate.ci95), n=f"{rate.n:,}"),
        words["sensitivity"].format(
            name=inside, sensitivity=percent(measured.sensitivity.value), range=_range(measured.sensitivity.ci95)
        ),
        words["source_oof" if measured.out_of_fold else "source_test"].format(n=f"{measured.n:,}"),
    ]
    return " ".join(parts)


def said(answer: Answer, measured: Mapping[str, Measured]) -> dict[str, Any]:
    """All words that go with an answer: ``headline``, ``reliability``, ``verdict``, ``reason``."""
    found: dict[str, Any] = {"headline": headline(answer)}
    if isinstance(answer, Failure):
        return found
    found["verdict"] = strings()["verdict"][answer.verdict or "none"]
    if answer.predicted is not None and isinstance(answer, Prediction):
        found["reliability"] = reliability(answer.predicted, measured.get(answer.predicted), answer.verdict)
    return found


def _inside(name: str) -> str:
    """A title in the middle of a sentence."""
    return name[:1].lower() + name[1:]


def _range(interval: Sequence[float] | None) -> str:
    return f" ({percent_range(interval)})" if interval else ""
