"""Drawn slices to try the page with; no real patient is in them."""

from __future__ import annotations

from importlib import resources

#: Class → file in ``static/examples``; made by ``scripts/examples.py``.
NAMES = ("glioma", "meningioma", "pituitary", "no_tumor")


def available() -> list[str]:
    """The classes of which there is an example."""
    folder = resources.files("tumorlens.web").joinpath("static", "examples")
    return [name for name in NAMES if folder.joinpath(f"{name}.png").is_file()]
