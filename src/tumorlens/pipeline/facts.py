"""What the plan's rules see of a data set and a machine: counts and sizes, no picture but a few masks, no score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tumorlens.data.manifest import Manifest, Row
from tumorlens.labels import NO_TUMOR
from tumorlens.pipeline.spreading import cores
from tumorlens.preprocess.cache import Standardised
from tumorlens.preprocess.outlines import usable
from tumorlens.preprocess.store import stamp_of

_LOOKED_AT = 12  # masks


@dataclass(frozen=True)
class Facts:
    """What the rules see.

    Attributes:
        slices: that one training learns from.
        classes: of these, slices of each.
        groups: of patients or copies, among them.
        sources: data sets.
        masks: tumour slices with a mask that can be used, as far as some of them tell.
        unusable: tumour slices whose mask is missing or cannot be used.
        tumours: tumour slices.
        side: median of the pictures' longer sides in pixels.
        tied: whether most tumour-free slices come from data sets that hold no tumour, or most slices with a tumour from
            data sets that hold nothing else.
        drawn: whether they are the phantom.
        minutes: for training; 0 for no limit.
        device: that it will run on, ``cpu`` or ``gpu``.
        beside: trainings that run at once on this machine.
        cores: processors that each of them may use.
    """

    slices: int
    classes: Mapping[str, int]
    groups: int
    sources: int
    masks: int
    unusable: int
    tumours: int
    side: int
    tied: bool
    drawn: bool
    minutes: float
    device: str
    beside: int
    cores: int


def facts(
    manifest: Manifest,
    looks: Standardised,
    minutes: float,
    *,
    share: float = 1.0,
    device: str = "cpu",
    beside: int = 1,
) -> Facts:
    """What the rules see of a data set; for the arguments see :func:`tumorlens.pipeline.planning.plan`."""
    rows = [row for row in manifest if row.split in ("", "train")]
    tumours = [row for row in rows if row.label != NO_TUMOR]
    free = [row for row in rows if row.label == NO_TUMOR]
    place = {row.id: i for i, row in enumerate(looks.manifest)}
    shapes = np.asarray(looks.images["shape"][:]).reshape(len(place), -1)[[place[row.id] for row in rows]]
    masked = [row for row in tumours if row.mask]
    masks = _usable(masked)

    def part(count: int) -> int:
        return max(min(count, 1), round(share * count))

    return Facts(
        slices=part(len(rows)),
        classes={label: part(count) for label, count in manifest.with_rows(rows).count().items()},
        groups=part(len(set(manifest.with_rows(rows).groups))),
        sources=len({row.source for row in rows}),
        masks=part(masks),
        unusable=part(len(masked) - masks),
        tumours=part(len(tumours)),
        side=int(np.median(shapes.max(axis=1))) if len(rows) else 0,
        tied=bool(free) and (_mostly_elsewhere(free, tumours) or _mostly_elsewhere(tumours, free)),
        drawn="phantom" in manifest.provenance,
        minutes=minutes,
        device=device,
        beside=beside,
        cores=max(1, cores() // beside),
    )


def _usable(masked: Sequence[Row]) -> int:
    """How many masks can be used: their files are there, and a few of them, far apart, are read."""
    there = [row for row in masked if stamp_of(row.mask)]
    looked = there[:: -(-len(there) // _LOOKED_AT)] if there else []
    return round(len(there) * sum(map(usable, looked)) / len(looked)) if looked else 0


def _mostly_elsewhere(rows: Sequence[Row], others: Sequence[Row]) -> bool:
    there = {row.source for row in others}
    return sum(row.source not in there for row in rows) > len(rows) / 2
