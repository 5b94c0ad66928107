"""What an examination means, in plain words: how bad, how many, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from tumorlens.audit import orientation
from tumorlens.audit.examine import Examination
from tumorlens.audit.grouping import PSEUDO
from tumorlens.audit.leaks import Leak, look_alikes, per_class
from tumorlens.audit.probes import OF_SOURCE, SOURCE_FROM, Probe, apart
from tumorlens.data.split import leaked
from tumorlens.report.words import count, percent, plural

Severity = Literal["serious", "warning", "note"]
_EXAMPLES: Final = 20
_PARTS: Final = 3  # training, validation, test
_LOOK: Final = "See whether planes, scanners or framing differ between classes, and compare your score with this one."
_UNKNOWN: Final = "Not every patient is known, and slices of one patient on both sides of a fold can do this alone."
# Probe → title, share of the way from guessing to perfection from which it is serious, advice. What is told without a
# pixel is a fault of the data set. Pixels may tell a class for honest reasons, as planes do, so much more is asked.
_SHORTCUTS: Final = {
    "header": (
        "The file alone tells the class",
        0.5,
        "Save all classes alike (size, format, quality), and compare your score with this one.",
    ),
    "border": ("The edge of the picture tells the class", 0.8, _LOOK),
    "histogram": ("Grey values alone tell the class", 0.8, _LOOK),
    "thumbnail": ("A tiny thumbnail tells the class", 0.8, _LOOK),
    "source": (
        "The data set that a slice comes from tells its class",
        0.5,
        "No score on this mixture shows that tumours are recognised. Add every class from every source, or at least "
        "test on a source that has all classes.",
    ),
}


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
    yield from _classes(found)
    yield from _shortcuts(found)
    yield from _copies(found)
    yield from _foreign(found)
    yield from _suspicious(found)
    yield from _unusual(found)
    yield from _unreadable(found)
    yield from _unknown_patients(found)


def _leaks(found: Examination) -> Iterator[Finding]:
    for name, leaks, other in (
        ("test", found.leaks, "training or validation"),
        ("validation", found.leaks_of_validation, "training"),
    ):
        if not leaks:
            continue
        part = "test" if name == "test" else "val"
        size = len(found.manifest.split(part))
        turned = sum(leak.transform != orientation.NAMES[orientation.IDENTITY] for leak in leaks)
        exact = sum(leak.exact for leak in leaks)
        yield Finding(
            "leaks",
            "serious",
            len(leaks),
            f"The {name} set repeats what is trained on",
            f"{count(len(leaks))} of {plural(size, f'{name} slice')} {_have(len(leaks))} a copy in {other}: "
            f"{count(exact)} with the same pixels, {count(len(leaks) - exact)} changed; {count(turned)} of them "
            f"mirrored or turned. By class: {_by_class(found, leaks, part)}.",
            f"Do not believe a score on the {name} set as shipped. tumorlens train leaves these slices out of the "
            "headline score and shows both; tumorlens audit --fix takes their copies out of training; tumorlens split "
            "--folds divides everything anew.",
            tuple(_both(found, leaks)),
        )


def _have(number: int) -> str:
    return "has" if number == 1 else "have"


def _look(number: int) -> str:
    return "looks" if number == 1 else "look"


def _are(number: int) -> str:
    return "is" if number == 1 else "are"


def _by_class(found: Examination, leaks: tuple[Leak, ...], part: str) -> str:
    """``glioma 12 of 50, no_tumor 0 of 60``."""
    counts = per_class(found.manifest, leaks, part)
    return ", ".join(f"{label} {item['leaked']} of {item[part]}" for label, item in counts.items())


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
            f"{count(variants.patients)} patient ids ({plural(variants.slices, 'slice')}) differ from another only by "
            f"a trailing letter and form {plural(variants.groups, 'group')}; the folds or the split divide "
            f"{count(variants.crossing)} of these groups, with {plural(variants.crossing_slices, 'slice')}.",
            "Ask the data set's authors, or be careful and join them: --set data.join_patient_variants=true.",
        )
    copied = {found.manifest.rows[leak.a].id for leak in found.leaks}
    known = sorted(set(leaked(found.manifest)) - copied)
    divided = [name for name in found.broken if not name.startswith(PSEUDO)]
    if known:
        yield Finding(
            "groups",
            "serious",
            len(known),
            "Patients lie on both sides of the split",
            f"{plural(len(known), 'test slice')} {_are(len(known))} of a patient or group that is also trained on.",
            "tumorlens train leaves these slices out of the headline score; tumorlens split --folds K makes folds.",
            tuple(known[:_EXAMPLES]),
        )
    elif divided and not variants.crossing and not copied:
        yield Finding(
            "groups",
            "serious",
            len(divided),
            "Groups are divided by the data set's own folds or split",
            f"{plural(len(divided), 'group')} (patients, joined over copies), each in more than one fold or part.",
            "Use folds that tumorlens makes: tumorlens split DATA --folds K.",
            tuple(divided[:_EXAMPLES]),
        )
    alike = look_alikes(found.manifest, found.clusters)
    if alike:
        yield Finding(
            "neighbours",
            "warning",
            len(alike),
            "Neighbouring slices may lie on both sides of the split",
            f"{plural(len(alike), 'test slice')} without a patient {_look(len(alike))} like a neighbour of one "
            "that is trained on: perhaps one head.",
            "A likeness is no proof, so these slices stay in the score, which may be too high. Find out the patients, "
            "or use folds that tumorlens makes: tumorlens split DATA --folds K.",
            tuple(found.manifest.rows[i].id for pair in alike[: _EXAMPLES // 2] for i in pair),
        )


def _conflicts(found: Examination) -> Iterator[Finding]:
    if found.conflicts:
        rows = [i for conflict in found.conflicts for i in conflict.rows]
        yield Finding(
            "conflicts",
            "serious",
            len(found.conflicts),
            "The same picture has different labels",
            f"{plural(len(found.conflicts), 'picture')}, in {count(len(rows))} copies, each with more than one class.",
            "At least one of the labels is wrong. tumorlens audit --fix leaves these pictures out.",
            tuple(found.manifest.rows[i].id for i in rows[:_EXAMPLES]),
        )


def _classes(found: Examination) -> Iterator[Finding]:
    """Whether there is enough to divide and to tell apart."""
    of: dict[str, set[str]] = {}
    for row, group in zip(found.manifest, found.manifest.groups, strict=True):
        if row.label:
            of.setdefault(row.label, set()).add(group)
    if len(of) == 1:
        yield Finding(
            "classes",
            "warning",
            len(found.manifest),
            "There is only one class",
            f"Every slice that has a class is called {next(iter(of))}: there is nothing to train, and neither "
            "shortcuts nor labels can be judged.",
            "Give the folder that holds a folder for each class, or several: LABEL=PATH LABEL=PATH.",
        )
    few = {name: len(groups) for name, groups in sorted(of.items()) if len(groups) < _PARTS}
    if few and len(of) > 1:
        listed = ", ".join(f"{name} {plural(number, 'group')}" for name, number in few.items())
        yield Finding(
            "classes",
            "warning",
            len(few),
            "Too few patients of a class to divide",
            f"What must stay together (patients, copies, look-alikes) counts as one: {listed}. Training, validation "
            "and test need at least one each.",
            "Add patients of these classes; until then no score says anything about them.",
        )


def _shortcuts(found: Examination) -> Iterator[Finding]:
    for probe in found.probes or ():
        if probe.finding and probe.name in _SHORTCUTS:
            title, serious_from, advice = _SHORTCUTS[probe.name]
            rows = found.manifest.rows
            serious = _gone(probe) >= serious_from or (
                probe.name == "source" and apart([row.label for row in rows], [row.source for row in rows])
            )
            text = probe.finding if all(row.patient for row in rows) else f"{probe.finding} {_UNKNOWN}"
            yield Finding("shortcuts", "serious" if serious else "warning", probe.n, title, text, advice)
    telling = [probe for probe in found.probes or () if probe.finding and probe.name.startswith(SOURCE_FROM)]
    if telling:
        # By itself no fault, as long as the source does not tell the class; that has a finding of its own.
        ways = [f"{probe.name.removeprefix(SOURCE_FROM)} {percent(probe.balanced_accuracy)}" for probe in telling]
        yield Finding(
            "sources",
            "note",
            telling[0].n,
            "The data sets can be told apart",
            f"The data set that a slice comes from can be guessed, in so many slices: {', '.join(ways)} (guessing: "
            f"{percent(telling[0].chance)}). {OF_SOURCE}",
            "Harmless as long as every class comes from every data set alike. Test on a data set that was not trained "
            "on: tumorlens train A, then tumorlens evaluate RUN B.",
        )


def _gone(probe: Probe) -> float:
    """Share of the way from guessing (0) to perfection (1); 0 where it was not scored."""
    if probe.balanced_accuracy is None or probe.chance is None:
        return 0.0
    return (probe.balanced_accuracy - probe.chance) / (1 - probe.chance)


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
        f"{plural(len(found.manifest), 'slice')} show {plural(len(found.manifest) - redundant, 'different picture')}: "
        f"{count(redundant)} ({percent(share)}) {_are(redundant)} only another version of one; {count(turned)} of them "
        "mirrored or turned.",
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
            f"{plural(len(found.foreign), 'picture')} may be no brain MRI, be blank, coloured or written upon.",
            "Look at them. tumorlens audit --fix leaves them out.",
            tuple(found.manifest.rows[item.row].id for item in found.foreign[:_EXAMPLES]),
        )


def _unusual(found: Examination) -> Iterator[Finding]:
    if found.unusual:
        yield Finding(
            "unusual",
            "note",
            len(found.unusual),
            "The least usual pictures",
            f"These {count(len(found.unusual))} look least like the rest. Some do in every set; in a varied one "
            "pictures that do not belong hide here.",
            "Look at them. Nothing is left out for this reason.",
            tuple(found.manifest.rows[item.row].id for item in found.unusual),
        )


def _suspicious(found: Examination) -> Iterator[Finding]:
    if found.suspicious:
        yield Finding(
            "labels",
            "note",
            len(found.suspicious),
            "Some labels look doubtful",
            f"The label of {plural(len(found.suspicious), 'slice')} is not the one that similar slices of other "
            "patients have.",
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
            f"{plural(len(skipped), 'input')} left out; each is listed with its reason.",
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
        f"{plural(len(unknown), 'slice')} without a patient. Those that look like neighbours were chained into "
        f"{plural(chained, 'pseudo-patient')}, which keeps obvious neighbours together; two slices of one head from "
        "far apart, or in different planes, cannot be recognised as one patient.",
        "Scores are optimistic and intervals too narrow; better, find out the patients and list them in a CSV.",
    )
