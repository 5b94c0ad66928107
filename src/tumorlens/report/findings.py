"""What was wrong with the data, as plain values: leaks, the audit's findings, shortcuts, files left out.

Says only what ``audit.json`` computed: a part that is null there was not checked, and the report names it as such.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from tumorlens.report import words

MOST_SKIPPED = 50
MOST_PAIRS = 50
# The audit's own lists stay in audit.json; the report shows enough to find the cause.
MOST_NAMES = 5


def leak(metrics: Mapping[str, Any], audit: Mapping[str, Any]) -> dict[str, Any] | None:
    """The test slices that are not independent of training; None when there are none."""
    leaked = metrics.get("leaked")
    if not leaked:
        return None
    pairs = leaked.get("pairs") or []
    removed = int(leaked.get("removed", len(pairs)))
    shipped = words.scored(metrics, "as_shipped")
    return {
        "removed": removed,
        "kinds": _kinds(removed, audit.get("leaks") or {}),
        "left": metrics["test"]["n"],
        "pairs": [{"test": pair[0], "train": pair[1]} for pair in pairs[:MOST_PAIRS]],
        "more": max(0, len(pairs) - MOST_PAIRS),
        "shipped": words.percent(shipped["accuracy"]) if shipped else None,
        "clean": words.percent(metrics["test"]["accuracy"]),
    }


def _kinds(removed: int, leaks: Mapping[str, Any]) -> str:
    """How leaked slices depend on training: ``12 identical to an image there, 8 of a patient or group there``."""
    exact, near = leaks.get("test_in_train_exact"), leaks.get("test_in_train_near") or 0
    if exact is None:
        return "they share a picture, a patient or a group with it"
    exact = min(int(exact), removed)
    near = min(int(near), removed - exact)
    parts = [
        (exact, "identical to an image there"),
        (near, "nearly identical to one"),
        (removed - exact - near, "of a patient or group there"),
    ]
    parts = [(n, kind) for n, kind in parts if n]
    return parts[0][1] if len(parts) == 1 else ", ".join(f"{words.count(n)} {kind}" for n, kind in parts)


def audit_view(audit: Mapping[str, Any]) -> dict[str, Any] | None:
    """The audit's findings; None when the run holds no audit.

    Returns:
        ``verdict`` and what it means; ``found``: what is wrong, each with ``severity``, ``title``, ``text`` and a few
        ``examples``; ``clean``: what was looked for and not found; ``unchecked``: what this run did not look for.
    """
    if not audit:
        return None
    clean, unchecked = checked(audit)
    return {
        "verdict": audit["verdict"],
        "meaning": words.AUDIT_VERDICTS[audit["verdict"]],
        "found": [
            {
                **{key: item[key] for key in ("severity", "title", "text")},
                "examples": list(item["examples"])[:MOST_NAMES],
                "more": max(0, int(item["count"]) - MOST_NAMES) if len(item["examples"]) > MOST_NAMES else 0,
            }
            for item in audit["findings"]
        ],
        "clean": clean,
        "unchecked": unchecked,
    }


def checked(document: Mapping[str, Any]) -> tuple[str, str]:
    """What ``audit.json`` looked for and did not find, and what it did not look for, as sentences."""
    leaks, probes = document["leaks"], (document["shortcuts"] or {}).values()
    scored = [probe for probe in probes if probe["balanced_accuracy"] is not None]
    checks: list[tuple[str, object]] = [
        ("copies of one picture", document["clusters"]),
        ("pictures with different labels", document["label_conflicts"]),
        ("divided patients or groups", document["broken_groups"]),
        ("clear shortcuts", [probe for probe in scored if probe["finding"]] if scored else None),
        ("pictures that do not belong", document["foreign"]),
        ("doubtful labels", document["suspicious_labels"]),
        ("unusable files", document["unreadable"]),
    ]
    for part, name in (("val", "validation"), ("test", "test")):
        found = leaks[f"{part}_in_train_exact"] + leaks[f"{part}_in_train_near"]
        checks.insert(0, (f"{name} slices with a copy in training", found if leaks[f"{part}_n"] else None))
    clean = [name for name, found in checks if found is not None and not found]
    unchecked = [name for name, found in checks if found is None]
    return words.sentence(clean, "none found"), words.sentence(unchecked, "not looked for, or not possible here")


def class_probes(audit: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The scored probes of the class, by name; those called ``source from …`` guess the data set and are left out."""
    return {
        name: probe
        for name, probe in (audit.get("shortcuts") or {}).items()
        if probe["balanced_accuracy"] is not None and " from " not in name
    }


