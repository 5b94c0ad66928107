"""Exact duplicates: the same bytes, or the same picture after standardising."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from dataclasses import asdict, replace
from typing import Any

from tumorlens.data.manifest import Manifest, patient_key
from tumorlens.data.split import SPLITS, leaked
from tumorlens.preprocess.cache import Standardised


def picture_keys(data: Standardised) -> list[str]:
    """A key per slice that equal pictures share: the same pixels, whatever file they came in."""
    return [hashlib.sha256(image.tobytes()).hexdigest() for image in data.images]


def join_groups(manifest: Manifest, keys: list[str], *, patients: bool = True) -> Manifest:
    """The data set with a group for every row, in which the slices of a patient and equal pictures are together.

    Args:
        manifest: its given groups, else its patients, are joined over what they share.
        keys: from :func:`picture_keys`, in the order of the rows.
        patients: False where the person has named another unit, which then may divide a patient.
    """
    parent: dict[str, str] = {}
    given = {row.group for row in manifest} - {""}

    def root(name: str) -> str:
        while parent.setdefault(name, name) != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    def join(one: str, other: str) -> None:
        # A given name is kept rather than that of a patient or slice, any rather than a picture's; else the first.
        first, second = sorted(
            (root(one), root(other)), key=lambda name: (name.startswith("picture "), name not in given, name)
        )
        parent[second] = first

    for row, group, key in zip(manifest.rows, manifest.groups, keys, strict=True):
        join(group, f"picture {key}")
        if patients and row.patient:
            join(group, patient_key(row))
    return manifest.with_rows(
        replace(row, group=root(group)) for row, group in zip(manifest.rows, manifest.groups, strict=True)
    )


def divided_patients(manifest: Manifest) -> int:
    """How many patients have slices in more than one group."""
    groups: dict[str, set[str]] = defaultdict(set)
    for row, group in zip(manifest.rows, manifest.groups, strict=True):
        if row.patient:
            groups[patient_key(row)].add(group)
    return sum(len(found) > 1 for found in groups.values())


def audit(manifest: Manifest, keys: list[str]) -> dict[str, Any]:
    """The part of the contract's ``audit.json`` that exact comparison can fill; the rest is null.

    Args:
        manifest: split and grouped.
        keys: from :func:`picture_keys`, in the order of the rows.
    """
    clusters: dict[str, list[int]] = defaultdict(list)
    for index, key in enumerate(keys):
        clusters[key].append(index)
    repeated = [members for members in clusters.values() if len(members) > 1]
    conflicts = [members for members in repeated if len({manifest.rows[i].label for i in members}) > 1]
    tested, validated = _copies(manifest, keys, "test"), _copies(manifest, keys, "val")
    crossing, crossing_val = len(leaked(manifest)), len(leaked(manifest, "val"))
    return {
        "n": len(manifest),
        "unreadable": [asdict(item) for item in manifest.skipped],
        "exact_duplicates": {"groups": len(repeated), "redundant": sum(len(members) - 1 for members in repeated)},
        "near_duplicates": None,
        "leaks": {
            "test_in_train_exact": len(tested),
            "test_in_train_near": None,
            "test_n": len(manifest.split("test")),
            "groups_crossing": crossing,
            "val_in_train_exact": len(validated),
            "val_n": len(manifest.split("val")),
            "val_groups_crossing": crossing_val,
            "pairs": tested + validated,
        },
        "label_conflicts": [
            {"paths": [manifest.rows[i].id for i in members], "labels": [manifest.rows[i].label for i in members]}
            for members in conflicts
        ],
        "foreign": None,
        "shortcuts": None,
        "groups": {row.id: group for row, group in zip(manifest.rows, manifest.groups, strict=True)},
        "verdict": "serious"
        if tested or validated or conflicts or crossing or crossing_val
        else "warnings"
        if repeated or manifest.skipped
        else "ok",
    }


def _copies(manifest: Manifest, keys: list[str], part: str) -> list[dict[str, Any]]:
    """The slices of a part whose very picture the model has seen, each beside one of those it saw."""
    seen = SPLITS[: SPLITS.index(part)]
    there = {key: row.id for row, key in zip(manifest.rows, keys, strict=True) if row.split in seen}
    return [
        {"a": row.id, "b": there[key], "similarity": 1.0, "transform": "identity"}
        for row, key in zip(manifest.rows, keys, strict=True)
        if row.split == part and key in there
    ]
