"""What the report says of maps and of shuffled weights."""

from __future__ import annotations

from typing import Any

import pytest

from tumorlens.report import looking


def entry(rate: float, low: float, high: float) -> dict[str, Any]:
    return {"n": 300, "hit_rate": rate, "hit_rate_ci95": [low, high], "energy": 0.1}


def metrics(**shuffled: float) -> dict[str, Any]:
    maps = {f"{name}_shuffled": entry(rate, rate - 0.05, rate + 0.05) for name, rate in shuffled.items()}
    points = {"centre": entry(0.2, 0.15, 0.25), "head": entry(0.1, 0.05, 0.5)}
    return {"localisation": {"mask": entry(0.9, 0.85, 0.95), **maps, **points}}


def plain(text: str) -> str:
    return text.replace("\N{NO-BREAK SPACE}", " ")


def test_shuffled_weights_that_fall_to_the_better_point_are_said_to() -> None:
    found = looking.view(metrics(mask=0.24, **{"class": 0.05}))
    assert plain(found["sanity"]) == (
        "With the weights shuffled, the peaks fall to the level of the better point that needs no network (middle of "
        "the picture, 20.0 %; 95 % interval 15.0 to 25.0 %): predicted mask 24.0 %, class map 5.0 %."
    )
    assert found["warning"] == ""


def test_a_map_that_shuffling_does_not_break_is_warned_of() -> None:
    found = looking.view(metrics(mask=0.05, gradcam=0.26))
    assert "do not fall to the level" in found["sanity"]
    assert "(Grad-CAM)" in found["warning"]
    assert "mask" not in found["warning"]


@pytest.mark.parametrize(
    "found",
    [{}, {"localisation": None}, metrics(), {"localisation": {"class_shuffled": entry(0.9, 0.8, 1.0)}}],
)
def test_without_shuffled_maps_or_points_nothing_is_said(found: dict[str, Any]) -> None:
    shown = looking.view(found)
    assert shown["sanity"] == shown["warning"] == ""


def test_too_few_patients_say_nothing_either_way() -> None:
    found = metrics(mask=0.9)
    found["localisation"]["centre"]["hit_rate_ci95"] = None
    shown = looking.view(found)
    assert shown["sanity"].startswith("Too few patients")
    assert shown["warning"] == ""