def shortcuts(
    metrics: Mapping[str, Any], audit: Mapping[str, Any], own: str = "This network, test set"
) -> list[dict[str, str]]:
    """The network's balanced accuracy beside that of every probe that never sees a tumour; nothing without probes."""
    probes = class_probes(audit)
    if not probes:
        return []
    test = metrics["test"]
    rows = [(own, test["balanced_accuracy"], test.get("balanced_accuracy_ci95"), None)]
    rows += [
        (_named(words.PROBES.get(name, name)), probe["balanced_accuracy"], probe["ci95"], probe["chance"])
        for name, probe in sorted(probes.items(), key=lambda entry: -entry[1]["balanced_accuracy"])
    ]
    return [
        {
            "name": name,
            "score": words.percent(score),
            "interval": words.percent_range(interval),
            "chance": words.percent(chance),
        }
        for name, score, interval, chance in rows
    ]


def _named(sight: str) -> str:
    """What a probe sees, at the beginning of a line."""
    return f"{sight[:1].upper()}{sight[1:]}"


def doubts(metrics: Mapping[str, Any], balanced: float | None, audit: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What the top of a page must not hide, as a title and a sentence: whoever sees the score sees these.

    Pictures with two labels, and test slices that leaked, have warnings of their own with what was done about them.

    Args:
        metrics: ``metrics.json``.
        balanced: the balanced accuracy that the page begins with.
        audit: ``audit.json``.
    """
    told = {"conflicts", *(("leaks", "groups") if metrics.get("leaked") else ())}
    titles = [
        item["title"]
        for item in audit.get("findings") or ()
        if item["severity"] == "serious" and (item["kind"] not in told or "validation" in item["title"])
    ]
    found = [(". ".join(titles), f". {words.AUDIT_VERDICTS['serious']}")] if titles else []
    best = metrics.get("shortcut")
    if best and balanced is not None and best["balanced_accuracy"] >= balanced:
        reached, own = words.percent(best["balanced_accuracy"]), words.percent(balanced)
        sight = words.PROBES.get(best["probe"], best["probe"])
        text = f": balanced accuracy {reached}, here {own}. What it sees: {sight}."
        found.append(("A model that sees no tumour does as well", text))
    return found


def conflicts(audit: Mapping[str, Any]) -> int:
    """Pictures that occur under more than one class: one of the two is wrong in training or in the test."""
    return len(audit.get("label_conflicts") or [])


def crossing(metrics: Mapping[str, Any], audit: Mapping[str, Any]) -> bool:
    """Whether a test slice shares its group with training, as sets that the data bring can."""
    return bool(metrics.get("leaked") or slices_of_crossing_groups(audit.get("leaks") or {}))


def slices_of_crossing_groups(leaks: Mapping[str, Any]) -> int | None:
    """Test slices whose group the model has seen; None where nobody counted them."""
    number = leaks.get("slices_of_crossing_groups")
    return None if number is None else int(number)


def skipped(items: Sequence[Mapping[str, Any]], most: int = MOST_SKIPPED) -> dict[str, Any]:
    """The files left out: how many for which reason first, then the first of them by name."""
    reasons = Counter(str(item["code"]) for item in items)
    return {
        "n": len(items),
        "codes": sorted(reasons.items(), key=lambda entry: (-entry[1], entry[0])),
        "shown": items[:most],
    }
