"""What the page of an audit says, as plain values for the template."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any, Final

from tumorlens import __version__
from tumorlens.labels import colours, title
from tumorlens.report import findings, words
from tumorlens.report.audit_pictures import gallery, leaking

# Names in a fold-out; the rest stays in audit.json, so that the page stays small.
MOST_NAMES: Final = 300

_VERDICTS: Final = {"serious": "Serious", "warnings": "Warnings", "ok": "OK"}
_SEVERITIES: Final = {"serious": "Serious", "warning": "Warning", "note": "Note"}
_UNITS: Final = {
    "variants": "divided group",
    "conflicts": "picture",
    "foreign": "picture",
    "unusual": "picture",
    "labels": "slice",
    "neighbours": "slice",
    "unreadable": "file",
    "patients": "slice",
}
_OF_SOURCE: Final = "source from "


def view(document: Mapping[str, Any], data: Sequence[str], options: Sequence[str], folder: Path) -> dict[str, Any]:
    """Everything that the template names, apart from the pictures themselves.

    Args:
        document: ``audit.json``.
        data: the DATA that was audited, as the command line has it.
        options: what else stood on the command line.
        folder: where ``audit.json`` lies.
    """
    said = [_finding(document, item) for item in document["findings"]]
    clean, unchecked = findings.checked(document)
    return {
        "name": ", ".join(data),
        "base": _base(document["groups"]),
        "research_only": words.RESEARCH_ONLY,
        "version": __version__,
        "verdict": document["verdict"],
        "verdict_word": _VERDICTS[document["verdict"]],
        "verdict_text": words.AUDIT_VERDICTS[document["verdict"]],
        "tiles": _tiles(document),
        "findings": said,
        "clean": clean,
        "unchecked": unchecked,
        "classes": _classes(document["leaks"]),
        "probes": _probes(document["shortcuts"]),
        "skipped": findings.skipped(document["unreadable"], MOST_NAMES),
        "groups": _groups(document),
        "commands": _commands(data, options, folder, bool(document["leaks"]["test_n"])),
    }


def _base(ids: Iterable[str]) -> str:
    """The folder that all slices lie in, to be left out of their names; empty when there is none."""
    names = sorted(ids)
    if not names:
        return ""
    # What the first and the last share, all share; whole folders of it.
    same = takewhile(lambda pair: pair[0] == pair[1], zip(names[0], names[-1], strict=False))
    start = "".join(letter for letter, _ in same)
    return start[: start.rfind("/") + 1]


def _finding(document: Mapping[str, Any], item: Mapping[str, Any]) -> dict[str, Any]:
    number, unit = _number(document, item)
    pictures = gallery(document, item)
    return {
        **{key: item[key] for key in ("kind", "severity", "title", "advice")},
        "word": _SEVERITIES[item["severity"]],
        "text": item["text"],
        "number": number,
        "unit": unit,
        "gallery": pictures,
        # Files have a list of their own.
        "names": [] if pictures or item["kind"] == "unreadable" else list(item["examples"]),
    }


def _number(document: Mapping[str, Any], item: Mapping[str, Any]) -> tuple[str, str]:
    """The number that says how bad a finding is, and of what it is."""
    kind, shown = item["kind"], words.count(item["count"])
    if kind == "leaks":
        part, _ = leaking(document["leaks"], item)
        name = {"test": "test", "val": "validation"}[part]
        return shown, f"of {words.plural(document['leaks'][f'{part}_n'], f'{name} slice')}"
    if kind == "copies":
        return shown, f"of {words.plural(document['n'], 'slice')}"
    if kind == "groups":
        return _counted(item, "group" if set(item["examples"]) <= set(document["broken_groups"]) else "slice")
    probe = _behind(document["shortcuts"] or {}, item)
    if probe:
        return words.percent(probe["balanced_accuracy"]), f"where guessing gives {_percent(probe['chance'])}"
    return _counted(item, _UNITS[kind]) if kind in _UNITS else (shown, "")


def _behind(probes: Mapping[str, Mapping[str, Any]], item: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The scored probe that a finding is about; of those that guess the data set the best."""
    if item["kind"] == "shortcuts":
        about = [probe for probe in probes.values() if probe["finding"] and item["text"].startswith(probe["finding"])]
    elif item["kind"] == "sources":
        about = [probe for name, probe in probes.items() if name.startswith(_OF_SOURCE)]
    else:
        return None
    scored = [probe for probe in about if probe["balanced_accuracy"] is not None]
    return max(scored, key=lambda probe: float(probe["balanced_accuracy"]), default=None)


