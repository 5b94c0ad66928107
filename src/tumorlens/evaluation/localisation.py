"""Whether a map lies on the tumour: scored against outlines drawn by people.

The *pointing game* (Zhang J et al. Top-down neural attention by excitation backprop. Int J Comput Vis 2018;126:1084)
asks whether the map's highest point lies in the tumour, here without any tolerance; *energy* (Wang H et al. Score-CAM.
CVPR Workshops 2020) which share of the map lies in it; *IoU* how far map and tumour are the same region, once the map
is cut at a threshold, the best one for all slices together. Two baselines need no network: the middle of the picture
and the middle of the head. And a network whose weights were shuffled must fall to them (Adebayo J et al. Sanity checks
for saliency maps. NeurIPS 2018), or the score says nothing about what was learned.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tumorlens.errors import DataError
from tumorlens.evaluation.bootstrap import clustered_rate
from tumorlens.evaluation.grouping import independent_units
from tumorlens.evaluation.table import PredictionTable
from tumorlens.io.atomic import write_text

THRESHOLDS = tuple(round(0.1 * step, 1) for step in range(1, 10))
# Maps that are scored, and points that need none.
_NETWORK = ("class", "mask", "gradcam", "occlusion")
MAPS = (*_NETWORK, *(f"{what}_shuffled" for what in _NETWORK))
POINTS = ("centre", "head")


@dataclass(frozen=True)
class Place:
    """How one map, or one point, lies to the tumour of one slice.

    Attributes:
        id: of the slice.
        what: of :data:`MAPS` or :data:`POINTS`.
        hit: whether its highest point lies in the tumour.
        energy: share of the map in the tumour, 0..1; of a point, the tumour's share of its region, picture or head.
        overlap: IoU at each of :data:`THRESHOLDS`; empty for a point.
    """

    id: str
    what: str
    hit: bool
    energy: float
    overlap: tuple[float, ...] = ()


def place_of(name: str, what: str, strength: NDArray[np.floating], peak: int, tumour: NDArray[np.bool_]) -> Place:
    """A map against an outline.

    Args:
        name: of the slice.
        what: of :data:`MAPS`.
        strength: float32 (S, S), 0..1, as it is shown.
        peak: number of the pixel where the map is highest, row by row; what is shown may be cut off at 1 in many.
        tumour: bool (S, S), not empty.
    """
    total = float(strength.sum())
    inside = float(strength[tumour].sum())
    overlap = []
    for threshold in THRESHOLDS:
        region = strength >= threshold
        union = int((region | tumour).sum())
        overlap.append(round(int((region & tumour).sum()) / union, 6))
    return Place(
        name,
        what,
        bool(tumour.ravel()[peak]) if total > 0 else False,
        round(inside / total, 6) if total > 0 else 0.0,
        tuple(overlap),
    )


def baselines(name: str, tumour: NDArray[np.bool_], head: NDArray[np.bool_]) -> list[Place]:
    """What the middle of the picture, and that of the head, would reach.

    Args:
        name: of the slice.
        tumour: bool (S, S), not empty.
        head: bool (S, S).
    """
    size = len(tumour)
    region = head if head.any() else np.ones_like(head)
    rows, columns = np.nonzero(region)
    middle = round(float(rows.mean())), round(float(columns.mean()))
    return [
        Place(name, "centre", bool(tumour[size // 2, size // 2]), round(float(tumour.mean()), 6)),
        Place(name, "head", bool(tumour[middle]), round(float((tumour & region).sum() / region.sum()), 6)),
    ]


def localisation(places: Sequence[Place], table: PredictionTable, *, bootstrap: int, seed: int) -> dict[str, Any]:
    """Scores of each kind of map and point.

    Args:
        places: of slices with a tumour mask.
        table: holds their patients and groups.
        bootstrap: resamples behind the intervals.
        seed: of them.

    Returns:
        For each of :data:`MAPS` and :data:`POINTS` that there is: ``n``, ``hit_rate`` with ``hit_rate_ci95`` over
        patients, ``energy`` (mean), and for maps ``iou`` (mean, at the best threshold for all) and ``threshold``.

    Raises:
        DataError: when the table lacks a slice.
    """
    rows = table.rows_of([place.id for place in places], "maps.csv")
    units = independent_units(table)[0][rows]
    found: dict[str, Any] = {}
    for what in (*MAPS, *POINTS):
        own = [i for i, place in enumerate(places) if place.what == what]
        if own:
            found[what] = _scores([places[i] for i in own], units[own], bootstrap, seed)
    return found


def _scores(own: Sequence[Place], units: NDArray[np.int64], bootstrap: int, seed: int) -> dict[str, Any]:
    rate, ci95 = clustered_rate(np.array([place.hit for place in own]), units, bootstrap, seed)
    made = {
        "n": len(own),
        "hit_rate": rate,
        "hit_rate_ci95": ci95,
        "energy": float(np.mean([place.energy for place in own])),
    }
    if own[0].overlap:
        means = np.mean([place.overlap for place in own], axis=0)
        best = int(means.argmax())
        made |= {"iou": float(means[best]), "threshold": THRESHOLDS[best]}
    return made


def write_places(path: Path, places: Sequence[Place]) -> None:
    """``maps.csv``."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([field.name for field in fields(Place)])
    for place in places:
        name, what, hit, energy, overlap = astuple(place)
        writer.writerow([name, what, int(hit), repr(energy), " ".join(map(repr, overlap))])
    write_text(path, text.getvalue())


def read_places(path: Path) -> list[Place]:
    """What :func:`write_places` wrote.

    Raises:
        DataError: for another file.
    """
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    try:
        if rows[0] != [field.name for field in fields(Place)]:
            raise ValueError
        return [
            Place(name, what, hit == "1", float(energy), tuple(map(float, overlap.split())))
            for name, what, hit, energy, overlap in rows[1:]
        ]
    except (ValueError, IndexError):
        raise DataError(f"{path} is no table of maps", hint="evaluate again") from None
