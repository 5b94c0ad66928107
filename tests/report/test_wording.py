"""What a page says is read as a reader sees it: text, not pictures, charts or code."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tumorlens.report.wording import AnyChart, shown

PAGE = """<!DOCTYPE html><html><head><meta charset="utf-8">
<title>run: 91.2&nbsp;%</title><style>p {}</style></head><body>
<h1>Tested on 20&nbsp;slices</h1><dl class="commands"><dt><code>tumorlens x /somewhere</code></dt><dd>go on</dd></dl>
<p>a<br>b <strong>c</strong></p><ul class="slices four"><li><img src="data:," alt="test slice"><span>92</span></li></ul>
<div class="plot"></div><script type="application/json" data-chart="chart-roc">{"values": [1]}</script>
<noscript><img src="x" alt="ROC curves">no script</noscript><dd>tumorlens 0.1.0, Altair 5.5.0</dd><p>last
</body></html>"""


def test_words_are_those_that_are_seen() -> None:
    found = shown(PAGE)
    assert found.words == ("run: 91.2 %", "Tested on 20 slices", "a", "b", "c", "last")
    assert found.charts == {"roc"}
    assert found.pictures == {"test slice", "ROC curves"}


@given(st.text())
def test_any_text_can_be_read(text: str) -> None:
    shown(text)


def test_every_chart_is_there_but_only_some_are_said_to_be() -> None:
    charts = AnyChart.fromkeys(["roc"], "")
    assert charts["pr"] == ""
    assert "pr" not in charts
    assert "roc" in charts
