"""Where a model fails is said, the surest first, and nothing is said where nothing stands out."""

from __future__ import annotations

from typing import Any

from tumorlens.report import words
from tumorlens.report.failures import failures
from tumorlens.report.subgroups import worst


def part(n: int, accuracy: float, interval: tuple[float, float] | None, balanced: float) -> dict[str, Any]:
    return {
        "n": n,
        "accuracy": accuracy,
        "accuracy_ci95": interval,
        "balanced_accuracy": balanced,
        "classes": {"glioma": n // 2, "no_tumor": n - n // 2},
    }


def made(matrix: list[list[int]], **more: Any) -> dict[str, Any]:
    return {"test": {"accuracy": 0.9, "confusion": {"labels": ["glioma", "no_tumor"], "matrix": matrix}}, **more}


SOURCES = {
    "clinic": part(3000, 0.92, (0.9, 0.94), 0.92),
    "web": part(180, 0.78, (0.72, 0.84), 0.71),
    "odd": part(22, 0.73, (0.5, 0.91), 0.73),
    "one patient": part(40, 0.7, None, 0.7),
    "few": part(5, 0.0, (0.0, 0.5), 0.0),
}


def test_the_part_that_is_surely_worse_comes_first_and_few_slices_prove_nothing() -> None:
    metrics = made([[90, 10], [10, 90]], subgroups={"source": SOURCES})
    assert worst(metrics).startswith("Weakest on source web: ")
    weak = [line for line in failures(metrics) if line.startswith("Weaker")]
    assert len(weak) == 1
    assert "source web" in weak[0]
    assert f"balanced {words.percent(0.71)}" in weak[0]


def test_common_mistakes_and_answers_without_a_tumour() -> None:
    gap = {"removed": {"rate": 0.6, "ci95": [0.5, 0.7], "n": 100}}
    text = "\n".join(failures(made([[80, 20], [1, 99]], clever_hans=gap)))
    assert "20 of 100 slices of Glioma called No tumour" in words_plain(text)
    assert "1 of 100" not in words_plain(text)
    assert words.percent(0.4) in text


def test_nothing_stands_out() -> None:
    assert failures(made([[100, 0], [0, 100]])) == []
    assert worst(made([[100, 0], [0, 100]])) == ""


def words_plain(text: str) -> str:
    return text.replace(words.NBSP, " ")