def _counted(item: Mapping[str, Any], noun: str) -> tuple[str, str]:
    number, _, unit = words.plural(item["count"], noun).partition(" ")
    return number, unit


def _tiles(document: Mapping[str, Any]) -> list[dict[str, str]]:
    n, leaks = document["n"], document["leaks"]
    copies = sum(len(members) - 1 for members in document["clusters"])
    left_out, broken = len(document["unreadable"]), len(document["broken_groups"])
    leaked, tested = leaks["test_in_train_exact"] + leaks["test_in_train_near"], leaks["test_n"]
    groups = len(set(document["groups"].values()))
    return [
        _tile("Slices", words.count(n), f"{words.plural(left_out, 'file')} left out"),
        _tile("Different pictures", words.count(n - copies), _share(copies, n, "copies")),
        _tile(
            "Test slices seen before",
            words.count(leaked) if tested else words.NONE,
            f"{_percent(leaked / tested)} of {words.count(tested)}" if tested else "it brings no test set",
        ),
        _tile("Groups", words.count(groups), f"{words.count(broken)} divided by its own split or folds"),
    ]


def _tile(name: str, value: str, note: str) -> dict[str, str]:
    return {"name": name, "value": value, "note": note}


def _share(part: int, whole: int, noun: str) -> str:
    return f"{words.count(part)} {noun} ({_percent(part / whole)})" if whole else f"no {noun}"


def _percent(share: float | None) -> str:
    return words.percent(share)


def _classes(leaks: Mapping[str, Any]) -> list[dict[str, Any]]:
    """How many test slices of every class leak; empty where there is no test set."""
    palette = colours(list(leaks["per_class"]))
    return [
        {
            "title": title(name),
            "colour": palette[name],
            "test": part["test"],
            "leaked": part["leaked"],
            "share": _percent(part["leaked"] / part["test"] if part["test"] else None),
        }
        for name, part in leaks["per_class"].items()
    ]


def _probes(shortcuts: Mapping[str, Mapping[str, Any]] | None) -> list[dict[str, Any]]:
    return [
        {
            "name": name.removeprefix(_OF_SOURCE),
            "sees": words.PROBES.get(name.removeprefix(_OF_SOURCE), ""),
            "guesses": "the data set" if name.startswith(_OF_SOURCE) else "the class",
            "score": probe["balanced_accuracy"],
            "chance": probe["chance"],
            "interval": words.percent_range(probe["ci95"]),
            "low": probe["ci95"][0] if probe["ci95"] else None,
            "high": probe["ci95"][1] if probe["ci95"] else None,
            "sample": words.plural(probe["n"], "slice"),
            "telling": bool(probe["finding"]),
            "unscored": probe["unscored"],
        }
        for name, probe in (shortcuts or {}).items()
    ]


def _groups(document: Mapping[str, Any]) -> dict[str, Any]:
    """Groups that the data set divides, the largest first, and what is known of variants of patient ids."""
    sizes, broken = Counter(document["groups"].values()), document["broken_groups"]
    order = sorted(broken, key=lambda name: (-sizes[name], name))
    variants = document["patient_variants"]
    return {
        "n": len(broken),
        "shown": [{"name": name, "slices": sizes[name], "parts": broken[name]} for name in order[:MOST_NAMES]],
        "variants": variants if variants["groups"] else None,
    }


def _commands(data: Sequence[str], options: Sequence[str], folder: Path, tested: bool) -> list[tuple[str, str]]:
    given = [*data, *options]
    parts = "keeps its test set and divides the rest" if tested else "divides that"
    return [
        (shlex.join(["tumorlens", "audit", *given, "--out", str(folder)]), "makes this page and audit.json again"),
        (
            shlex.join(["tumorlens", "audit", *given, "--fix", "cleaned.csv"]),
            "lists what can be used: one of each picture, nothing contradictory or foreign; cleaned.excluded.csv says "
            "what is left out and why",
        ),
        ("tumorlens split cleaned.csv --out split.csv", f"{parts} so that no group crosses"),
        ("tumorlens train split.csv", "trains on it and scores it"),
    ]
