"""Without the extra, importing works and asking for a chart says how to install it."""

import subprocess
import sys

import pytest

from tumorlens.errors import MissingExtraError
from tumorlens.report.extra import load

LIGHT = """
import sys
for name in ("altair", "seaborn", "matplotlib", "pandas", "jinja2", "vl_convert", "sklearn"):
    sys.modules[name] = None
import tumorlens.evaluation, tumorlens.evaluation.curves, tumorlens.report, tumorlens.report.image_figures
from tumorlens.errors import MissingExtraError
from tumorlens.report.charts import confusion_chart
try:
    confusion_chart(["a", "b"], [[1, 0], [0, 1]])
except MissingExtraError as error:
    sys.exit(0 if "altair" in error.message and "tumorlens[report]" in error.hint else 1)
sys.exit(2)
"""


def test_the_light_install_imports_both_rooms() -> None:
    assert subprocess.run([sys.executable, "-c", LIGHT], check=False).returncode == 0


def test_the_missing_package_is_named() -> None:
    with pytest.raises(MissingExtraError, match="needs no_such_package"):
        load("no_such_package.part")
