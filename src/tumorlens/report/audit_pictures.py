"""Which pictures the page of an audit shows for each finding: few enough for one small file, some of every kind.

At most 132 slices in all: 8 pairs for each of two leaks, 18 in conflicts, 40 copies, 12 foreign, 12 unusual,
18 doubtful labels.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, Final, TypeVar

from tumorlens.labels import colours, title
from tumorlens.report import words

MOST_PAIRS: Final = 8
MOST_CLUSTERS: Final = 8
MOST_COPIES: Final = 5
MOST_CONFLICTS: Final = 6
MOST_SIDES: Final = 3
MOST_FOREIGN: Final = 12
MOST_LABELS: Final = 18

# The names of tumorlens.audit.orientation, for people; rotations there are counter-clockwise.
_MOVES: Final = {
    "identity": "same way round",
    "hflip": "mirrored left to right",
    "vflip": "mirrored top to bottom",
    "rot180": "turned by 180°",
    "rot90": "turned by 90° to the left",
    "rot270": "turned by 90° to the right",
    "transpose": "mirrored at the falling diagonal",
    "transverse": "mirrored at the rising diagonal",
}
_PARTS: Final = {"train": "training", "val": "validation", "test": "test"}
_KINDS: Final = {"blank": "blank", "colour": "coloured", "outlier": "unlike the rest", "text": "perhaps writing"}

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Shot:
    """One slice: ``what`` it is (for those who cannot see it), what is said of it in bold, and in small print."""

    id: str
    what: str
    strong: str = ""
    small: str = ""
    colour: str = ""


@dataclass(frozen=True, slots=True)
class Together:
    """Slices that are looked at together, one line about them, and how many more of them there are."""

    shots: tuple[Shot, ...]
    line: str = ""
    more: int = 0


@dataclass(frozen=True, slots=True)
class Gallery:
    """The pictures of a finding.

    Attributes:
        kind: ``pairs``, ``strips`` or ``sheet``: how they are laid out.
        sets: what belongs together; one set in a sheet.
        intro: what to look at.
        more: how many such sets (slices, in a sheet) are not shown.
    """

    kind: str
    sets: tuple[Together, ...]
    intro: str
    more: int = 0

    @property
    def ids(self) -> list[str]:
        """Of every slice shown."""
        return [shot.id for together in self.sets for shot in together.shots]


def gallery(document: Mapping[str, Any], finding: Mapping[str, Any]) -> Gallery | None:
    """The pictures of a finding of ``audit.json``; None for one that pictures do not explain."""
    drawn = {
        "leaks": lambda: _leaks(document["leaks"], finding),
        "neighbours": lambda: _neighbours(finding),
        "copies": lambda: _copies(document["clusters"]),
        "conflicts": lambda: _conflicts(document["label_conflicts"]),
        "foreign": lambda: _foreign(document["foreign"] or ()),
        "unusual": lambda: _unusual(document["unusual"]),
        "labels": lambda: _labels(document["suspicious_labels"] or ()),
    }.get(finding["kind"])
    found = drawn() if drawn else None
    return found if found and found.sets else None


def leaking(leaks: Mapping[str, Any], finding: Mapping[str, Any]) -> tuple[str, list[Mapping[str, Any]]]:
    """The part that a finding about leaks means, ``test`` or ``val``, and its pairs."""
    of = {part: [pair for pair in leaks["pairs"] if pair["a_split"] == part] for part in ("test", "val")}
    part = "test" if finding["examples"] and finding["examples"][0] in {pair["a"] for pair in of["test"]} else "val"
    return part, of[part]


def spread(items: Iterable[Item], kind: Callable[[Item], object], most: int) -> list[Item]:
    """At most so many, one of each kind in turn: a common kind must not hide a rare one."""
    kinds: dict[object, list[Item]] = defaultdict(list)
    for item in items:
        kinds[kind(item)].append(item)
    return [item for turn in zip_longest(*kinds.values()) for item in turn if item is not None][:most]


def _leaks(leaks: Mapping[str, Any], finding: Mapping[str, Any]) -> Gallery:
    part, pairs = leaking(leaks, finding)
    what = f"{_PARTS[part]} slice"
    palette = colours(sorted({pair[f"{side}_label"] for pair in pairs for side in "ab"}))
    order = sorted(pairs, key=lambda pair: float(pair["similarity"]))
    # One much-copied picture must not fill the page: the first pair of each copy goes before any second one.
    once = {pair["b"]: pair for pair in reversed(order)}
    order.sort(key=lambda pair: once[pair["b"]] is not pair)
    shown = spread(order, lambda pair: (pair["a_label"], pair["transform"] == "identity"), MOST_PAIRS)
    return Gallery(
        "pairs",
        tuple(
            Together(
                tuple(
                    Shot(
                        pair[side],
                        name,
                        strong=f"{title(pair[f'{side}_label'])}, {_PARTS[pair[f'{side}_split']]}",
                        colour=palette[pair[f"{side}_label"]],
                    )
                    for side, name in (("a", what), ("b", "its copy"))
                ),
                f"{_move(pair['transform'])}, agreement {words.score(pair['similarity'])}",
            )
            for pair in shown
        ),
        f"Left the {what}, right its copy; above, what turns one into the other, and how well they then agree (1 is "
        "perfect). Of every class the least alike come first, so that you see the search at its weakest.",
        len(pairs) - len(shown),
    )


def _neighbours(finding: Mapping[str, Any]) -> Gallery:
    names = list(finding["examples"])
    pairs = list(zip(names[::2], names[1::2], strict=False))
    return Gallery(
        "pairs",
        tuple(
            Together((Shot(a, "test slice", strong="test"), Shot(b, "what it resembles", strong="trained on")))
            for a, b in pairs
        ),
        "Left a test slice, right the one that it resembles most among those that are trained on.",
        int(finding["count"]) - len(pairs),
    )


def _copies(clusters: Sequence[Sequence[Mapping[str, Any]]]) -> Gallery:
    largest = sorted(clusters, key=lambda members: -len(members))[:MOST_CLUSTERS]
    return Gallery(
        "strips",
        tuple(_strip(members) for members in largest),
        "The pictures with most copies. Below each copy, what turns it into the first one, and how well the two then "
        "agree; the least alike come first.",
        len(clusters) - len(largest),
    )


def _strip(members: Sequence[Mapping[str, Any]]) -> Together:
    first, *others = members
    others = spread(sorted(others, key=lambda item: float(item["similarity"])), _kind_of_copy, MOST_COPIES - 1)
    shots = [Shot(first["id"], "first of its copies", small="the first")]
    shots += [
        Shot(item["id"], "copy", small=f"{_move(item['transform'])}, {words.score(item['similarity'])}")
        for item in others
    ]
    return Together(tuple(shots), f"seen {words.count(len(members))} times", len(members) - len(shots))


def _conflicts(conflicts: Sequence[Mapping[str, Any]]) -> Gallery:
    shown = conflicts[:MOST_CONFLICTS]
    palette = colours(sorted({label for item in shown for label in item["labels"]}))
    return Gallery(
        "strips",
        tuple(_conflict(item, palette) for item in shown),
        "Copies of one picture, with the label of each.",
        len(conflicts) - len(shown),
    )


def _conflict(item: Mapping[str, Any], palette: Mapping[str, str]) -> Together:
    sides = spread(zip(item["paths"], item["labels"], strict=True), lambda side: side[1], MOST_SIDES)
    counts = Counter(item["labels"])
    return Together(
        tuple(Shot(path, "copy", strong=title(label), colour=palette[label]) for path, label in sides),
        ", ".join(f"{words.count(n)} × {title(label)}" for label, n in counts.most_common()),
        len(item["paths"]) - len(sides),
    )


def _foreign(items: Sequence[Mapping[str, Any]]) -> Gallery:
    shown = spread(items, lambda item: item["kind"], MOST_FOREIGN)
    shots = [
        Shot(item["id"], "picture", strong=_KINDS.get(item["kind"], item["kind"]), small=item["reason"])
        for item in shown
    ]
    return _sheet(shots, "Some of every kind, the clearest first.", len(items))


def _unusual(items: Sequence[Mapping[str, Any]]) -> Gallery:
    shots = [Shot(item["id"], "picture") for item in items]
    return _sheet(shots, "The least usual first.", len(items))


def _labels(items: Sequence[Mapping[str, Any]]) -> Gallery:
    shots = [
        Shot(
            item["id"],
            "slice",
            strong=f"{title(item['label'])} → {title(item['suggested'])}",
            small=f"by {words.probability(item['score'])}",
        )
        for item in items[:MOST_LABELS]
    ]
    intro = (
        "The given label → the one that it looks like, and how much more probable a simple model takes that to be "
        "(0 to 1); the most doubtful first."
    )
    return _sheet(shots, intro, len(items))


def _sheet(shots: Sequence[Shot], intro: str, of: int) -> Gallery:
    return Gallery("sheet", (Together(tuple(shots)),) if shots else (), intro, of - len(shots))


def _kind_of_copy(item: Mapping[str, Any]) -> object:
    return item["transform"], item["similarity"] == 1


def _move(transform: str) -> str:
    return _MOVES.get(transform, transform)
