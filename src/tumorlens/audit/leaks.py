"""Test pictures that training has already seen, and groups that lie in more than one part."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from tumorlens.audit import orientation
from tumorlens.audit.clusters import Clusters
from tumorlens.audit.grouping import NEIGHBOURS, variants
from tumorlens.data.manifest import Manifest
from tumorlens.data.split import SPLITS


@dataclass(frozen=True, slots=True)
class Leak:
    """A picture ``a`` with a copy ``b`` that the model saw before (row numbers).

    ``similarity`` is the agreement of their windows (of the weakest link, where they were compared through others);
    ``transform`` is what turns ``a`` into ``b``.
    """

    a: int
    b: int
    similarity: float
    transform: str
    exact: bool


def leaks(manifest: Manifest, clusters: Clusters, same: Sequence[object], part: str = "test") -> list[Leak]:
    """Every slice of a part that has a copy among those the model sees before, with its best one.

    Args:
        manifest: N rows with splits.
        clusters: of the N rows.
        same: N keys, equal where pixels are the same.
        part: ``test`` (compared with training and validation) or ``val`` (with training).
    """
    seen = SPLITS[: SPLITS.index(part)]
    trained: dict[int, list[int]] = defaultdict(list)
    for i, row in enumerate(manifest.rows):
        if row.split in seen:
            trained[int(clusters.root[i])].append(i)
    found = []
    for i, row in enumerate(manifest.rows):
        copies = trained.get(int(clusters.root[i]), []) if row.split == part else []
        if not copies:
            continue
        j = max(copies, key=lambda j: (same[i] == same[j], float(clusters.agreement[j])))
        exact = same[i] == same[j]
        turn = orientation.compose(int(clusters.turn[i]), orientation.inverse(int(clusters.turn[j])))
        similarity = 1.0 if exact else float(min(clusters.agreement[i], clusters.agreement[j]))
        found.append(Leak(i, j, similarity, orientation.NAMES[orientation.IDENTITY if exact else turn], exact))
    return found


def look_alikes(manifest: Manifest, clusters: Clusters) -> list[tuple[int, int]]:
    """Test slices that look like a neighbour of a slice the model sees before, both of unknown patients.

    They may show one head. That is a likeness and no proof, so they are no leaks; slices with a copy there are.

    Returns:
        (test slice, the one there that it resembles most), in the order of the rows.
    """
    seen = SPLITS[: SPLITS.index("test")]
    rows, best = manifest.rows, dict[int, tuple[float, int]]()
    for (first, second), agreement in clusters.alike.items():
        for a, b in ((first, second), (second, first)):
            apart = rows[a].split == "test" and rows[b].split in seen and not rows[a].patient and not rows[b].patient
            if apart and agreement >= NEIGHBOURS:
                best[a] = max(best.get(a, (agreement, b)), (agreement, b))
    copied = {int(clusters.root[i]) for i, row in enumerate(rows) if row.split in seen}
    return [(a, b) for a, (_, b) in sorted(best.items()) if int(clusters.root[a]) not in copied]


@dataclass(frozen=True, slots=True)
class VariantCrossing:
    """Patient ids that differ by a trailing letter, against the folds: all such groups, those that cross, and rows."""

    groups: int
    patients: int
    slices: int
    crossing: int
    crossing_slices: int


def variant_crossing(manifest: Manifest) -> VariantCrossing:
    """How many groups of patient-id variants there are, and how many of them the data set's own folds divide."""
    base = {
        name: key for key, names in variants(row.patient for row in manifest if row.patient).items() for name in names
    }
    parts: dict[str, set[str]] = defaultdict(set)
    slices: Counter[str] = Counter()
    for row in manifest:
        if row.patient in base:
            slices[base[row.patient]] += 1
            parts[base[row.patient]].add(row.fold or row.split)
    over = [key for key, inside in parts.items() if len(inside - {""}) > 1]
    return VariantCrossing(len(parts), len(base), sum(slices.values()), len(over), sum(slices[key] for key in over))


def per_class(manifest: Manifest, found: Sequence[Leak], part: str = "test") -> dict[str, dict[str, int]]:
    """For every class: the slices of a part (under its name), and how many of them leak."""
    tested = Counter(row.label for row in manifest if row.split == part)
    leaking = Counter(manifest.rows[leak.a].label for leak in found)
    return {label: {part: tested[label], "leaked": leaking[label]} for label in sorted(tested)}
