"""What was wrong with the data, as plain values: leaks, the audit's findings, files left out.

Says only what ``audit.json`` computed: a part that is null there was not checked, and the report names it as such.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from tumorlens.labels import title
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
        ``verdict``; ``found``: what is wrong, each with ``text`` and a few ``examples``; ``clean``: what was checked
        and not found; ``unchecked``: what this run did not look for.
    """
    if not audit:
        return None
    found, clean = [], []
    for number, text, examples, absent in _checks(audit):
        if number:
            more = max(0, len(examples) - MOST_NAMES)
            found.append({"text": text, "examples": examples[:MOST_NAMES], "more": more})
        else:
            clean.append(absent)
    if audit.get("findings") is not None:  # the whole audit has said it in its own words, more than is counted here
        found = [
            {
                "text": f"{item['title']}. {item['text']}",
                "examples": item["examples"][:MOST_NAMES],
                "more": max(0, len(item["examples"]) - MOST_NAMES),
            }
            for item in audit["findings"]
        ]
    unchecked = [
        name
        for key, name in (
            ("exact_duplicates", "identical copies"),
            ("near_duplicates", "near copies"),
            ("shortcuts", "shortcuts"),
            ("foreign", "foreign images"),
        )
        if audit.get(key) is None
    ]
    return {
        "verdict": audit.get("verdict") or words.NOT_STATED,
        "found": found,
        "clean": words.sentence(clean, "none"),
        "unchecked": words.sentence(unchecked, "not checked"),
    }


def conflicts(audit: Mapping[str, Any]) -> int:
    """Pictures that occur under more than one class: one of the two is wrong in training or in the test."""
    return len(audit.get("label_conflicts") or [])


def crossing(metrics: Mapping[str, Any], audit: Mapping[str, Any]) -> bool:
    """Whether a test slice shares its group with training, as sets that the data bring can."""
    return bool(metrics.get("leaked") or slices_of_crossing_groups(audit.get("leaks") or {}))


def slices_of_crossing_groups(leaks: Mapping[str, Any]) -> int | None:
    """Test slices whose group the model has seen; None where nobody counted them."""
    # Runs of earlier versions hold the same number under a name that speaks of groups.
    number = leaks.get("slices_of_crossing_groups", leaks.get("groups_crossing"))
    return None if number is None else int(number)


def skipped(items: Sequence[Mapping[str, Any]], most: int = MOST_SKIPPED) -> dict[str, Any]:
    """The files left out: how many for which reason first, then the first of them by name."""
    reasons = Counter(str(item["code"]) for item in items)
    return {
        "n": len(items),
        "codes": sorted(reasons.items(), key=lambda entry: (-entry[1], entry[0])),
        "shown": items[:most],
    }


def _checks(audit: Mapping[str, Any]) -> list[tuple[int, str, list[str], str]]:
    """Of each check that was made: how many were found, in words, examples, and the name of what would be absent."""
    checks: list[tuple[int, str, list[str], str]] = []
    if (contradicting := audit.get("label_conflicts")) is not None:
        examples = [_conflict(item) for item in contradicting]
        number = len(contradicting)
        verb = "occurs under more than one class" if number == 1 else "occur under more than one class"
        checks.append((number, f"{words.plural(number, 'picture')} {verb}", examples, "contradicting classes"))
    leaks = audit.get("leaks") or {}
    # Those of the validation set stand in the same list; only newer audits say which is which.
    tested = [pair for pair in leaks.get("pairs") or [] if pair.get("a_split", "test") == "test"]
    pairs = [(str(pair["a"]), str(pair["b"]), pair.get("similarity")) for pair in tested]
    for key, kind, names in (
        ("test_in_train_exact", "identical to", [f"{a} = {b}" for a, b, like in pairs if like == 1]),
        ("test_in_train_near", "nearly identical to", [f"{a} ≈ {b}" for a, b, like in pairs if like != 1]),
    ):
        if (n := leaks.get(key)) is not None:
            text = f"{words.plural(n, 'test slice')} {_are(n)} {kind} a training or validation slice"
            checks.append((n, text, names, f"test slices {kind} training"))
    if (n := slices_of_crossing_groups(leaks)) is not None:
        # Copies share a group, too; they are told above.
        n = max(0, n - (leaks.get("test_in_train_exact") or 0) - (leaks.get("test_in_train_near") or 0))
        text = f"{words.plural(n, 'test slice')} {_are(n)} of a patient or group that is also in training or validation"
        checks.append((n, text, [], "patients or groups in two sets"))
    for key, kind in (("exact_duplicates", "identical"), ("near_duplicates", "nearly identical")):
        if (copies := audit.get(key)) is not None:
            sets, extra = int(copies["groups"]), int(copies["redundant"])
            text = f"{words.plural(sets, 'set')} of {kind} pictures, {words.plural(extra, 'slice')} more than needed"
            checks.append((sets, text, [], f"{kind} copies"))
    if (unreadable := audit.get("unreadable")) is not None:
        n = len(unreadable)
        checks.append((n, f"{words.plural(n, 'file')} could not be used", [], "unusable files"))
    return checks


def _conflict(item: Mapping[str, Any]) -> str:
    """``a.png: Glioma; b.png: No tumour``."""
    return "; ".join(f"{path}: {title(label)}" for path, label in zip(item["paths"], item["labels"], strict=False))


def _are(number: int) -> str:
    return "is" if number == 1 else "are"
