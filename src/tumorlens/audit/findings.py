"""What an examination means, in plain words: how bad, how many, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from tumorlens.audit import orientation
from tumorlens.audit.examine import Examination
from tumorlens.audit.grouping import PSEUDO
from tumorlens.audit.leaks import Leak
from tumorlens.data.split import leaked

Severity = Literal["serious", "warning", "note"]
_EXAMPLES: Final = 20


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong with a data set.

    Attributes:
        kind: ``leaks``, ``copies``, ``conflicts``, …
        severity: serious: scores on this data set mean nothing before it is mended; warning: know it before you
            believe them; note: worth knowing.
        count: how many slices, pairs or groups.
        title: a few words.
        text: what was found.
        advice: what to do.
        examples: ids of slices, at most twenty, pairs one after another where there are pairs.
    """

    kind: str
    severity: Severity
    count: int
    title: str
    text: str
    advice: str
    examples: tuple[str, ...] = ()


def findings(found: Examination) -> list[Finding]:
    """Everything worth saying, the worst first."""
    order = {"serious": 0, "warning": 1, "note": 2}
    return sorted(_all(found), key=lambda item: order[item.severity])


def _all(found: Examination) -> Iterator[Finding]:
    yield from _leaks(found)
    yield from _broken(found)
    yield from _conflicts(found)
    yield from _shortcuts(found)
    yield from _copies(found)
    yield from _foreign(found)
    yield from _suspicious(found)
    yield from _unreadable(found)
    yield from _unknown_patients(found)


def _leaks(found: Examination) -> Iterator[Finding]:
    for name, leaks, other in (
        ("test", found.leaks, "training or validation"),
        ("validation", found.leaks_of_validation, "training"),
    ):
        if not leaks:
            continue
        size = len(found.manifest.split("test" if name == "test" else "val"))
        turned = sum(leak.transform != orientation.NAMES[orientation.IDENTITY] for leak in leaks)
        exact = sum(leak.exact for leak in leaks)
        yield Finding(
            "leaks",
            "serious",
            len(leaks),
            f"The {name} set repeats what is trained on",
            f"{len(leaks)} of {size} {name} slices have a copy in {other}: {exact} with the same pixels, "
            f"{len(leaks) - exact} changed, {turned} of them mirrored or turned.",
            f"Do not believe a score on the {name} set as shipped. tumorlens train leaves these slices out of the "
            "headline score and shows both; tumorlens split makes a split without such copies.",
            tuple(_both(found, leaks)),
        )


