"""Whether a network that learned from every slice names them as well as others named unseen ones: chance, or not."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from tumorlens.evaluation import PredictionTable
from tumorlens.pipeline.reporter import Reporter
from tumorlens.pipeline.verifying import Check
from tumorlens.pipeline.verifying.binomial import at_most, least
from tumorlens.pipeline.verifying.learned import FALSE_ALARMS, named_rightly, worse


class Misses:
    """A network that names so many of the slices it is asked about wrongly, and the others rightly."""

    def __init__(self, wrong: int) -> None:
        self.wrong = wrong

    def predict_slices(self, slices: Iterable[Any]) -> Iterator[SimpleNamespace]:
        for number, _ in enumerate(slices):
            right = float(number >= self.wrong)
            yield SimpleNamespace(probabilities={"a": right, "b": 1 - right})


def asked(tmp_path: Path, *, others: tuple[int, int], wrong: int, slices: int) -> Check:
    """The check where others named ``others[0]`` of ``others[1]`` rightly, and the network misses ``wrong``."""
    right, count = others
    rows = "".join(f"{i},a,{float(i < right)},{float(i >= right)}\n" for i in range(count))
    table = PredictionTable.parse(f"id,label,p_a,p_b\n{rows}", "here")
    picture = tmp_path / "slice.png"
    cv2.imwrite(str(picture), np.full((16, 16), 99, np.uint8))
    places: dict[str, tuple[str, int | None]] = {name: (str(picture), None) for name in table.ids}
    network: Any = Misses(wrong)
    return named_rightly(table, places, network, slices, 0, Reporter())


@pytest.mark.parametrize(
    ("others", "wrong", "slices", "ok"),
    [
        ((1000, 1000), 1, 200, True),
        ((995, 1000), 1, 5, True),
        ((5, 5), 1, 5, True),
        ((1000, 1000), 10, 200, False),
        ((900, 1000), 45, 200, False),
        ((900, 1000), 5, 5, False),
        ((0, 1000), 5, 5, True),
    ],
)
def test_a_miss_is_chance_and_many_are_not(
    tmp_path: Path, others: tuple[int, int], wrong: int, slices: int, ok: bool
) -> None:
    found = asked(tmp_path, others=others, wrong=wrong, slices=slices)
    assert found.ok is ok, found.detail
    assert f"{slices} slices that it learned from" in found.detail


@pytest.mark.parametrize(("count", "slices"), [(30, 5), (100, 10), (40, 40)])
def test_an_honest_network_is_called_worse_no_more_often_than_is_told(count: int, slices: int) -> None:
    """Of slices that err independently, whatever the accuracy, however many there are."""
    alarms = [
        (right, others) for others in range(count + 1) for right in range(slices) if worse(right, slices, others, count)
    ]
    assert alarms
    for accuracy in (0.3, 0.6, 0.9, 0.98, 0.999):
        often = sum(chance(right, slices, accuracy) * chance(others, count, accuracy) for right, others in alarms)
        assert often <= FALSE_ALARMS


def chance(right: int, asked: int, accuracy: float) -> float:
    return math.comb(asked, right) * accuracy**right * (1 - accuracy) ** (asked - right)


def test_binomial_tails_and_bounds_are_exact() -> None:
    assert at_most(0, 5, 0.5) == pytest.approx(1 / 32)
    assert at_most(8, 10, 0.9) == pytest.approx(1 - 0.9**10 - 10 * 0.1 * 0.9**9)
    assert at_most(1999, 4000, 0.5) == pytest.approx(0.5 - 0.5 * 0.012614, abs=1e-5)
    assert [at_most(3, 5, 0.0), at_most(3, 5, 1.0), at_most(5, 5, 1.0)] == [1.0, 0.0, 1.0]
    assert least(7, 7, 0.05) == pytest.approx(0.05 ** (1 / 7))
    assert least(0, 7, 0.05) == 0.0
    # Table of Clopper and Pearson, 95 % two-sided: 8 of 10 is 0.4439 to 0.9748.
    assert least(8, 10, 0.025) == pytest.approx(0.4439, abs=1e-4)
