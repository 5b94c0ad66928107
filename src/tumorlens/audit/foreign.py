"""Pictures that do not belong: blank slices, coloured pictures, writing, and what looks unlike the rest of the set.

"Unlike the rest" is how far a picture's numbers of :mod:`tumorlens.audit.appearance` lie from those of the pictures
most like it: the distance to the k-th nearest (Ramaswamy et al., "Efficient algorithms for mining outliers from large
data sets", SIGMOD 2000), where numbers count in units of the spread of the most ordinary pictures (concentration steps
of Rousseeuw & Van Driessen, "A fast algorithm for the minimum covariance determinant estimator", Technometrics 1999,
from one start). Neighbours and not the centre, because a set of several planes and sequences has several middles. It
sees only what is rare: a kind of picture that makes up more than a fiftieth of a set is part of the set.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np

from tumorlens.audit.appearance import NAMES, appearance
from tumorlens.audit.facts import Facts
from tumorlens.audit.look import Looks
from tumorlens.data.manifest import Row
from tumorlens.report.words import percent

Kind = Literal["blank", "colour", "outlier", "text", "unusual"]

_ORDINARY: Final = 0.95  # share of the set that the centre and covariance come from; the rest must not shape them
_STEPS: Final = 8
_CLIP: Final = 12.0  # robust deviations beyond which a number counts no more
_KIND: Final = 0.02  # share of a set that makes a kind of picture a part of it
_LEAST_KIND: Final = 10  # pictures
_ASKED: Final = 5_000  # pictures at most that neighbours are sought among
_BLOCK: Final = 512
# Upper deviations of the logarithm of the distance. Chosen on figshare (1 % of its slices lie above) and on photos,
# X-rays and CT planted into it: docs/experiments.md.
_FAR: Final = 5.5
_MOST_UNUSUAL: Final = 12
_FEWEST: Final = 100  # pictures: fewer do not say what is ordinary
_PLAIN: Final = 0.995  # share of pixels of (nearly) one grey value in a blank picture
_FAINT: Final = 0.05  # of the usual brightest value of a volume
_COLOURED: Final = 0.01
_SATURATED: Final = 0.02


@dataclass(frozen=True, slots=True)
class Foreign:
    """A picture that may not belong.

    Attributes:
        row: its number.
        kind: ``blank``; ``colour``; ``outlier``: unlike the rest of the set; ``text``: perhaps writing beside the head;
            ``unusual``: less unlike the rest than an outlier. The last two may well be brain slices, and an outlier may
            be a rare one: look at them.
        score: 1 at the threshold of its kind, more beyond.
        reason: in plain words.
    """

    row: int
    kind: Kind
    score: float
    reason: str


def foreign(
    looks: Looks, facts: Sequence[Facts | None], rows: Sequence[Row], numbers: np.ndarray | None = None
) -> list[Foreign]:
    """Every picture that may not belong, once, by the first kind that applies; by kind, strongest first.

    Args:
        looks: records (N,) of :data:`tumorlens.audit.look.LOOK`.
        facts: of each slice's file; None where unreadable.
        rows: of the manifest.
        numbers: of :func:`tumorlens.audit.appearance.appearance`, where they are known.
    """
    found: dict[int, Foreign] = {}
    outliers = itertools.takewhile(
        lambda item: item.score > 1, ranked(appearance(looks) if numbers is None else numbers)
    )
    for item in (*_blank(looks, rows), *_coloured(facts), *outliers, *_written(looks)):
        found.setdefault(item.row, item)
    order = ("blank", "colour", "outlier", "text")
    return sorted(found.values(), key=lambda item: (order.index(item.kind), -item.score, item.row))


def unusual(numbers: np.ndarray, known: Sequence[Foreign]) -> list[Foreign]:
    """The pictures least like the rest that are not known as foreign: a varied set hides strangers among its own.

    Args:
        numbers: float32 (N, F) of :func:`tumorlens.audit.appearance.appearance`.
        known: what :func:`foreign` found.
    """
    named = {item.row for item in known}
    rest = (item for item in ranked(numbers) if item.row not in named)
    return [replace(item, kind="unusual") for item in itertools.islice(rest, _MOST_UNUSUAL)]


def ranked(numbers: np.ndarray) -> Iterator[Foreign]:
    """All pictures from their numbers float32 (N, F), least like the rest first; nothing where too few are known."""
    if len(numbers) < _FEWEST:
        return
    scaled = _robust(numbers)
    even, pull = _whitened(scaled)
    logs = np.log(np.maximum(_loneliness(even), 1e-9))
    middle = float(np.median(logs))
    spread = 1.4826 * float(np.median(logs[logs > middle] - middle)) if (logs > middle).any() else 0.0
    if spread <= 0:
        return
    score = (logs - middle) / spread / _FAR
    for i in np.argsort(-score, kind="stable").tolist():
        by_name: dict[str, float] = defaultdict(float)
        for name, share in zip(NAMES, pull[i], strict=True):
            by_name[name] += max(float(share), 0.0)
        first, second = sorted(by_name, key=lambda name: -by_name[name])[:2]
        yield Foreign(i, "outlier", float(score[i]), f"unlike the rest of the set in {first} and {second}")


def _robust(numbers: np.ndarray) -> np.ndarray:
    """Deviations from the median in units of the median deviation, clipped."""
    middle = np.median(numbers, axis=0)
    usual = 1.4826 * np.median(np.abs(numbers - middle), axis=0)
    # A number that is the same in more than half of the set would make every other value infinitely far.
    usual = np.maximum(usual, np.maximum(0.1 * numbers.std(axis=0), 1e-3))
    return np.asarray(np.clip((numbers - middle) / usual, -_CLIP, _CLIP), np.float64)


def _whitened(scaled: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows in units of the spread of the ordinary ones, (N, F), and what each number adds to the distance, (N, F)."""
    distance = np.abs(scaled).mean(axis=1)
    for _ in range(_STEPS):
        core = scaled[distance <= np.quantile(distance, _ORDINARY)]
        spread = np.cov(core.T)
        spread += np.diag(0.02 * np.diag(spread) + 1e-3)  # numbers that depend on each other must not blow up
        away = scaled - core.mean(axis=0)
        pull = (away @ np.linalg.inv(spread)) * away
        distance = np.sqrt(pull.sum(axis=1))
    lengths, directions = np.linalg.eigh(spread)
    return np.asarray(away @ directions / np.sqrt(lengths)), pull


