"""Two runs against each other: which predictions of theirs can be compared, and how they differ."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, NamedTuple

from tumorlens.errors import UsageError
from tumorlens.evaluation.comparison import compare_tables
from tumorlens.evaluation.table import PredictionTable
from tumorlens.io.content import not_found
from tumorlens.pipeline.folds import FOLDS

PREDICTIONS = "predictions.csv"
_EXPECTED = "expected the folder of a run, a cross-validation or an evaluation, or a predictions.csv"


class Answers(NamedTuple):
    """What a run says about slices that it has not learned from.

    Attributes:
        tables: one for each of its runs (the seeds of a cross-validation).
        what: ``cross-validation``, ``test`` or ``table``.
    """

    tables: list[PredictionTable]
    what: str


def compare(
    first: str | os.PathLike[str], second: str | os.PathLike[str], *, bootstrap: int = 2000, seed: int = 0
) -> dict[str, Any]:
    """How two runs differ on the slices that both have answered and neither has seen.

    Runs that were both cross-validated are compared on every slice, others on their test slices, both without the
    leaked ones. See :func:`tumorlens.evaluation.comparison.compare_tables` for what is returned; ``on`` adds which
    slices.

    Args:
        first: A: the folder of a run, a cross-validation or an evaluation, or a ``predictions.csv``.
        second: B.
        bootstrap: resamples behind each interval.
        seed: of the resampling.

    Raises:
        UsageError: when there is no such thing, or it has not finished.
        DataError: when the two share no slice or disagree about a label.
    """
    a, b = _cross_validated(Path(first)), _cross_validated(Path(second))
    if a is None or b is None:
        a, b = _tested(Path(first)), _tested(Path(second))
    on = a.what if a.what == b.what else "both"
    return {"on": on, **compare_tables(a.tables, b.tables, bootstrap=bootstrap, seed=seed)}


def _cross_validated(path: Path) -> Answers | None:
    """Out-of-fold predictions without those that leaked; None where there are none."""
    # A training's own folds (`folds/`) divide no group; what its metrics call leaked are slices of its test set.
    found: dict[Path, set[str]] = {path / FOLDS: set()} if (path / FOLDS / PREDICTIONS).is_file() else {}
    seeds = [place for place in sorted(path.glob(f"seed-*/{FOLDS}")) if (place / PREDICTIONS).is_file()]
    found |= dict.fromkeys(seeds, _leaked(path / "metrics.json") if seeds else set())
    tables = [
        table.where([name not in leaked for name in table.ids])
        for table, leaked in ((PredictionTable.read_csv(place / PREDICTIONS), out) for place, out in found.items())
    ]
    return Answers(tables, "cross-validation") if tables else None


def _tested(path: Path) -> Answers:
    """Predictions of the test slices, without those that leaked."""
    if path.is_file():
        return Answers([PredictionTable.read_csv(path)], "table")
    if (path / PREDICTIONS).is_file():
        table = PredictionTable.read_csv(path / PREDICTIONS)
        leaked = _leaked(path / "metrics.json")
        tested = {"test"} if "test" in table.splits else set(table.splits)
        keep = [part in tested and name not in leaked for part, name in zip(table.splits, table.ids, strict=True)]
        return Answers([table.where(keep)], "test")
    if (found := _cross_validated(path)) is not None:
        return found
    if not path.exists():
        raise not_found(str(path))
    unfinished = (path / "config.toml").is_file()
    raise UsageError(
        f"{path} has not finished" if unfinished else f"{path} holds no {PREDICTIONS}; {_EXPECTED}",
        hint=f"finish it first: tumorlens train --resume {path}" if unfinished else "train writes runs/…",
    )


def _leaked(path: Path) -> set[str]:
    """Ids that a ``metrics.json`` leaves out of its scores."""
    if not path.is_file():
        return set()
    try:
        leaked = json.loads(path.read_text(encoding="utf-8")).get("leaked") or {}
        return {str(name) for name in leaked.get("ids") or [pair[0] for pair in leaked.get("pairs") or []]}
    except (ValueError, AttributeError, TypeError, IndexError) as error:
        raise UsageError(f"{path} is damaged: {error}", hint="evaluate the model again") from error
