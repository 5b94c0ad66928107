"""The charts and figures of a search show the numbers of its trials."""

from __future__ import annotations

import base64
import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tumorlens.report import tuning_charts
from tumorlens.report.theme import VALIDATION
from tumorlens.report.tuning_page import render_tuning

vl_convert = pytest.importorskip("vl_convert")
pytest.importorskip("matplotlib")

SHARES = {"train.ema": 0.1, "train.learning_rate": 0.7, "model.depth": 0.2}
SORTED = ["train.learning_rate", "model.depth", "train.ema"]


def trial(number: int, value: float | None, state: str = "seen through", **more: Any) -> dict[str, Any]:
    values = {"train.learning_rate": 1e-3 * number, "model.depth": 1 + number % 2, "train.ema": 0.0}
    own = {"number": number, "state": state, "value": value, "last": value, "folds": [], "epochs": 2, "reason": ""}
    return {**own, "values": values, **more}


def searched(**more: Any) -> dict[str, Any]:
    every = [trial(1, 0.5), trial(2, None, "given up", last=0.4), trial(3, 0.75), trial(4, 0.6)]
    own = {"name": "tune", "created": "2026-11-23T11:40:02+00:00", "goal": "accuracy", "folds": 2, "versions": {}}
    return {**own, "trials": every, "best": every[2], "present": every[0], "importance": SHARES, **more}


def rows_of(spec: dict[str, Any]) -> list[dict[str, Any]]:
    return [row for part in (spec, *spec.get("layer", [])) for row in part.get("data", {}).get("values", [])]


def test_the_chart_of_importance_has_a_bar_for_each_setting_the_longest_on_top() -> None:
    spec = tuning_charts.importance_chart(SHARES)
    assert {row["setting"]: row["share"] for row in rows_of(spec)} == SHARES
    assert (spec["encoding"]["x"]["field"], spec["encoding"]["y"]["field"]) == ("share", "setting")
    svg = vl_convert.vegalite_to_svg(spec, vl_version="6.4")
    places = {key: svg.index(f">{key}<") for key in SORTED}
    assert sorted(places, key=lambda key: places[key]) == SORTED
    assert "70.0%" in svg.replace("\u00a0", "")


def test_the_figure_of_importance_has_bars_as_long_as_the_shares(tmp_path: Path) -> None:
    png, svg = tuning_charts.importance_figure(SHARES, tmp_path / "importance")
    text = svg.read_text()
    ET.fromstring(text)  # noqa: S314 - written a moment ago
    # Matplotlib draws letters as outlines and says beside them what they spell.
    assert sorted(SORTED, key=lambda key: text.index(f"<!-- {key} -->")) == SORTED
    lengths = bars(png)
    assert [length / sum(lengths) for length in lengths] == pytest.approx([0.7, 0.2, 0.1], abs=0.02)


def bars(png: Path) -> list[int]:
    """Lengths in pixels of the bars, from the top."""
    colour = [int(VALIDATION[at : at + 2], 16) for at in (1, 3, 5)]
    with Image.open(png) as image:
        drawn = (np.abs(np.asarray(image.convert("RGB")).astype(int) - colour).max(axis=2) < 40).sum(axis=1)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], drawn > 0, [0]]).astype(int)))
    return [int(np.median(drawn[first:end])) for first, end in edges.reshape(-1, 2)]


def test_the_course_of_a_search_is_the_value_of_each_trial_and_the_best_so_far() -> None:
    rows = rows_of(tuning_charts.trials_chart(searched()))
    assert [(row["trial"], row["value"], row["best"]) for row in rows] == [
        (1, 0.5, 0.5),
        (2, 0.4, 0.5),
        (3, 0.75, 0.75),
        (4, 0.6, 0.75),
    ]


def test_each_state_of_a_trial_has_a_colour_of_its_own(tmp_path: Path) -> None:
    found = searched()
    found["trials"].append(trial(5, None, "failed", last=0.3))
    svg = vl_convert.vegalite_to_svg(tuning_charts.trials_chart(found), vl_version="6.4")
    fills = dict(re.findall(r'aria-label="Trial: \d; [^"]*; State: ([a-z ]+)"[^>]*? fill="([^"]+)"', svg))
    assert len(set(fills.values())) == len(fills) == 3
    _, paper = tuning_charts.trials_figure(found, tmp_path / "trials")
    assert all(f"<!-- {state} -->" in paper.read_text() for state in fills)


def test_the_most_important_settings_come_first_in_the_report() -> None:
    assert tuning_charts.shown_settings(searched()) == SORTED
    assert tuning_charts.shown_settings(searched(importance=None)) == list(searched()["best"]["values"])


@pytest.mark.parametrize("importance", [SHARES, None])
def test_the_report_draws_the_importance_where_it_is_known(importance: dict[str, float] | None, tmp_path: Path) -> None:
    (tmp_path / "metrics.json").write_text(json.dumps(searched(importance=importance)))
    text = render_tuning(tmp_path).read_text()
    drawn = (tmp_path / "figures" / "importance.png").is_file()
    assert ('id="chart-importance"' in text, drawn) == (importance is not None,) * 2
    assert (">70.0" in text.replace("\u00a0", "")) is (importance is not None)
    if drawn:
        assert base64.b64encode((tmp_path / "figures" / "importance.png").read_bytes()[:30]).decode() in text
