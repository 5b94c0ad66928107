"""One look for every chart and figure: light, quiet, readable with colour-vision deficiency."""

from __future__ import annotations

from typing import Any

INK = "#1b2430"
MUTED = "#5b6776"
LINE = "#d9dee5"
GUIDE = "#aeb8c4"
PAPER = "#ffffff"
RIGHT = "#1a7f5a"
WRONG = "#b3261e"
TRAIN = "#8a97a8"
VALIDATION = "#1f5fa8"
SCALE = ("#f4f7fb", "#1d4f8c")
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
DPI = 160
# Vega would write 92%; the report writes 92 % everywhere.
PERCENT_AXIS = "format(datum.value * 100, '~g') + '\u00a0%'"


def altair_config() -> dict[str, Any]:
    """The Altair theme, as a Vega-Lite ``config``. It is put into each chart, so that no global theme changes."""
    text = {"labelColor": MUTED, "titleColor": INK, "labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": 500}
    return {
        "background": PAPER,
        "font": FONT,
        "view": {"stroke": None},
        "axis": {
            **text,
            "domainColor": LINE,
            "gridColor": "#eef1f5",
            "tickColor": LINE,
            "titlePadding": 8,
            "labelPadding": 6,
        },
        "legend": {
            **text,
            "title": None,
            "orient": "bottom",
            "symbolStrokeWidth": 3,
            "columnPadding": 16,
            "labelLimit": 220,
        },
        "title": {"color": INK, "fontSize": 13, "fontWeight": 600, "anchor": "start", "offset": 10},
        "line": {"strokeWidth": 2},
        "text": {"color": INK, "fontSize": 12},
    }


def seaborn_style() -> tuple[str, dict[str, Any]]:
    """The Seaborn style and its changes: ``with seaborn.axes_style(*seaborn_style()): …``."""
    return "whitegrid", {
        "figure.facecolor": PAPER,
        "axes.facecolor": PAPER,
        "axes.edgecolor": LINE,
        "axes.labelcolor": INK,
        "axes.titlesize": 11,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "axes.labelsize": 10,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "grid.color": "#eef1f5",
        "text.color": INK,
        "xtick.color": MUTED,
        "ytick.color": MUTED,
        "xtick.labelsize": 9,
        "ytick.labelsize": 9,
        "legend.frameon": False,
        "legend.fontsize": 9,
        "font.family": ["sans-serif"],
        "font.sans-serif": ["DejaVu Sans"],  # comes with Matplotlib, so every machine draws the same figure
        "svg.hashsalt": "tumorlens",  # equal data, equal bytes
    }
