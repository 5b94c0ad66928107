"""Asking a network again with the tumour gone."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tumorlens import io
from tumorlens.config import Settings
from tumorlens.data.manifest import Manifest, Row
from tumorlens.errors import InputError
from tumorlens.evaluation.looking import Look, clever_hans
from tumorlens.evaluation.table import PredictionTable
from tumorlens.inference import Predictor
from tumorlens.labels import NO_TUMOR
from tumorlens.pipeline.reporter import Reporter
from tumorlens.preprocess import erasing
from tumorlens.preprocess.plane import guess_planes
from tumorlens.preprocess.recipe import standardise

# As many say within two points how often; each is decoded again and costs what five predictions cost.
MOST = 1000
_CHANCE = 6


@dataclass(frozen=True, eq=False)
class Asked:
    """A slice and its edits as the network saw them, with its answers.

    Attributes:
        images: uint8 (2 or 3, S, S): as it is, without its tumour, without as much elsewhere where that fits.
        probabilities: float64 (2 or 3, classes).
    """

    images: np.ndarray
    probabilities: np.ndarray


def look(manifest: Manifest, predictor: Predictor, settings: Settings, tell: Reporter) -> list[Look]:
    """The answers for slices with a tumour mask, once the tumour is painted over, and as much elsewhere.

    Args:
        manifest: labelled slices that are tested; those without a mask are left out, as are more than :data:`MOST`.
        predictor: of the model.
        settings: for their seed.
        tell: told how it goes.
    """
    known = predictor.labels
    masked = [row for row in manifest if row.mask and row.label in known and row.label != NO_TUMOR]
    if len(masked) > MOST:
        chosen = np.random.default_rng([settings.seed, _CHANCE]).permutation(len(masked))[:MOST]
        masked = [masked[i] for i in np.sort(chosen)]
    if not masked:
        return []
    found = []
    with tell.progress("asking again without the tumour") as progress:
        for done, row in enumerate(masked, start=1):
            asked = ask(row, predictor, settings.seed)
            if asked is not None:
                found.append(_look(row, asked, known))
            progress(done, len(masked))
    return found


def ask(row: Row, predictor: Predictor, seed: int) -> Asked | None:
    """The slice's edits and their answers; None where its mask is of no use.

    Its edits depend on the slice and the seed alone, not on the others.
    """
    try:
        pixels, mask = io.read_slice(row.path, row.frame).pixels, io.read_mask(row.mask, row.frame)
    except InputError:
        return None
    small, region = erasing.shrunk(pixels, mask)
    region = erasing.widened(region)
    if not region.any():
        return None
    rng = np.random.default_rng([seed, _CHANCE, zlib.crc32(small.tobytes())])
    edited = [small, erasing.erase(small, region, rng)]
    moved = erasing.elsewhere(small, region, rng)
    if moved is not None:
        edited.append(erasing.erase(small, moved, rng))
    images = np.stack([standardise(pixels, predictor.bundle.info.recipe) for pixels in edited])
    return Asked(images, predictor.run(images).probabilities)


def _look(row: Row, asked: Asked, known: Sequence[str]) -> Look:
    answers = [known[k] for k in asked.probabilities.argmax(axis=1)]
    tumours = [k for k, name in enumerate(known) if name != NO_TUMOR]
    return Look(
        id=row.id,
        plane=guess_planes(asked.images[:1])[0],
        before=answers[0],
        removed=answers[1],
        background=known[tumours[int(asked.probabilities[1, tumours].argmax())]],
        control=answers[2] if len(answers) > 2 else "",
    )


def gap(looks: Sequence[Look], table: PredictionTable, settings: Settings) -> dict[str, Any] | None:
    """The rates of :func:`tumorlens.evaluation.looking.clever_hans`; None where no slice has a mask."""
    if not looks:
        return None
    return clever_hans(looks, table, bootstrap=settings.evaluate.bootstrap, seed=settings.seed)
