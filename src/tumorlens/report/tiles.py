"""Where the slices lie in a figure: written into its PNG, so that the report can lay them out anew.

One wide picture is unreadable on a telephone and leaves half a printed page empty. Cut apart, its slices flow like
words.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from tumorlens.report import page
from tumorlens.report.extra import load

# The PNG text chunk that holds the list of pictures as JSON.
KEY = "tumorlens-pictures"

Box = tuple[int, int, int, int]


class Picture(msgspec.Struct, frozen=True):
    """One or two slices that belong together.

    Attributes:
        boxes: left, top, right and bottom of each, in pixels of the PNG.
        lines: what stands below them.
        right: whether the answer was right; None where nothing was asked.
    """

    boxes: tuple[Box, ...]
    lines: tuple[str, ...] = ()
    right: bool | None = None


def box_of(axes: Any, dpi: int, inset: int) -> Box:
    """Where the axes of a Matplotlib figure lie in its PNG, ``inset`` pixels of frame left out on each side."""
    axes.apply_aspect()  # where the cell is not quite square, the picture is, and smaller
    place = axes.get_position()
    width, height = (inches * dpi for inches in axes.figure.get_size_inches())
    # Matplotlib counts from the lower left, and cuts a fraction of a pixel off the top.
    rows = int(height)
    return (
        round(place.x0 * width) + inset,
        round(rows - place.y1 * height) + inset,
        round(place.x1 * width) - inset,
        round(rows - place.y0 * height) - inset,
    )


def encode(pictures: Sequence[Picture]) -> dict[str, str]:
    """As PNG metadata."""
    # json and not msgspec: it keeps to ASCII, and a PNG's plain text is Latin-1.
    return {KEY: json.dumps(msgspec.to_builtins(pictures))}


def cut(path: Path) -> list[dict[str, Any]]:
    """The pictures of a PNG with their slices as data URIs; empty when the file does not say where they are."""
    with load("PIL.Image").open(path) as image:
        image.load()
        try:
            pictures = msgspec.json.decode(image.info.get(KEY, "[]"), type=tuple[Picture, ...])
        except (msgspec.MsgspecError, TypeError):
            return []
        if not all(_inside(box, image.size) for picture in pictures for box in picture.boxes):
            return []
        whole = image.convert("RGB")
    return [
        {
            "images": [page.webp(whole.crop(box)) for box in picture.boxes],
            "lines": picture.lines,
            "verdict": {True: "right", False: "wrong", None: ""}[picture.right],
        }
        for picture in pictures
    ]


def _inside(box: Box, size: tuple[int, int]) -> bool:
    left, top, right, bottom = box
    return 0 <= left < right <= size[0] and 0 <= top < bottom <= size[1]
