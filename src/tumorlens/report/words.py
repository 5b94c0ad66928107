"""Numbers and phrases as people read them; one spelling for the report, the card and the terminal."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from tumorlens.labels import title

NBSP = "\N{NO-BREAK SPACE}"
NONE = "–"
NOT_STATED = "not stated"
RESEARCH_ONLY = "Research use only, not a medical device."
AUDIT_VERDICTS = {
    "ok": "Nothing found that speaks against scores on this data set.",
    "warnings": "Usable, with care: know the points below before you believe a score on this data set.",
    "serious": "Do not believe a score on this data set as it is.",
}
# What each probe of the class sees; see tumorlens.audit.probes.
PROBES = {
    "header": "the file: size, format, JPEG settings; no pixel",
    "border": "the outermost rows and columns",
    "histogram": "grey values without their places",
    "thumbnail": "the most similar tiny picture of another group",
    "source": "the name of the data set",
}
# The bootstrap sees no spread there; see evaluation.bootstrap.interval.
_BOUND = " (exact binomial bounds where all or none are right)"
_PLURALS = {"patient": "patients", "duplicate cluster": "duplicate clusters", "slice": "slices"}


def percent(share: float | None) -> str:
    """A share of 0..1 as percent with one decimal; 100.0 % and 0.0 % are kept for what is exactly that."""
    if share is None:
        return NONE
    shown = round(100 * share, 1)
    if share < 1:
        shown = min(shown, 99.9)
    if share > 0:
        shown = max(shown, 0.1)
    return f"{shown:.1f}{NBSP}%"


def percent_range(interval: Sequence[float] | None) -> str:
    """``91.9 to 96.4 %``, or a dash."""
    if interval is None:
        return NONE
    return f"{percent(interval[0]).removesuffix(NBSP + '%')} to {percent(interval[1])}"


def score_range(interval: Sequence[float] | None) -> str:
    """``0.012 to 0.031``, or a dash."""
    return NONE if interval is None else f"{score(interval[0])} to {score(interval[1])}"


def probability(value: float | None) -> str:
    """Two decimals; three near certainty; never a 1 that is not one."""
    if value is None:
        return NONE
    if value >= 0.9995:
        return ">0.999" if value < 1 else "1.00"
    return f"{value:.3f}" if value >= 0.995 else f"{value:.2f}"


def score(value: float | None) -> str:
    """A score without a unit (AUROC, ECE, Brier, log loss) with three decimals; 1.000 only for exactly 1."""
    if value is None:
        return NONE
    return ">0.999" if 0.9995 <= value < 1 else f"{value:.3f}"


def count(number: int | float | None) -> str:
    """An integer with thin groups of three: 12 345."""
    return NONE if number is None else f"{int(number):,}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def duration(seconds: float | None) -> str:
    """``6 min 35 s``, ``2 h 05 min``."""
    if seconds is None:
        return NONE
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def moment(iso: str | None) -> str:
    """``23 November 2026, 11:40 UTC`` from ISO 8601; other text is shown as it is."""
    try:
        when = datetime.fromisoformat(iso or "")
    except ValueError:
        return str(iso or "")
    zone = f" {when.tzname()}" if when.tzinfo else ""
    return f"{when.day} {when:%B %Y, %H:%M}{zone}"


def plural(number: int, noun: str) -> str:
    """``1 slice``, ``2 slices``."""
    return f"{count(number)} {noun if number == 1 else _PLURALS.get(noun, noun + 's')}"


def tail(text: object, most: int = 60) -> str:
    """The end of a long name, which tells more than its beginning, after an ellipsis."""
    whole = str(text)
    return whole if len(whole) <= most else "…" + whole[len(whole) - most + 1 :]


def sentence(names: Sequence[str], verdict: str) -> str:
    """``Near copies, shortcuts and foreign images: not checked.``, or nothing."""
    if not names:
        return ""
    text = names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]
    return f"{text[0].upper()}{text[1:]}: {verdict}."


def scored(metrics: Mapping[str, Any], name: str) -> Mapping[str, Any] | None:
    """The scores called ``name`` in ``metrics.json``, None when there are none or they are of no slice."""
    scores: Mapping[str, Any] | None = metrics.get(name)
    return scores if scores and scores.get("n") else None


def synthetic(metrics: Mapping[str, Any]) -> bool:
    """Whether a run saw nothing but the phantom. A folder that is merely called "phantom" brings no such note."""
    data = metrics.get("data") or {}
    return data.get("sources") == ["phantom"] and any(str(n).startswith("phantom: ") for n in data.get("notes") or [])


def sample(scores: Mapping[str, Any], *, drawn: bool = False) -> str:
    """What was tested: ``612 slices of 47 patients``; ``drawn`` (see :func:`synthetic`): the patients are no people."""
    slices, unit = plural(scores["n"], "slice"), scores.get("unit", "slice")
    if unit == "slice":
        return plural(scores["n"], "synthetic slice") if drawn else slices
    if unit == "patient":
        # Fewer groups than patients when copies join some of them.
        number = scores.get("patients") or scores["groups"]
        return f"{slices} of {plural(number, 'synthetic patient' if drawn else unit)}"
    return f"{slices} in {plural(scores['groups'], unit)}"


def unit_note(scores: Mapping[str, Any]) -> str:
    """What the intervals of a set of scores take as independent."""
    unit = scores.get("unit", "slice")
    if unit == "patient":
        return f"Intervals are bootstrapped over patients{_BOUND}: slices of one patient are not independent."
    if unit == "group":
        return f"Intervals are bootstrapped over groups of patients{_BOUND}: slices of one group are not independent."
    if unit == "duplicate cluster":
        return (
            f"Intervals are bootstrapped over clusters{_BOUND}: copies of an image, look-alikes kept together, "
            "and slices of one known patient or group count once. Not every patient is known, so slices of one patient "
            "may count as independent and the intervals may be too narrow."
        )
    return (
        f"Intervals are bootstrapped over single slices{_BOUND}. Patients are not known, so slices of one patient "
        "count as independent and the intervals may be too narrow."
    )


def headline(scores: Mapping[str, Any], *, drawn: bool = False, out_of_fold: bool = False) -> str:
    """The result in one plain sentence; ``out_of_fold``: of other networks of the same recipe."""
    interval = percent_range(scores.get("accuracy_ci95"))
    certainty = "no interval: too few independent cases" if interval == NONE else f"95{NBSP}% interval {interval}"
    if out_of_fold:
        return (
            "This network was trained on every slice, so it has not been tested itself. Networks of the same recipe, "
            f"each tested on patients that it had not seen, named the right class for {percent(scores['accuracy'])} of "
            f"{sample(scores, drawn=drawn)} ({certainty})."
        )
    tested = sample(scores, drawn=drawn).replace("slice", "test slice", 1)
    found = f"On {tested}, the network named the right class for {percent(scores['accuracy'])} ({certainty})."
    return " ".join(filter(None, (found, guessing(scores))))


def guessing(scores: Mapping[str, Any]) -> str:
    """That the network does no better than whoever always names the commonest class; empty where it does."""
    counts = {name: part["n"] for name, part in scores["per_class"].items()}
    name = max(counts, key=lambda one: counts[one])
    share = counts[name] / max(1, sum(counts.values()))
    low = (scores.get("accuracy_ci95") or [scores["accuracy"]])[0]
    if low > share:
        return ""
    than = "worse than" if scores["accuracy"] < share else "no better, as far as these slices tell, than"
    return f"That is {than} guessing: whoever always says “{title(name)}” is right in {percent(share)}."


def markdown(text: object) -> str:
    """``text`` as one line that Markdown shows as it is: names of files and classes come from strangers."""
    flat = re.sub(r"\s+", " ", str(text)).strip()
    flat = flat.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|#!~$])", r"\\\1", flat)
