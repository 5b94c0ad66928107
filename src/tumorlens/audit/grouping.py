"""What must stay together: patients and scans, joined over copies, variants of an id; else look-alikes."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from typing import Final

from tumorlens.data.manifest import Manifest, patient_key

# Median agreement from which two different pictures are taken for slices of one head. See docs/concepts/audit.md for
# how well that works where patients are known.
NEIGHBOURS: Final = 0.75
PSEUDO: Final = "pseudo-patient"

_VARIANT: Final = re.compile(r"(?P<base>.*[0-9])[A-Za-z]")


def variants(patients: Iterable[str]) -> dict[str, list[str]]:
    """Patient ids that differ by a trailing letter only: what they share → the ids, where there is more than one.

    ``MR040241B`` and ``MR040241`` are likely two examinations of one person.
    """
    found: dict[str, set[str]] = defaultdict(set)
    for patient in patients:
        match = _VARIANT.fullmatch(patient)
        found[match["base"] if match else patient].add(patient)
    return {base: sorted(ids) for base, ids in sorted(found.items()) if len(ids) > 1}


class Groups:
    """Names that are joined; each set keeps the name that was given first preference, then the smallest."""

    def __init__(self) -> None:
        self._parent: dict[Hashable, Hashable] = {}

    def find(self, name: Hashable) -> Hashable:
        """What stands for the set that ``name`` is in."""
        while self._parent.setdefault(name, name) != name:
            self._parent[name] = self._parent[self._parent[name]]
            name = self._parent[name]
        return name

    def join(self, a: Hashable, b: Hashable) -> None:
        """Put two sets together."""
        first, second = sorted((self.find(a), self.find(b)), key=str)
        self._parent[second] = first


def group(
    manifest: Manifest,
    roots: Sequence[int],
    *,
    join_variants: bool = False,
    patients: bool = True,
    alike: dict[tuple[int, int], float] | None = None,
    across: bool = False,
) -> list[str]:
    """The group of every row.

    Args:
        manifest: N rows; their own groups (the patient, else what was named, else the slice itself) are joined.
        roots: N numbers, equal for copies of one picture.
        join_variants: also join patient ids that differ by a trailing letter only.
        patients: False where the person has named another unit, which then may divide a patient or a scan.
        alike: pairs of rows with their agreement; rows without a patient or group that are alike enough are chained
            into pseudo-patients. A likeness is no evidence of a leak, so a chain stays inside one of the data's own
            folds and away from its validation and test sets. None: no chains.
        across: let chains run over those borders, too: what a probe's cross-validation must keep together.

    Returns:
        Names, equal within a group: that of the first patient in it where there is one, else of its first slice.
    """
    sets, rows = Groups(), manifest.rows
    own = manifest.groups
    known = [bool(row.patient or row.group) for row in rows]
    for i, root in enumerate(roots):
        sets.join(i, int(root))
    first_of: dict[str, int] = {}
    first_slice: dict[tuple[str, str], int] = {}
    for i, name in enumerate(own):
        sets.join(i, first_of.setdefault(name, i))
        if patients and rows[i].patient:
            sets.join(i, first_of.setdefault(f"patient {patient_key(rows[i])}", i))
        if patients and rows[i].series:
            sets.join(i, first_slice.setdefault((rows[i].source, rows[i].series), i))
    if join_variants:
        first: dict[tuple[str, str], int] = {}
        base = {
            name: key for key, names in variants(row.patient for row in rows if row.patient).items() for name in names
        }
        for i, row in enumerate(rows):
            if row.patient in base:
                sets.join(i, first.setdefault((row.source, base[row.patient]), i))
    alone = [sets.find(i) for i in range(len(rows))]
    for (a, b), agreement in (alike or {}).items():
        same_part = (rows[a].fold, rows[a].split) == (rows[b].fold, rows[b].split) and rows[a].split in ("", "train")
        if agreement >= NEIGHBOURS and (across or same_part) and not known[a] and not known[b]:
            sets.join(a, b)
    members: dict[Hashable, list[int]] = defaultdict(list)
    for i in range(len(rows)):
        members[sets.find(i)].append(i)
    names = [""] * len(rows)
    for inside in members.values():
        named = [own[i] for i in inside if known[i]]
        name = min(named) if named else own[inside[0]]
        if not named and len({alone[i] for i in inside}) > 1:
            name = f"{PSEUDO} {name}"
        for i in inside:
            names[i] = name
    return names


def divided_patients(manifest: Manifest) -> int:
    """How many patients have slices in more than one group."""
    groups: dict[str, set[str]] = defaultdict(set)
    for row, name in zip(manifest.rows, manifest.groups, strict=True):
        if row.patient:
            groups[patient_key(row)].add(name)
    return sum(len(found) > 1 for found in groups.values())
