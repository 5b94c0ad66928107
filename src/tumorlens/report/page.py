"""What every page shares: one file that opens without a network, and in which no script but its own can run."""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from tumorlens.report import words
from tumorlens.report.extra import load


def render(template: str, /, *, script: str, styles: Sequence[str] = ("style.css",), **values: Any) -> str:
    """A template that extends ``page.html.j2``, as HTML in which every value is escaped.

    Args:
        template: its file name.
        script: the one script of the page; its hash goes into the content security policy. May be empty.
        styles: names of style sheets, in order.
        values: what the template names. Only ``markupsafe.Markup`` goes in unescaped.

    Raises:
        MissingExtraError: when Jinja is not installed.
    """
    jinja = load("jinja2")
    environment = jinja.Environment(
        loader=jinja.FunctionLoader(source),
        autoescape=True,
        undefined=jinja.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "percent": words.percent,
        "range": words.percent_range,
        "score": words.score,
        "count": words.count,
        "duration": words.duration,
        "plural": words.plural,
        "tail": words.tail,
    }
    safe = load("markupsafe").Markup
    html: str = environment.get_template(template).render(
        **values,
        css=safe("".join(source(style) for style in styles)),
        script=safe(script),
        script_hash=_hash(script),
    )
    return html


def source(name: str) -> str:
    """The text of a file in ``templates``."""
    return resources.files("tumorlens.report").joinpath("templates", name).read_text(encoding="utf-8")


def webp(image: Any) -> str:
    """A PIL image as a data URI; WebP takes a fifth of a PNG's size, and slices do not show the difference."""
    packed = io.BytesIO()
    image.convert("RGB").save(packed, "WEBP", quality=88, method=4)
    return _uri("webp", packed.getvalue())


def png(path: Path) -> str:
    """A line drawing as a data URI."""
    return _uri("png", path.read_bytes())


def _uri(kind: str, content: bytes) -> str:
    return f"data:image/{kind};base64," + base64.b64encode(content).decode()


def _hash(script: str) -> str:
    """The script's entry in the content security policy: no other script can run in the page."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
