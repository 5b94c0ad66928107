"""Shortcut probes: how well the class can be guessed without ever seeing the tumour.

Whatever guesses the class from the file, the border or the grey values alone will also serve a network, which takes
the easiest way (Geirhos et al., "Shortcut learning in deep neural networks", Nature Machine Intelligence 2020).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

import numpy as np

from tumorlens.audit import facts as files
from tumorlens.audit.facts import Facts
from tumorlens.audit.guessing import by_nearest, by_table, by_tree
from tumorlens.audit.look import Looks
from tumorlens.audit.scoring import FOLDS, Task, balanced, balanced_accuracy, task
from tumorlens.data.manifest import Row
from tumorlens.report.words import percent

MOST: Final = 4_000  # slices; more make the intervals narrower and the audit slower
# Share of the way from chance to perfect that the lower end of the interval must have gone.
_CLEAR: Final = 0.1
_THUMB: Final = 16

Progress = Callable[[int, int], None]

_SAYS: Final = {
    "header": "The file itself (size, format, JPEG settings; no pixel looked at) tells",
    "border": "The outermost 4 % of the picture tells",
    "histogram": "The grey values without their places tell",
    "thumbnail": f"The most similar {_THUMB} × {_THUMB} thumbnail of another group tells",
}
_MEANS: Final = {
    "header": "A network sees its traces (scale, sharpness, compression) and can learn them instead of the tumour.",
    "border": (
        "A network can learn framing and background instead of the tumour. Where planes or parts of the body differ "
        "between the classes, the border tells them too: then a shortcut is there without any fault of the files."
    ),
    "histogram": (
        "A network can learn brightness instead of shape. The tumour is only a small part of the grey values; planes, "
        "scanners and processing that differ between the classes are a larger one."
    ),
    "thumbnail": (
        "Whole pictures of a class look alike (plane, part of the body, scanner, framing) before any detail is seen."
    ),
}
SOURCE_FROM: Final = "source from "  # … header, border, histogram: names of the probes of the data set
OF_SOURCE: Final = "The data sets differ in more than their patients, and a network can learn which one it looks at."
# Facts of a file that follow what it shows: a busy picture compresses worse.
_OF_CONTENT: Final = frozenset({"size", "density"})


@dataclass(frozen=True, slots=True)
class Probe:
    """What one probe found.

    Attributes:
        name: ``header``, ``border``, ``histogram``, ``thumbnail`` (each guesses the class); ``source`` (the class is
            guessed from the name of the data set); ``source from header``, … (the data set is guessed).
        balanced_accuracy: mean of the classes' sensitivities in groups not seen, or None when it could not be scored.
        chance: balanced accuracy of guessing, or None.
        ci95: interval of the balanced accuracy over groups, or None.
        n: slices scored.
        groups: independent groups among them.
        finding: what is wrong and why, in whole sentences, when the lower end is clearly above chance; else None.
        unscored: why it could not be scored, else None.
    """

    name: str
    balanced_accuracy: float | None = None
    chance: float | None = None
    ci95: tuple[float, float] | None = None
    n: int = 0
    groups: int = 0
    finding: str | None = None
    unscored: str | None = None


def probes(
    looks: Looks,
    facts: Sequence[Facts | None],
    rows: Sequence[Row],
    groups: Sequence[str],
    *,
    seed: int = 0,
    progress: Progress | None = None,
) -> list[Probe]:
    """Every probe of the class, and of the data set where there are several.

    Args:
        looks: records (N,) of :data:`tumorlens.audit.look.LOOK`.
        facts: of each slice's file; None where unreadable.
        rows: of the manifest.
        groups: what must not cross a fold, of each row.
        seed: of folds, trees and intervals.
        progress: called with (done, of how much).
    """
    labels, sources = [row.label for row in rows], [row.source for row in rows]
    several = len(set(sources)) > 1
    total = FOLDS * (7 if several else 4)
    result: list[Probe] = []

    def ask(names: Sequence[str], given: Task | str, *, of_source: bool = False) -> None:
        tables = {} if isinstance(given, str) else _tables(looks, facts, given.rows, names)
        before = FOLDS * len(result)
        for number, name in enumerate(names):
            tell = partial(_tell, progress, before + FOLDS * number, total) if progress else None
            result.append(_probe(name, tables.get(name), given, seed, of_source=of_source, progress=tell))

    ask(("header", "border", "histogram", "thumbnail"), task(labels, groups, seed=seed, most=MOST))
    if several:
        ask(("header", "border", "histogram"), task(sources, groups, seed=seed, most=MOST), of_source=True)
        result.insert(4, _class_of_source(labels, sources, groups, seed))
    return result


def _tell(progress: Progress, before: int, total: int, done: int, folds: int) -> None:
    progress(before + round(FOLDS * done / folds), total)


def _tables(
    looks: Looks, facts: Sequence[Facts | None], rows: np.ndarray, names: Sequence[str]
) -> dict[str, np.ndarray]:
    """What each probe sees of the rows int64 (M,): float32 (M, some). A large set is never whole in memory."""
    made: dict[str, Callable[[], np.ndarray]] = {
        "header": lambda: files.table([facts[i] for i in rows.tolist()], np.asarray(looks["shape"][rows])),
        "border": lambda: np.asarray(looks["border"][rows], np.float32).reshape(len(rows), -1),
        # Square roots make distances between histograms meaningful (Hellinger).
        "histogram": lambda: np.sqrt(np.asarray(looks["histogram"][rows], np.float32)),
        "thumbnail": lambda: thumbnails(looks["picture"][rows]),
    }
    return {name: made[name]() for name in names}


def thumbnails(pictures: np.ndarray, side: int = _THUMB) -> np.ndarray:
    """Standardised small versions of pictures uint8 (N, S, S): float32 (N, side * side) of length 1."""
    count, large = len(pictures), pictures.shape[1]
    step = large // side
    small = np.empty((count, side * side), np.float32)
    for start in range(0, count, 1024):  # a memory-mapped set is never whole in memory
        part = np.asarray(pictures[start : start + 1024])
        means = part.reshape(len(part), side, step, side, step).mean(axis=(2, 4), dtype=np.float32)
        small[start : start + 1024] = means.reshape(len(part), -1)
    small -= small.mean(axis=1, keepdims=True)
    return np.asarray(small / np.maximum(np.linalg.norm(small, axis=1, keepdims=True), 1e-6))


def _probe(
    name: str,
    seen: np.ndarray | None,
    given: Task | str,
    seed: int,
    *,
    of_source: bool = False,
    progress: Progress | None = None,
) -> Probe:
    full = f"{SOURCE_FROM}{name}" if of_source else name
    if isinstance(given, str) or seen is None:
        return Probe(full, unscored=str(given))
    guessed = by_nearest(seen, given) if name == "thumbnail" else by_table(seen, given, seed, progress)
    result = _scored(full, given, guessed, seed)
    if result.finding is None:
        return result
    what = "data set" if of_source else "class"
    text = f"{_SAYS[name]} the {what} in {percent(result.balanced_accuracy)} of slices"
    text += f" (each {what} counted alike; guessing: {percent(given.chance)})"
    if name == "header":
        column, score = _carrier(seen, given)
        text += f"; {files.COLUMNS[column]} alone tells it in {percent(score)}"
        text += ", and that follows from what is shown as well" if column in _OF_CONTENT else ""
    return replace(result, finding=f"{text}. {OF_SOURCE if of_source else _MEANS[name]}")


def _scored(name: str, given: Task, guessed: np.ndarray, seed: int) -> Probe:
    score, ci95 = balanced(given, guessed, seed)
    many = int(given.groups.max()) + 1
    clear = ci95[0] > given.chance + _CLEAR * (1 - given.chance)
    return Probe(name, score, given.chance, ci95, len(given.rows), many, "" if clear else None)


def _carrier(seen: np.ndarray, given: Task) -> tuple[str, float]:
    """The column that tells most, and how much it tells alone."""
    scores = [
        balanced_accuracy(given, by_tree(seen[:, [i]], given)) if np.ptp(seen[:, i]) > 0 else 0.0
        for i in range(seen.shape[1])
    ]
    best = int(np.argmax(scores))
    return list(files.COLUMNS)[best], scores[best]


def _class_of_source(labels: Sequence[str], sources: Sequence[str], groups: Sequence[str], seed: int) -> Probe:
    """How well the name of the data set tells the class."""
    alone = apart(labels, sources)
    known = _only(labels, sources)
    if alone:
        known += (
            f"{_listed(alone)} {'shares' if len(alone) == 1 else 'share'} no data set with another class: a network "
            "that recognises the data set (scanner, processing, file) is right there without knowing any tumour."
        )
    given = task(labels, groups, seed=seed, most=MOST)
    if isinstance(given, str):
        return Probe("source", unscored=given, finding=known or None)
    names = sorted(set(sources))
    codes = np.array([names.index(sources[i]) for i in given.rows], np.int64)
    result = _scored("source", given, by_tree(np.eye(len(names), dtype=np.float32)[codes], given), seed)
    if result.finding is None and not known:
        return result
    text = (
        f"The data set that a slice comes from tells its class in {percent(result.balanced_accuracy)} of slices (each "
        f"class counted alike; guessing: {percent(given.chance)}). {known}"
    )
    return replace(result, finding=text.rstrip())


def apart(labels: Sequence[str], sources: Sequence[str]) -> list[str]:
    """Classes that share no source with any other class: the source alone tells them."""
    where = {label: set(found) for label, found in sorted(_where(labels, sources).items()) if label}
    return [
        label
        for label, own in where.items()
        if len(where) > 1 and not any(own & others for other, others in where.items() if other != label)
    ]


def _only(labels: Sequence[str], sources: Sequence[str]) -> str:
    """``glioma and pituitary come only from clinic; no_tumor comes only from web. ``, or nothing."""
    of_source: dict[str, list[str]] = {}
    for label, found in sorted(_where(labels, sources).items()):
        if label and len(found) == 1:
            of_source.setdefault(next(iter(found)), []).append(label)
    parts = [
        f"{_listed(names)} {'comes' if len(names) == 1 else 'come'} only from {source}"
        for source, names in of_source.items()
    ]
    return f"{'; '.join(parts)}. " if parts else ""


def _listed(names: Sequence[str]) -> str:
    return " and ".join(", ".join(names).rsplit(", ", 1))


def _where(labels: Sequence[str], sources: Sequence[str]) -> dict[str, Counter[str]]:
    """Label → how many of its slices come from each source."""
    found: dict[str, Counter[str]] = {}
    for label, source in zip(labels, sources, strict=True):
        found.setdefault(label, Counter())[source] += 1
    return found
