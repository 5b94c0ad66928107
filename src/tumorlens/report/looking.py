"""Whether the answer hangs on the tumour, in words: the "Clever Hans gap" of the report, the card and the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tumorlens.report import words

Line = tuple[str, str, str, str]


def lines(metrics: Mapping[str, Any]) -> list[Line]:
    """What was asked, the share, its interval, what it is of; nothing where no tested slice has a mask."""
    found = metrics.get("clever_hans")
    if not found:
        return []
    removed, control, background = found["removed"], found["control"], found["background"]
    made = []
    if removed:
        made.append(_line("Tumour painted over: called “no tumour”", removed))
    if control:
        made.append(_line("As much painted over elsewhere: keeps its answer", control))
    if background:
        made.append(_line("Tumour painted over: its type still named right", background))
    plane = found["plane_only"]["rate"]
    made.append(("The same from the plane of the slice alone, at best", words.percent(plane), words.NONE, _of(found)))
    return made


def view(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """What the template names."""
    return {"lines": lines(metrics), "sentence": sentence(metrics), "places": places(metrics)}


_MAPS = {
    "mask": "Predicted tumour mask",
    "class": "Class-activation map of the answer",
    "gradcam": "Grad-CAM of the answer",
    "mask_shuffled": "The mask, weights shuffled",
    "class_shuffled": "The class map, weights shuffled",
    "gradcam_shuffled": "Grad-CAM, weights shuffled",
    "head": "Middle of the head",
    "centre": "Middle of the picture",
}


def places(metrics: Mapping[str, Any]) -> list[tuple[str, str, str, str, str, str]]:
    """Map or point, hits, their interval, energy, IoU, slices; nothing where no tested slice has a mask."""
    found = metrics.get("localisation") or {}
    return [
        (
            name,
            words.percent(entry["hit_rate"]),
            words.percent_range(entry["hit_rate_ci95"]),
            words.percent(entry["energy"]),
            words.score(entry["iou"]) if "iou" in entry else words.NONE,
            _of(entry),
        )
        for what, name in _MAPS.items()
        if (entry := found.get(what))
    ]


def sentence(metrics: Mapping[str, Any]) -> str:
    """The result in one plain sentence; empty where there is none."""
    found = metrics.get("clever_hans")
    if not found:
        return ""
    removed, background = found["removed"], found["background"]
    if removed:
        return (
            f"Once the tumour was painted over, {words.percent(removed['rate'])} of the slices were called "
            "“no tumour”; the other answers came from something else in the slice."
        )
    beyond = background["rate"] - found["plane_only"]["rate"]
    told = f"{words.percent(background['rate'])} of the slices once the tumour was painted over"
    plane = words.percent(found["plane_only"]["rate"])
    if beyond > 0:
        return f"It still named the type in {told}, more than the plane alone gives ({plane}): it uses the background."
    return f"It still named the type in {told}, no more than the plane alone gives ({plane})."


def _line(name: str, entry: Mapping[str, Any]) -> Line:
    return name, words.percent(entry["rate"]), words.percent_range(entry["ci95"]), _of(entry)


def _of(entry: Mapping[str, Any]) -> str:
    return words.count(entry["n"])
