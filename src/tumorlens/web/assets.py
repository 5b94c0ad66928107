"""Scripts of other projects, out of their installed packages: none is loaded from anywhere, none is in our files."""

from __future__ import annotations

import threading
from functools import lru_cache
from importlib import resources
from typing import Any

from tumorlens.errors import MissingExtraError, TumorLensError
from tumorlens.report.html import vega_bundle

#: Files of Swagger UI, in the package fastapi-swagger (MIT; Swagger UI itself is Apache-2.0).
SWAGGER = {"swagger-ui-bundle.js": "text/javascript", "swagger-ui.css": "text/css"}


@lru_cache(maxsize=len(SWAGGER))
def swagger(name: str) -> bytes:
    """A file of Swagger UI."""
    return resources.files("fastapi_swagger").joinpath("resources", name).read_bytes()


_one_at_a_time = threading.Lock()


def vega() -> str:
    """Vega, Vega-Lite and Vega-Embed around the lines that draw our charts; takes about 2 s the first time.

    Raises:
        MissingExtraError: when Altair or vl-convert is not installed.
    """
    with _one_at_a_time:
        return _vega()


@lru_cache(maxsize=1)
def _vega() -> str:
    return vega_bundle(resources.files("tumorlens.web").joinpath("charts.js").read_text(encoding="utf-8"))


def charts(table: Any) -> dict[str, dict[str, Any]]:
    """Calibration and ROC of tested slices as Vega-Lite; empty where the packages are missing or the slices too few."""
    from tumorlens.report.curve_charts import calibration_bins, reliability_chart, roc_chart

    try:
        found = {"roc": roc_chart(table)}
        if calibration_bins(len(table)):
            found["calibration"] = reliability_chart(table)
    except (MissingExtraError, TumorLensError):
        return {}
    return found
