"""Exact duplicates: the same bytes, or the same picture after standardising."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from dataclasses import replace
from typing import Any

from tumorlens.data.manifest import Manifest
from tumorlens.data.split import leaked
from tumorlens.preprocess.cache import Standardised


def picture_keys(data: Standardised) -> list[str]:
    """A key per slice that equal pictures share: the same pixels, whatever file they came in."""
    return [hashlib.sha256(image.tobytes()).hexdigest() for image in data.images]


def join_groups(manifest: Manifest, keys: list[str]) -> Manifest:
    """The data set with groups in which equal pictures are together: patient or given group, joined over duplicates."""
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        while parent.setdefault(name, name) != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    for group, key in zip(manifest.groups, keys, strict=True):
        a, b = root(group), root(f"picture {key}")
        # The name of a patient or slice is kept rather than that of a picture, the alphabetically first of several.
        first, second = sorted((a, b), key=lambda name: (name.startswith("picture "), name))
        parent[second] = first
    return manifest.with_rows(
        replace(row, group=root(group)) for row, group in zip(manifest.rows, manifest.groups, strict=True)
    )


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
    trained = {keys[i]: row.id for i, row in enumerate(manifest.rows) if row.split in ("train", "val")}
    pairs = [
        {"a": row.id, "b": trained[keys[i]], "similarity": 1.0, "transform": "identity"}
        for i, row in enumerate(manifest.rows)
        if row.split == "test" and keys[i] in trained
    ]
    test_count = sum(row.split == "test" for row in manifest.rows)
    return {
        "n": len(manifest),
        "unreadable": [{"path": item.path, "code": item.code, "reason": item.reason} for item in manifest.skipped],
        "exact_duplicates": {"groups": len(repeated), "redundant": sum(len(members) - 1 for members in repeated)},
        "near_duplicates": None,
        "leaks": {
            "test_in_train_exact": len(pairs),
            "test_in_train_near": None,
            "test_n": test_count,
            "groups_crossing": len(leaked(manifest)),
            "pairs": pairs,
        },
        "label_conflicts": [
            {"paths": [manifest.rows[i].id for i in members], "labels": [manifest.rows[i].label for i in members]}
            for members in conflicts
        ],
        "foreign": None,
        "shortcuts": None,
        "groups": {row.id: group for row, group in zip(manifest.rows, manifest.groups, strict=True)},
        "verdict": "serious"
        if pairs or conflicts or leaked(manifest)
        else "warnings"
        if repeated or manifest.skipped
        else "ok",
    }