def _loneliness(even: np.ndarray) -> np.ndarray:
    """Distance of each row of (N, F) from its k-th nearest, (N,)."""
    among = even
    if len(even) > _ASKED:
        among = even[np.sort(np.random.default_rng(0).choice(len(even), _ASKED, replace=False))]
    kth = max(_LEAST_KIND, round(_KIND * len(among)))
    own, squares = (among**2).sum(axis=1), np.empty(len(even))
    for start in range(0, len(even), _BLOCK):
        part = even[start : start + _BLOCK]
        away = (part**2).sum(axis=1)[:, np.newaxis] + own - 2 * part @ among.T
        squares[start : start + _BLOCK] = np.partition(away, kth, axis=1)[:, kth]  # the row itself is the nearest
    return np.sqrt(np.maximum(squares, 0))


def _blank(looks: Looks, rows: Sequence[Row]) -> list[Foreign]:
    most = np.asarray(looks["histogram"], np.float32).max(axis=1).tolist()
    result = [
        Foreign(i, "blank", share / _PLAIN, f"{percent(share)} of it is one shade of grey")
        for i, share in enumerate(most)
        if share >= _PLAIN
    ]
    # A blank slice of a volume is stretched noise by now; its own values tell it from its neighbours.
    volumes: dict[str, list[int]] = defaultdict(list)
    for i, row in enumerate(rows):
        if row.series:
            volumes[row.series].append(i)
    for members in volumes.values():
        bright = np.asarray(looks["raw"][members, 1] - looks["raw"][members, 0], np.float64).tolist()
        faint = _FAINT * float(np.median(bright))
        result += [
            Foreign(i, "blank", min(faint / max(value, 1e-9), 100.0), "nearly nothing in it beside its volume's others")
            for i, value in zip(members, bright, strict=True)
            if value < faint
        ]
    return result


def _coloured(facts: Sequence[Facts | None]) -> list[Foreign]:
    result = []
    for i, item in enumerate(facts):
        if item is None or item.coloured is None or item.saturation is None:
            continue
        score = max(item.coloured / _COLOURED, item.saturation / _SATURATED)
        if score > 1:
            result.append(Foreign(i, "colour", score, f"{percent(item.coloured)} of it is coloured"))
    return result


def _written(looks: Looks) -> list[Foreign]:
    return [
        Foreign(i, "text", float(count), "small bright lines beside the head, perhaps writing")
        for i, count in enumerate(np.asarray(looks["marks"]).tolist())
        if count
    ]
