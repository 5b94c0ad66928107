"""``audit.html``: one file that opens without a network and shows what is wrong with a data set, with pictures."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from tumorlens.io.atomic import write_text
from tumorlens.report import page
from tumorlens.report.audit_sections import view
from tumorlens.report.extra import load

SIDE: Final = 128  # pixels: larger ones would only make the file large

Pictures = Callable[[Sequence[str]], Mapping[str, np.ndarray]]


def render_audit(
    document: Mapping[str, Any],
    pictures: Pictures,
    path: str | os.PathLike[str],
    *,
    data: Sequence[str] = ("DATA",),
    options: Sequence[str] = (),
) -> Path:
    """Write the page of an audit.

    Args:
        document: ``audit.json``, from :func:`tumorlens.audit.document.document`.
        pictures: ids of slices (120 at most, each once) → grey values uint8 (H, W) of those that can be shown. Called
            once. A slice that is missing in the answer is named without its picture.
        path: of the HTML file; its folder is made when it is missing.
        data: the DATA that was audited, for the commands on the page.
        options: the options that the audit was given, likewise: ``("--group-column", "site")``.

    Returns:
        The path.

    Raises:
        MissingExtraError: when a library of the extra ``report`` is not installed.
        EnvironmentFailure: when the file cannot be written.
    """
    target = Path(path)
    values = view(document, data, options, target.parent)
    shown = [finding["gallery"] for finding in values["findings"] if finding["gallery"]]
    wanted = list(dict.fromkeys(name for gallery in shown for name in gallery.ids))
    html = page.render(
        "audit.html.j2",
        script=page.source("page.js"),
        styles=("style.css", "audit.css"),
        **values,
        uris={name: _uri(picture) for name, picture in (pictures(wanted) if wanted else {}).items()},
    )
    write_text(target, html)
    return target


def _uri(picture: np.ndarray) -> str:
    image = load("PIL.Image").fromarray(np.asarray(picture, np.uint8))
    image.thumbnail((SIDE, SIDE))
    return page.webp(image)
