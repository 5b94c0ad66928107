"""What folder names mean: which folder is a class, which a split, and which is only a wrapping.

The rule, in order:

1. A single folder around everything that holds no images itself is a wrapping; so is one that repeats the class
   folders beside it (Kaggle's yes/no set), whose files are left out.
2. ``Training``, ``train``, ``val``, ``valid``, ``validation``, ``Testing``, ``test`` (in any case) are splits.
3. ``images``, ``data`` and the like say nothing.
4. The first folder that is none of these is the class, with everything below it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tumorlens.data.listing import Entry
from tumorlens.labels import canonical, is_known

SPLITS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
NEUTRAL = frozenset({"image", "images", "img", "imgs", "data", "dataset", "jpg", "jpeg", "png", "pictures", "slices"})


@dataclass(frozen=True, slots=True)
class Place:
    """What the folders above a file say.

    Attributes:
        label: the class folder's own name, or empty.
        split: ``train``, ``val``, ``test`` or empty.
        rest: the folders below the class folder (or all that say nothing, when there is none).
    """

    label: str
    split: str
    rest: tuple[str, ...]


def split_of(name: str) -> str:
    """The split a folder or table cell names, or an empty string."""
    return SPLITS.get(name.strip().lower(), "")


def means_nothing(name: str) -> bool:
    """Whether a folder name is neither a class nor a patient: a split, ``images`` and the like."""
    return name.lower() in NEUTRAL or bool(split_of(name))


def unwrap(entries: Sequence[Entry]) -> tuple[list[Entry], list[Entry]]:
    """The entries without the folders that wrap all of them, and those of a repeated copy, to be left out."""
    kept = list(entries)
    repeated: list[Entry] = []
    while kept:
        tops = {entry.parts[0] for entry in kept if entry.folders}
        if any(not entry.folders for entry in kept):
            break
        if len(tops) == 1:
            top = next(iter(tops))
            holds_images = any(len(entry.folders) == 1 for entry in kept)
            if holds_images or is_known(top) or split_of(top):
                break
            kept = [replace(entry, parts=entry.parts[1:]) for entry in kept]
            continue
        copy = _repeating(kept, tops)
        if not copy:
            break
        repeated += [entry for entry in kept if entry.parts[0] == copy]
        kept = [entry for entry in kept if entry.parts[0] != copy]
    return kept, repeated


def place(entry: Entry, *, known_only: bool = False) -> Place:
    """Class and split from the folders above a file.

    Args:
        entry: a file, its wrapping folders taken off.
        known_only: only a known class name is a class (scans lie in folders of patients and dates).
    """
    split, rest = "", []
    for index, name in enumerate(entry.folders):
        if not split and split_of(name):
            split = split_of(name)
        elif known_only and not is_known(name):
            rest.append(name)
        elif name.lower() not in NEUTRAL:
            return Place(name, split or _split_below(entry.folders[index + 1 :]), entry.folders[index + 1 :])
    return Place("", split, tuple(rest))


def _split_below(folders: tuple[str, ...]) -> str:
    return next((split_of(name) for name in folders if split_of(name)), "")


def _repeating(entries: Sequence[Entry], tops: set[str]) -> str:
    """The one folder that holds nothing but folders named like those beside it, or an empty string."""
    names = {
        top: {entry.parts[1] for entry in entries if entry.parts[0] == top and len(entry.folders) > 1} for top in tops
    }
    plain = {entry.parts[0] for entry in entries if len(entry.folders) == 1}
    for top in sorted(tops):
        if top in plain or is_known(top) or split_of(top) or not names[top]:
            continue
        beside = {canonical(other).lower() for other in tops - {top}}
        if len(beside) >= 2 and {canonical(name).lower() for name in names[top]} <= beside:
            return top
    return ""
