"""What a page says: its words without pictures, charts and the commands that name its folder."""

from __future__ import annotations

import re
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import Any

# Elements whose text no reader sees, or that is not the page's own.
_HIDDEN = frozenset({"script", "style", "noscript"})
_ASIDE = ("slices", "commands")
# Elements without an end tag.
_VOID = frozenset({"br", "hr", "img", "link", "meta", "input"})
# What drew a page says nothing of a model.
_DRAWN_BY = re.compile(r"tumorlens \S+, Altair \S+")


@dataclass(frozen=True)
class Shown:
    """What a page shows.

    Attributes:
        words: its pieces of text, in order.
        charts: names of its charts.
        pictures: what its pictures are called (``alt``).
    """

    words: tuple[str, ...]
    charts: frozenset[str]
    pictures: frozenset[str]


def shown(html: str) -> Shown:
    """What an HTML page of ours shows.

    Args:
        html: as :func:`tumorlens.report.page.render` made it.
    """
    reader = _Reader()
    reader.feed(html)
    reader.close()
    return Shown(tuple(reader.words), frozenset(reader.charts), frozenset(reader.pictures))


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []
        self.charts: set[str] = set()
        self.pictures: set[str] = set()
        self._open: list[tuple[str, bool]] = []  # elements, and whether their text is passed over

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known: dict[str, Any] = dict(attrs)
        if tag == "script" and known.get("data-chart"):
            self.charts.add(known["data-chart"].removeprefix("chart-"))
        if tag == "img":
            self.pictures.add(known.get("alt") or "")
        if tag not in _VOID:
            aside = any(name in (known.get("class") or "").split() for name in _ASIDE)
            self._open.append((tag, tag in _HIDDEN or aside or self._aside))

    def handle_endtag(self, tag: str) -> None:
        if any(name == tag for name, _ in self._open):
            while self._open.pop()[0] != tag:
                pass

    def handle_data(self, data: str) -> None:
        text = " ".join(data.split())
        if text and not self._aside and not _DRAWN_BY.fullmatch(text):
            self.words.append(text)

    @property
    def _aside(self) -> bool:
        return bool(self._open) and self._open[-1][1]


class AnyChart(dict[str, str]):
    """Charts of a page that is made for its words: all of them, empty; those named here are said to be there."""

    def __missing__(self, name: str) -> str:
        return ""
