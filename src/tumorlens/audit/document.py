"""``audit.json``: what was found, in the form that other programs read, with findings in plain words and a verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from tumorlens.audit import orientation
from tumorlens.audit.examine import Examination
from tumorlens.audit.findings import findings
from tumorlens.audit.leaks import Leak, per_class
from tumorlens.data.manifest import Manifest
from tumorlens.data.split import leaked


def document(found: Examination) -> dict[str, Any]:
    """The contract's ``audit --json``; parts that were not looked for are null.

    ``findings`` holds each finding with ``severity`` (serious, warning, note), ``title``, ``text``, ``advice``;
    ``verdict`` is ``serious`` when one is, else ``warnings`` when one is a warning, else ``ok``.
    """
    manifest = found.manifest
    ids = [row.id for row in manifest]
    exact, every = found.exact(), found.clusters.members()
    said = findings(found)
    worst = {item.severity for item in said}
    return {
        "n": len(manifest),
        "unreadable": [asdict(item) for item in manifest.skipped],
        "exact_duplicates": {"groups": len(exact), "redundant": sum(len(members) - 1 for members in exact)},
        "near_duplicates": _near(found, every),
        "clusters": [_cluster(found, members, ids) for members in every],
        "leaks": {
            "test_in_train_exact": sum(leak.exact for leak in found.leaks),
            "test_in_train_near": sum(not leak.exact for leak in found.leaks),
            "test_n": len(manifest.split("test")),
            "slices_of_crossing_groups": len(leaked(manifest)),
            "per_class": per_class(manifest, found.leaks),
            "val_in_train_exact": sum(leak.exact for leak in found.leaks_of_validation),
            "val_in_train_near": sum(not leak.exact for leak in found.leaks_of_validation),
            "val_n": len(manifest.split("val")),
            "val_per_class": per_class(manifest, found.leaks_of_validation, "val"),
            "val_slices_of_crossing_groups": len(leaked(manifest, "val")),
            "pairs": _pairs((*found.leaks, *found.leaks_of_validation), manifest),
        },
        "broken_groups": found.broken,
        "patient_variants": asdict(found.variants),
        "label_conflicts": [
            {"paths": [ids[i] for i in conflict.rows], "labels": [manifest.rows[i].label for i in conflict.rows]}
            for conflict in found.conflicts
        ],
        "suspicious_labels": None
        if found.suspicious is None
        else [
            {"id": ids[item.row], "label": item.given, "suggested": item.suggested, "score": round(item.score, 4)}
            for item in found.suspicious
        ],
        "foreign": None
        if found.foreign is None
        else [
            {"id": ids[item.row], "kind": item.kind, "score": round(item.score, 3), "reason": item.reason}
            for item in found.foreign
        ],
        "unusual": [{"id": ids[item.row], "score": round(item.score, 3)} for item in found.unusual],
        "shortcuts": None
        if found.probes is None
        else {
            probe.name: {key: value for key, value in asdict(probe).items() if key != "name"} for probe in found.probes
        },
        "groups": dict(zip(ids, manifest.groups, strict=True)),
        "findings": [asdict(item) for item in said],
        "verdict": "serious" if "serious" in worst else "warnings" if "warning" in worst else "ok",
    }


def _near(found: Examination, every: Sequence[Sequence[int]]) -> dict[str, int]:
    """Clusters that hold more than one version of a picture; how many versions too many; how many of those mirrored."""
    groups = redundant = mirrored = 0
    for members in every:
        first_of: dict[bytes, int] = {}
        for i in members:
            first_of.setdefault(found.same[i], i)
        versions = list(first_of.values())
        groups += len(versions) > 1
        redundant += len(versions) - 1
        mirrored += sum(int(found.clusters.turn[i]) in orientation.MIRRORED for i in versions)
    return {"groups": groups, "redundant": redundant, "mirrored": mirrored}


def _cluster(found: Examination, members: Sequence[int], ids: Sequence[str]) -> list[dict[str, Any]]:
    """Every picture of a cluster, and what turns it into the first."""
    return [
        {
            "id": ids[i],
            "transform": orientation.NAMES[int(found.clusters.turn[i])],
            "similarity": round(float(found.clusters.agreement[i]), 4),
        }
        for i in members
    ]


def _pairs(leaks: Sequence[Leak], manifest: Manifest) -> list[dict[str, Any]]:
    """Each leaking slice ``a`` beside its copy ``b``, with the part and the class of either."""
    pairs = []
    for leak in leaks:
        a, b = manifest.rows[leak.a], manifest.rows[leak.b]
        pairs.append(
            {
                "a": a.id,
                "a_split": a.split,
                "a_label": a.label,
                "b": b.id,
                "b_split": b.split,
                "b_label": b.label,
                "similarity": round(leak.similarity, 4),
                "transform": leak.transform,
            }
        )
    return pairs
