"""Asking a network again about slices drawn at random, and comparing its answers with those in a table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from tumorlens import io
from tumorlens.errors import InputError
from tumorlens.evaluation.table import PredictionTable
from tumorlens.inference import Prediction, Predictor
from tumorlens.inference.result import NOT_BRAIN_MRI
from tumorlens.io.slice import Slice
from tumorlens.pipeline.reporter import Reporter
from tumorlens.pipeline.verifying.checks import SHOWN, Check
from tumorlens.pipeline.verifying.refitting import near_limit

NAME = "answers again"
#: Of a probability, between this machine and the one that answered first (law 2 of the design).
SAME = 1e-6
Places = Mapping[str, tuple[str, int | None]]


class Drawn:
    """Slices that can be read, in random order, until there are as many as are wanted.

    Args:
        places: file and frame of each slice, by name; files that are gone, or hold something else, are passed over.
        names: of the slices to draw from.
        count: how many are wanted.
        seed: of their order.
    """

    def __init__(self, places: Places, names: tuple[str, ...], count: int, seed: int) -> None:
        self._places, self._names = places, names
        self._order = np.random.default_rng(seed).permutation(len(names)).tolist()
        self.wanted = min(count, len(names))
        #: Numbers of the slices that were read, in the order in which they were given out.
        self.rows: list[int] = []
        self.gone = 0

    def __iter__(self) -> Iterator[Slice]:
        for row in self._order:
            if len(self.rows) == self.wanted:
                return
            try:
                item = io.read_slice(*self._places[self._names[row]])
            except (InputError, KeyError):
                self.gone += 1
                continue
            self.rows.append(row)
            yield item

    @property
    def missing(self) -> str:
        """How many pictures were not there, in words; empty where all were."""
        return f"; {self.gone} pictures are gone" if self.gone else ""


def asked_again(
    table: PredictionTable,
    places: Places,
    predictor: Predictor,
    count: int,
    seed: int,
    tell: Reporter,
    name: str = NAME,
) -> Check:
    """Whether a network still answers as a table says.

    Args:
        table: its answers.
        places: file and frame of the slices, by the names that the table gives them.
        predictor: the network.
        count: how many slices.
        seed: of their choice.
        tell: told how it goes.
        name: of the check.
    """
    drawn = Drawn(places, table.ids, count, seed)
    worst, wrong = 0.0, []
    with tell.progress("asking again") as progress:
        for done, answer in enumerate(predictor.predict_slices(drawn), start=1):
            row = drawn.rows[done - 1]
            found = np.array([answer.probabilities[label] for label in table.names])
            off = float(np.abs(found - table.probabilities[row]).max())
            worst = max(worst, off)
            if off > SAME or not _same_verdict(answer, table, row, predictor):
                wrong.append(table.ids[row])
            progress(done, drawn.wanted)
    asked = len(drawn.rows)
    if wrong:
        more = ", …" if len(wrong) > SHOWN else ""
        shown = ", ".join(wrong[:SHOWN]) + more
        return Check(name, False, f"{len(wrong)} of {asked} differ, by up to {worst:.2g}: {shown}{drawn.missing}")
    if not asked:
        return Check(name, None, "no picture is where it was" if drawn.gone else "there is no answer to ask for")
    if asked < drawn.wanted:
        return Check(name, None, f"only {asked} of {drawn.wanted} slices, within {worst:.1g}{drawn.missing}")
    return Check(name, True, f"{asked} slices, within {worst:.1g}{drawn.missing}")


def _same_verdict(answer: Prediction, table: PredictionTable, row: int, predictor: Predictor) -> bool:
    """Whether a slice is refused, called uncertain, and given a set as the table says.

    Where a probability is as close to a limit as it may differ between machines, either side will do.
    """
    refused = answer.verdict == NOT_BRAIN_MRI
    if table.refused[row] is not None and refused != table.refused[row]:
        return False
    if refused:
        return table.accepted[row] is not True
    if (answer.set is None) != (table.sets is None) or (answer.verdict is None) != (table.accepted[row] is None):
        return False
    probabilities, trust = table.probabilities[row : row + 1], predictor.trust
    unsure = near_limit(trust, probabilities, table.names, SAME)[0]
    if table.sets is not None and answer.set is not None:
        inside = np.array([name in answer.set for name in table.names])
        if ((inside != table.sets[row]) & ~unsure).any():
            return False
    if trust.selective is None or unsure.any():
        return True
    if abs(float(probabilities.max()) - trust.selective.threshold) <= SAME:
        return True
    return (answer.verdict == "accepted") == table.accepted[row]