def _both(found: Examination, leaks: tuple[Leak, ...]) -> Iterator[str]:
    for leak in leaks[: _EXAMPLES // 2]:
        yield found.manifest.rows[leak.a].id
        yield found.manifest.rows[leak.b].id


def _broken(found: Examination) -> Iterator[Finding]:
    variants = found.variants
    if variants.crossing:
        yield Finding(
            "variants",
            "serious",
            variants.crossing,
            "One person may lie on both sides of the split",
            f"{variants.patients} patient ids ({variants.slices} slices) differ from another only by a trailing letter "
            f"and form {variants.groups} groups; the data set's own folds or split divide {variants.crossing} of these "
            f"groups, with {variants.crossing_slices} slices.",
            "Ask the data set's authors, or be careful and join them: --set data.join_patient_variants=true.",
        )
    ours = {row.id for row in found.manifest if row.split == "test"} & set(leaked(found.manifest))
    copied = {found.manifest.rows[leak.a].id for leak in found.leaks}
    if ours - copied:
        left = sorted(ours - copied)
        yield Finding(
            "groups",
            "serious",
            len(left),
            "Patients lie on both sides of the split",
            f"{len(left)} test slices are of a patient or group that is also trained on.",
            "Split by patient: tumorlens split does.",
            tuple(left[:_EXAMPLES]),
        )
    elif found.broken and not variants.crossing:
        yield Finding(
            "groups",
            "serious",
            len(found.broken),
            "Groups are divided by the data set's own folds or split",
            f"{len(found.broken)} groups (patients, joined over copies) lie in more than one fold or part.",
            "Use folds that tumorlens makes: tumorlens split DATA --folds K.",
            tuple(list(found.broken)[:_EXAMPLES]),
        )


def _conflicts(found: Examination) -> Iterator[Finding]:
    if found.conflicts:
        rows = [i for conflict in found.conflicts for i in conflict.rows]
        yield Finding(
            "conflicts",
            "serious",
            len(found.conflicts),
            "The same picture has different labels",
            f"{len(found.conflicts)} pictures, in {len(rows)} copies, are labelled with more than one class.",
            "At least one of the labels is wrong. tumorlens audit --fix leaves these pictures out.",
            tuple(found.manifest.rows[i].id for i in rows[:_EXAMPLES]),
        )


def _shortcuts(found: Examination) -> Iterator[Finding]:
    for probe in found.probes or ():
        if probe.finding:
            yield Finding(
                "shortcuts",
                "serious"
                if probe.balanced_accuracy is not None and _strong(probe.balanced_accuracy, probe.chance)
                else "warning",
                probe.n,
                f"The {probe.name} tells the class",
                probe.finding,
                "A network can score well here without seeing a tumour. Compare its score with this one, and test on "
                "data where the shortcut does not hold.",
            )


def _strong(score: float, chance: float | None) -> bool:
    """Half of the way from chance to perfection."""
    return chance is not None and score >= chance + 0.5 * (1 - chance)


def _copies(found: Examination) -> Iterator[Finding]:
    members = found.clusters.members()
    if not members:
        return
    redundant = sum(len(inside) - 1 for inside in members)
    turned = sum(int(found.clusters.turn[i]) != orientation.IDENTITY for inside in members for i in inside)
    share = redundant / len(found.manifest)
    yield Finding(
        "copies",
        "warning",
        redundant,
        "Pictures are repeated",
        f"{len(found.manifest)} slices show {len(found.manifest) - redundant} different pictures: {redundant} "
        f"({share:.0%}) are copies of another one, {turned} of them mirrored or turned.",
        "Copies count once in every interval and never cross a split that tumorlens makes. For scores, prefer the "
        "number of different pictures. tumorlens audit --fix keeps one of each.",
        tuple(found.manifest.rows[i].id for inside in members[: _EXAMPLES // 2] for i in inside[:2]),
    )


def _foreign(found: Examination) -> Iterator[Finding]:
    if found.foreign:
        yield Finding(
            "foreign",
            "warning",
            len(found.foreign),
            "Some pictures do not look like the others",
            f"{len(found.foreign)} pictures may be no brain MRI, be blank, coloured or written upon.",
            "Look at them. tumorlens audit --fix leaves them out.",
            tuple(found.manifest.rows[item.row].id for item in found.foreign[:_EXAMPLES]),
        )


def _suspicious(found: Examination) -> Iterator[Finding]:
    if found.suspicious:
        yield Finding(
            "labels",
            "note",
            len(found.suspicious),
            "Some labels look doubtful",
            f"The label of {len(found.suspicious)} slices is not the one that similar slices of other patients have.",
            "Look at the first ones. A simple model makes mistakes too: nothing is left out for this reason.",
            tuple(found.manifest.rows[item.row].id for item in found.suspicious[:_EXAMPLES]),
        )


def _unreadable(found: Examination) -> Iterator[Finding]:
    skipped = found.manifest.skipped
    if skipped:
        yield Finding(
            "unreadable",
            "warning",
            len(skipped),
            "Some files could not be used",
            f"{len(skipped)} inputs were left out; each is listed with its reason.",
            "Mend them or delete them.",
            tuple(item.path for item in skipped[:_EXAMPLES]),
        )


def _unknown_patients(found: Examination) -> Iterator[Finding]:
    unknown = [row for row in found.manifest if not row.patient]
    if not unknown:
        return
    chained = len({name for name in found.manifest.groups if name.startswith(PSEUDO)})
    yield Finding(
        "patients",
        "note",
        len(unknown),
        "Patients are not known",
        f"{len(unknown)} slices name no patient. Slices that look like neighbours were chained into {chained} "
        "pseudo-patients, which keeps obvious neighbours together; two slices of one head from far apart, or in "
        "different planes, cannot be recognised as one patient.",
        "Scores are optimistic and intervals too narrow; better, find out the patients and list them in a CSV.",
    )
