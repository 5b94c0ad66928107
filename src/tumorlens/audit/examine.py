"""Everything that is looked for in a data set, in one pass over its records."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from tumorlens.audit import clusters as copies
from tumorlens.audit.appearance import appearance
from tumorlens.audit.clusters import Clusters
from tumorlens.audit.facts import Facts
from tumorlens.audit.foreign import Foreign, foreign, unusual
from tumorlens.audit.grouping import group
from tumorlens.audit.labels import Conflict, Suspicion, conflicts, suspicious
from tumorlens.audit.leaks import Leak, VariantCrossing, leaks, variant_crossing
from tumorlens.audit.look import Looks, same_pixels
from tumorlens.audit.probes import Probe, probes
from tumorlens.audit.remembered import Remembered
from tumorlens.audit.volumes import kept_apart
from tumorlens.data.manifest import Manifest

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Examination:
    """What was found in N slices; numbers are row numbers.

    Attributes:
        manifest: the slices, with the groups that keep copies and patients together.
        digests: SHA-256 of each row's file.
        clusters: copies of one picture.
        same: key per row, equal where the pixels are.
        leaks: test slices with a copy in training or validation.
        leaks_of_validation: validation slices with a copy in training.
        broken: groups that the data's own split or folds divide → in how many parts they lie.
        variants: patient ids that differ by a trailing letter, against the data's own folds or split.
        conflicts: clusters whose copies carry different labels.
        together: the group of every row with look-alikes chained across the data's own parts and folds, too: what a
            probe must not both learn from and be asked about.
        suspicious: labels that the pictures speak against, most suspicious first; None: not looked for.
        foreign: pictures that do not belong; None: not looked for.
        unusual: the pictures least like the rest that are not foreign; none where they were not looked for.
        probes: what can be told without looking at the tumour; None: not looked for.
    """

    manifest: Manifest
    digests: tuple[str, ...]
    clusters: Clusters
    same: tuple[bytes, ...]
    leaks: tuple[Leak, ...]
    leaks_of_validation: tuple[Leak, ...]
    broken: dict[str, int]
    variants: VariantCrossing
    conflicts: tuple[Conflict, ...]
    together: tuple[str, ...] = ()
    suspicious: tuple[Suspicion, ...] | None = None
    foreign: tuple[Foreign, ...] | None = None
    unusual: tuple[Foreign, ...] = ()
    probes: tuple[Probe, ...] | None = None

    def exact(self) -> list[list[int]]:
        """Sets of rows with the same bytes or the same pixels."""
        sets: dict[bytes, list[int]] = defaultdict(list)
        for number, key in enumerate(self.same):
            sets[key].append(number)
        return [members for members in sets.values() if len(members) > 1]


def find_copies(
    manifest: Manifest,
    digests: Sequence[str],
    looks: Looks,
    *,
    join_variants: bool = False,
    patients: bool = True,
    chains: bool = True,
    progress: Progress | None = None,
    memory: Remembered | None = None,
) -> Examination:
    """Copies, groups and leaks: what a split must know.

    Args:
        manifest: N labelled slices.
        digests: of their files.
        looks: their records.
        join_variants: take patient ids that differ by a trailing letter for one patient.
        patients: False where the person has named another unit, which then may divide a patient.
        chains: whether look-alikes of unknown patients are chained into pseudo-patients in the manifest's groups; in
            ``together`` they always are.
        progress: called with (what, done, total).
        memory: of comparisons that were made before; new ones are added.
    """
    same = tuple(same_pixels(looks))
    found = kept_apart(copies.find(looks, digests, progress, memory), manifest.rows, same)
    grouped_by = partial(group, manifest, found.root.tolist(), join_variants=join_variants, patients=patients)
    names = grouped_by(alike=found.alike if chains else None)
    grouped = manifest.with_rows(replace(row, group=name) for row, name in zip(manifest.rows, names, strict=True))
    return judged(
        Examination(
            manifest=grouped,
            digests=tuple(digests),
            clusters=found,
            same=same,
            leaks=(),
            leaks_of_validation=(),
            broken={},
            variants=VariantCrossing(0, 0, 0, 0, 0),
            conflicts=tuple(conflicts(found.members(), manifest.labels)),
            together=tuple(grouped_by(alike=found.alike, across=True)),
        ),
        grouped,
    )


def judged(examination: Examination, divided: Manifest) -> Examination:
    """The same for another split of the same rows: leaks and broken groups follow it."""
    parts: dict[str, set[str]] = defaultdict(set)
    for row, name in zip(divided, divided.groups, strict=True):
        parts[name].add(row.fold or row.split)
    return replace(
        examination,
        manifest=divided,
        leaks=tuple(leaks(divided, examination.clusters, examination.same, "test")),
        leaks_of_validation=tuple(leaks(divided, examination.clusters, examination.same, "val")),
        broken={name: len(inside - {""}) for name, inside in sorted(parts.items()) if len(inside - {""}) > 1},
        variants=variant_crossing(divided),
    )


def look_closer(
    examination: Examination,
    looks: Looks,
    facts: Sequence[Facts | None],
    *,
    seed: int = 0,
    progress: Progress | None = None,
) -> Examination:
    """What needs models: shortcuts, suspicious labels, pictures that do not belong.

    ``progress`` is called with (what, done, total).
    """
    manifest = examination.manifest
    tell = {what: partial(progress, what) if progress else None for what in ("probing", "doubting", "comparing all")}
    groups = examination.together or manifest.groups
    found = probes(looks, facts, manifest.rows, groups, seed=seed, progress=tell["probing"])
    doubted = suspicious(looks, manifest.labels, groups, seed=seed, progress=tell["doubting"])
    numbers = appearance(looks, tell["comparing all"])
    strange = foreign(looks, facts, manifest.rows, numbers)
    return replace(
        examination,
        probes=tuple(found),
        suspicious=tuple(doubted),
        foreign=tuple(strange),
        unusual=tuple(unusual(numbers, strange)),
    )
