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
    if turned := found.get("turned"):  # earlier versions did not ask
        made.append(_line("The same, of those called a tumour before", turned))
    if control:
        made.append(_line("As much painted over elsewhere: keeps its answer", control))
    if background:
        made.append(_line("Tumour painted over: its type still named right", background))
    plane = found["plane_only"]["rate"]
    made.append(("The same from the plane of the slice alone, at best", words.percent(plane), words.NONE, _of(found)))
    return made


def view(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """What the template names."""
    return {
        "lines": lines(metrics),
        "sentence": sentence(metrics),
        "places": places(metrics),
        "sanity": sanity(metrics),
        "warning": warning(metrics),
    }


_MAPS = {
    "mask": "Predicted tumour mask",
    "class": "Class-activation map of the answer",
    "gradcam": "Grad-CAM of the answer",
    "occlusion": "Occlusion map of the answer",
    "mask_shuffled": "The mask, weights shuffled",
    "class_shuffled": "The class map, weights shuffled",
    "gradcam_shuffled": "Grad-CAM, weights shuffled",
    "occlusion_shuffled": "Occlusion, weights shuffled",
    "head": "Middle of the head",
    "centre": "Middle of the picture",
}


_NAMES = {
    "mask_shuffled": "predicted mask",
    "class_shuffled": "class map",
    "gradcam_shuffled": "Grad-CAM",
    "occlusion_shuffled": "occlusion map",
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


def sanity(metrics: Mapping[str, Any]) -> str:
    """Whether maps of shuffled weights fall to the better point that needs no network; empty where none was made."""
    found = metrics.get("localisation") or {}
    shuffled = _shuffled(metrics)
    point = _better_point(metrics)
    if not shuffled or not point:
        return ""
    interval = found[point]["hit_rate_ci95"]
    level = f"{_MAPS[point].lower()}, {words.percent(found[point]['hit_rate'])}"
    if interval is None:
        return f"Too few patients to say whether maps of shuffled weights fall to the level of the {level}."
    rates = ", ".join(f"{_NAMES[what]} {words.percent(found[what]['hit_rate'])}" for what in shuffled)
    known = f"95{words.NBSP}% interval {words.percent_range(interval)}"
    falls = "do not fall" if above(metrics) else "fall"
    return (
        f"With the weights shuffled, the peaks {falls} to the level of the better point that needs no network "
        f"({level}; {known}): {rates}."
    )


def warning(metrics: Mapping[str, Any]) -> str:
    """What it means where shuffled weights do not break a map; empty where they do."""
    high = above(metrics)
    if not high:
        return ""
    return (
        "Even with the weights shuffled, the tumour is found more often than by a point that needs no network "
        f"({', '.join(_NAMES[what] for what in high)}): how often that map finds it says nothing of what was learned."
    )


def above(metrics: Mapping[str, Any]) -> list[str]:
    """The maps of shuffled weights whose hit rate lies above the interval of the better point."""
    found, point = metrics.get("localisation") or {}, _better_point(metrics)
    interval = found[point]["hit_rate_ci95"] if point else None
    return [what for what in _shuffled(metrics) if interval and found[what]["hit_rate"] > interval[1]]


def _shuffled(metrics: Mapping[str, Any]) -> list[str]:
    found = metrics.get("localisation") or {}
    return [what for what in _NAMES if found.get(what)]


def _better_point(metrics: Mapping[str, Any]) -> str:
    found = metrics.get("localisation") or {}
    return max((what for what in ("head", "centre") if found.get(what)), key=lambda w: found[w]["hit_rate"], default="")


def sentence(metrics: Mapping[str, Any]) -> str:
    """The result in one plain sentence; empty where there is none."""
    found = metrics.get("clever_hans")
    if not found:
        return ""
    removed, background = found["removed"], found["background"]
    if removed:
        turned = found.get("turned")
        those = f", {words.percent(turned['rate'])} of those called a tumour before" if turned else ""
        return (
            f"Once the tumour was painted over, {words.percent(removed['rate'])} of the slices were called "
            f"“no tumour”{those}; the other answers came from something else in the slice."
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
