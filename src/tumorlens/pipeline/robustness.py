"""Asking a network about slices as they would come from a worse scanner, or through a worse archive."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tumorlens import io
from tumorlens.config import Settings
from tumorlens.data.manifest import Manifest
from tumorlens.errors import InputError
from tumorlens.evaluation.metrics import evaluate_table
from tumorlens.evaluation.table import PredictionTable
from tumorlens.inference import Outputs, Predictor
from tumorlens.inference.trust import Trust
from tumorlens.pipeline import trusting
from tumorlens.pipeline.reporter import Reporter
from tumorlens.preprocess.corrupting import SEVERITIES, STRENGTHS, corrupt, unit_picture
from tumorlens.preprocess.recipe import Recipe, standardise

# Each slice is asked about 56 times; so many say within three points how often an answer is right.
MOST = 300
CLEAN = "clean"
_KEPT = (
    "accuracy", "accuracy_ci95", "balanced_accuracy", "ece", "ece_ci95", "nll", "coverage", "selective_accuracy",
    "refused",
)  # fmt: skip
_CHANCE = 7

Key = tuple[str, int]


@dataclass(frozen=True)
class Corrupted:
    """Answers about the same slices, clean and with each corruption at each severity.

    Attributes:
        tables: by kind and severity, ``("clean", 0)`` among them.
    """

    tables: Mapping[Key, PredictionTable]

    def joined(self, other: Corrupted) -> Corrupted:
        """These and those of another part of the data set, asked of another fold's network."""
        return Corrupted({key: PredictionTable.joined([one, other.tables[key]]) for key, one in self.tables.items()})

    def judged(self, trusts: Mapping[str, Trust]) -> Corrupted:
        """Uncalibrated answers, each fold's with its trust (:func:`tumorlens.pipeline.trusting.fold_trusts`)."""
        return Corrupted({key: trusting.fold_judged(table, trusts) for key, table in self.tables.items()})

    def as_table(self) -> PredictionTable:
        """All of them in one table, the corruption and its severity in the place of the split."""
        return PredictionTable.joined(
            [replace(one, splits=(f"{kind} {step}",) * len(one)) for (kind, step), one in self.tables.items()]
        )

    @classmethod
    def of_table(cls, table: PredictionTable) -> Corrupted:
        """What :meth:`as_table` made."""
        return cls({(kind, step): table.where(f"{kind} {step}") for kind, step in _keys()})


def ask(
    manifest: Manifest, predictor: Predictor, settings: Settings, tell: Reporter, most: int | None = None
) -> Corrupted:
    """The answers for some slices, drawn at random, under every corruption.

    A slice's corruptions depend on the slice and the seed alone, not on the others or the network.

    Args:
        manifest: labelled slices that are tested.
        predictor: of the model.
        settings: for their seed.
        tell: told how it goes.
        most: slices at most; :data:`MOST` when None.
    """
    order = np.random.default_rng([settings.seed, _CHANCE]).permutation(len(manifest))[: most or MOST]
    wanted = {manifest.rows[i].id for i in order}
    asked, answers, kept = manifest.where(lambda row: row.id in wanted), [], []
    with tell.progress("asking about corrupted slices") as progress:
        for done, row in enumerate(asked, start=1):
            try:
                picture = unit_picture(io.read_slice(row.path, row.frame).pixels)
            except InputError:
                continue
            answers.append(predictor.run(_corrupted(picture, predictor.bundle.info.recipe, settings.seed)))
            kept.append(row)
            progress(done, len(asked))
    rows = asked.with_rows(kept)
    return Corrupted({key: _table(rows, predictor.labels, answers, i) for i, key in enumerate(_keys())})


def _corrupted(picture: np.ndarray, recipe: Recipe, seed: int) -> np.ndarray:
    """uint8 (56, S, S), in the order of :func:`_keys`."""
    own = zlib.crc32(picture.tobytes())
    changed = [
        picture if kind == CLEAN else corrupt(picture, kind, severity, np.random.default_rng([seed, _CHANCE, own]))
        for kind, severity in _keys()
    ]
    return np.stack([standardise(one, recipe) for one in changed])


def _table(rows: Manifest, labels: tuple[str, ...], answers: Sequence[Outputs], index: int) -> PredictionTable:
    """The answers to one corruption of every slice."""

    def of(values: list[np.ndarray | None]) -> list[bool] | None:
        return [bool(one[index]) for one in values if one is not None] or None

    return PredictionTable.build(
        labels,
        [row.id for row in rows],
        rows.labels,
        np.array([one.probabilities[index] for one in answers]).reshape(-1, len(labels)),
        patients=[row.patient for row in rows],
        groups=rows.groups,
        sources=[row.source for row in rows],
        splits=[row.split for row in rows],
        folds=[row.fold for row in rows],
        accepted=of([one.accepted for one in answers]),
        refused=of([one.refused for one in answers]),
    )


def _keys() -> Iterator[Key]:
    yield CLEAN, 0
    for kind in STRENGTHS:
        for severity in SEVERITIES:
            yield kind, severity


def scored(corrupted: Corrupted, settings: Settings) -> dict[str, Any]:
    """Scores of each corruption and severity, and what is left of the accuracy on average.

    Returns:
        ``n``, ``clean`` and ``corruptions`` (kind → five entries with ``severity``, ``strength``, accuracy and
        calibration error with their intervals, and what is accepted and refused); ``accuracy_kept``: for each severity
        the mean accuracy over the kinds, over the clean one; None where that is 0.
    """

    def of(key: Key) -> dict[str, Any]:
        found = evaluate_table(corrupted.tables[key], bootstrap=settings.evaluate.bootstrap, seed=settings.seed)
        return {name: found[name] for name in _KEPT}

    clean = of((CLEAN, 0))
    kinds = {
        kind: [
            {"severity": severity, "strength": strengths[severity - 1], **of((kind, severity))}
            for severity in SEVERITIES
        ]
        for kind, strengths in STRENGTHS.items()
    }
    kept = [
        float(np.mean([found[severity - 1]["accuracy"] for found in kinds.values()])) / clean["accuracy"]
        if clean["accuracy"]
        else None
        for severity in SEVERITIES
    ]
    return {"n": len(corrupted.tables[CLEAN, 0]), "clean": clean, "corruptions": kinds, "accuracy_kept": kept}
