"""The specifications are valid Vega-Lite, fill their container, and carry the numbers they should."""

import json

import numpy as np
import pytest

from tumorlens.report import charts, curve_charts

vl_convert = pytest.importorskip("vl_convert")

HISTORY = {
    "epoch": [1.0, 2.0, 3.0],
    "accuracy": [0.5, 0.7, 0.8],
    "val_accuracy": [0.4, None, 0.75],
    "loss": [1.0, 0.8, float("nan")],
    "val_loss": [None, None, None],
}


@pytest.fixture(scope="module")
def specs(builders):
    table = builders["table"]()
    return {
        "accuracy": charts.history_chart(HISTORY, "accuracy", kept_epoch=2),
        "loss": charts.history_chart(HISTORY, "loss"),
        "confusion": charts.confusion_chart(["x", "y"], [[8, 2], [0, 0]]),
        "balance": charts.balance_chart({"train": {"x": 3, "y": 1}, "val": {}, "test": {"x": 0, "y": 2}}, ["x", "y"]),
        "roc": curve_charts.roc_chart(table),
        "pr": curve_charts.pr_chart(table),
        "confidence": curve_charts.confidence_chart(table),
        "reliability": curve_charts.reliability_chart(table),
    }


NAMES = ["accuracy", "loss", "confusion", "balance", "roc", "pr", "confidence", "reliability"]


@pytest.mark.parametrize("name", NAMES)
def test_every_chart_is_drawn_by_vega_lite(specs, name: str) -> None:
    spec = specs[name]
    text = json.dumps(spec, allow_nan=False)
    assert spec["width"] == "container"
    assert spec["config"]["font"].startswith("system-ui")
    assert spec["description"]
    assert "tooltip" in text
    svg = vl_convert.vegalite_to_svg(spec, vl_version="6.4")
    assert svg.startswith("<svg")
    assert "aria-label" in svg


def values(spec) -> list[dict]:
    layers = spec.get("layer", [spec])
    found = [
        spec["datasets"][layer["data"]["name"]]
        if "name" in layer.get("data", {})
        else layer.get("data", {}).get("values", [])
        for layer in [spec, *layers]
    ]
    return [row for rows in found for row in rows]


def test_history_leaves_out_what_is_not_there(specs) -> None:
    rows = [row for row in values(specs["accuracy"]) if "series" in row]
    assert {(row["epoch"], row["value"]) for row in rows if row["series"] == "Validation"} == {(1, 0.4), (3, 0.75)}
    assert all(np.isfinite(row["value"]) for row in values(specs["loss"]))


@pytest.mark.parametrize(
    ("epochs", "ticks"), [(1, [1]), (3, [1, 2, 3]), (12, [2, 4, 6, 8, 10, 12]), (100, [20, 40, 60, 80, 100])]
)
def test_epochs_are_whole_numbers(epochs: int, ticks: list[int]) -> None:
    numbers = [float(i + 1) for i in range(epochs)]
    spec = charts.history_chart({"epoch": numbers, "loss": numbers}, "loss")
    axis = spec["layer"][0]["encoding"]["x"]["axis"]
    assert (axis["values"], axis["format"]) == (ticks, "d")


def test_the_epoch_that_became_the_model_is_marked(specs) -> None:
    assert {row["label"] for row in values(specs["accuracy"]) if "label" in row} == {"kept: epoch 2"}


@pytest.mark.parametrize(("n", "bins"), [(0, 0), (59, 0), (60, 3), (100, 5), (300, 15), (5000, 15)])
def test_a_bin_of_the_calibration_chart_holds_enough_slices(builders, n: int, bins: int) -> None:
    assert curve_charts.calibration_bins(n) == bins
    if bins > 0 and n < 1000:
        rows = [row for row in values(curve_charts.reliability_chart(builders["table"](n=n))) if "n" in row]
        assert len(rows) == bins
        assert min(row["n"] for row in rows) >= 20


def test_calibration_is_drawn_before_and_after(builders) -> None:
    table = builders["table"](n=300)
    surer = builders["table"](n=300, strength=4.0)
    spec = curve_charts.reliability_chart(table, surer)
    rows = [row for row in values(spec) if "answers" in row]
    alone = [row for row in values(curve_charts.reliability_chart(surer)) if "answers" in row]
    assert {row["answers"] for row in rows} == {"Before calibration", "After"}
    assert [{**row, "answers": ""} for row in rows if row["answers"] == "Before calibration"] == alone
    assert "Before calibration" in vl_convert.vegalite_to_svg(spec, vl_version="6.4")
    assert "Before" not in vl_convert.vegalite_to_svg(curve_charts.reliability_chart(table), vl_version="6.4")


def test_the_share_that_is_accepted_is_marked(builders) -> None:
    table = builders["table"]()
    assert [row for row in values(curve_charts.risk_chart(table, 0.6)) if "x" in row] == [{"x": 0.6}]
    assert [row for row in values(curve_charts.risk_chart(table, None)) if "x" in row] == []


def test_confusion_carries_counts_and_percent(specs) -> None:
    rows = {(row["true"], row["predicted"]): row for row in values(specs["confusion"])}
    assert (rows["X", "X"]["n"], rows["X", "X"]["percent"]) == (8, "80.0 %")
    assert rows["Y", "X"]["percent"] == "–"


def test_curves_name_their_area_and_stay_small(specs, builders) -> None:
    rows = values(specs["roc"])
    table = builders["table"]()
    legends = {row["class"] for row in rows if "class" in row}
    assert len(legends) == len(table.names)
    assert all(float(text.split()[-1].strip(">")) > 0.5 for text in legends)
    assert len(json.dumps(specs["roc"])) < 100_000


def test_a_perfect_network_and_missing_classes_are_drawn_too(builders) -> None:
    table = builders["table"](strength=50.0)
    two = table.where([label in ("glioma", "pituitary") for label in table.labels])
    assert {row["class"].split()[0] for row in values(curve_charts.roc_chart(two)) if "class" in row} == {
        "Glioma",
        "Pituitary",
    }
    for chart in (curve_charts.confidence_chart, curve_charts.reliability_chart, curve_charts.pr_chart):
        json.dumps(chart(two), allow_nan=False)


def test_long_class_names_are_cut_but_stay_apart() -> None:
    names = ["x" * 60 + "1", "x" * 60 + "2", "no_tumor"]
    short = charts.short_titles(names)
    assert len(set(short.values())) == 3
    assert max(map(len, short.values())) < 28
    rows = values(charts.confusion_chart(names, [[1, 0, 0], [0, 2, 0], [0, 0, 3]]))
    assert {(row["true"], row["predicted"]) for row in rows} == {(a, b) for a in short.values() for b in short.values()}
