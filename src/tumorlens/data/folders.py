"""What the folders around a scan say: whose it is, and when and how it was taken."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping

from tumorlens.data.layout import means_nothing
from tumorlens.labels import is_known

Folders = tuple[str, ...]

# Grades sort patients, as classes do.
_GRADES = frozenset({"hgg", "lgg"})
# What surely is a patient: in BIDS, on the media of hospitals (PA000001), and as people write it.
_PATIENT = re.compile(r"sub-\w+|pa\d{2,}|(subj?|subject|patient|pat|case|pid)[-_ .#]?[a-z]?\d\w*", re.IGNORECASE)
# With the time of day, where it follows.
_DATE = re.compile(
    r"(?<!\d)((19|20)\d\d([-_. ]?)(0[1-9]|1[0-2])\3(0[1-9]|[12]\d|3[01])"
    r"|(0?[1-9]|[12]\d|3[01])([-_. ])(0?[1-9]|[12]\d|3[01])\7(19|20)\d\d)([t_ -]?\d{4}(\d\d)?)?(?!\d)"
)
_WHEN_TEXT = "ses session visit week wk month day year baseline followup follow fu timepoint tp preop postop intraop"
_HOW_TEXT = (
    "axial ax axi tra transverse transversal coronal cor sagittal sag oblique "
    "t1 t1c t1ce t1gd t1n t1w t1wi t1post t1pre t2 t2f t2w t2wi t2star flair pd pdw dwi dti adc swi perfusion asl mra "
    "mprage mp2rage mpr spgr fspgr vibe stir tirm localizer localiser scout anat func fmap dicom dcm nifti nii"
)
# Says something only beside one of these.
_BESIDE_TEXT = (
    "2d 3d and brain c ce contrast fl fs fse gad gadolinium gd gre head iso km mr mri native op perf post pre se space "
    "tfe tfl tir tse up w with without wo wwo"
)
_WHEN, _HOW, _BESIDE = (frozenset(text.split()) for text in (_WHEN_TEXT, _HOW_TEXT, _BESIDE_TEXT))


def says_when(name: str) -> bool:
    """Whether a folder is called after a date or a visit (``2019-01-01``, ``ses-02``, ``week 12``, ``baseline``)."""
    dates, words = _words(name)
    bare = [word.rstrip("0123456789") for word in words]
    if name.lower().startswith("ses-"):
        return True
    if not all(word in _HOW or word in _BESIDE or stem in _WHEN for word, stem in zip(words, bare, strict=True)):
        return False
    return dates > 0 or any(stem in _WHEN for stem in bare) or (bool(words) and {*words} <= {"pre", "post", "op"})


def says_how(name: str) -> bool:
    """Whether a folder is called after a plane, a sequence or a format (``axial``, ``T1_AX``, ``anat``, ``DICOM``)."""
    dates, words = _words(name)
    return not dates and any(word in _HOW for word in words) and all(word in _HOW or word in _BESIDE for word in words)


def patients(places: Iterable[Folders]) -> dict[Folders, str]:
    """Which folder around a scan is its patient's.

    Splits, classes, grades, dates, visits, planes and sequences are none. Of what is left, the innermost is, except
    that a folder which holds scans itself, or folders named like those in another one, holds no patients but is one
    (``P1/head routine`` beside ``P2/head routine``).

    Args:
        places: the folders around each scan of a data set, outermost first.

    Returns:
        Place → name of the patient, empty where no folder can be one.
    """
    named = {place: _plain(place) for place in places}
    holding = _holding({_key(names) for names in named.values()})
    return {place: _patient(names, holding) for place, names in named.items()}


def merged(patient_of: Mapping[Folders, str]) -> str:
    """A note where several folders are taken for scans of one patient because of what lies around them; else empty."""
    inner: dict[str, set[str]] = defaultdict(set)
    for place, patient in patient_of.items():
        names = _plain(place)
        if patient and names and names[-1] != patient and not _PATIENT.fullmatch(patient):
            inner[patient].add(names[names.index(patient) + 1])
    several = {patient: below for patient, below in inner.items() if len(below) > 1}
    if not several:
        return ""
    patient, below = max(several.items(), key=lambda one: (len(one[1]), one[0]))
    return (
        f"{len(several)} folders are each taken for one patient with several folders of scans, for example {patient!r} "
        f"with {len(below)}; give a manifest with the patients if these are different people"
    )


def visit(folders: Folders, below: int) -> str:
    """The path down to the innermost folder that says when a scan was taken, or an empty string.

    Args:
        folders: around the scan, outermost first.
        below: how many of them, from the innermost, may say so.
    """
    ends = [at for at, name in enumerate(folders, 1) if at > len(folders) - below and says_when(name)]
    return "/".join(folders[: ends[-1]]) if ends else ""


def _words(name: str) -> tuple[int, list[str]]:
    """How many dates are in a name, and the words beside them; numbers say nothing."""
    rest, dates = _DATE.subn(" ", name.lower())
    return dates, [word for word in re.split(r"[\W_]+", rest) if word and not word.isdigit()]


def _plain(place: Folders) -> Folders:
    """The folders that may be patients."""
    return tuple(
        name
        for name in place
        if not (means_nothing(name) or is_known(name) or name.lower() in _GRADES or says_when(name) or says_how(name))
    )


def _key(names: Folders) -> Folders:
    return tuple(name.lower() for name in names)


def _holding(found: Collection[Folders]) -> set[Folders]:
    """The folders that hold scans, or folders of a name that occurs in others, too."""
    parents: dict[str, set[Folders]] = defaultdict(set)
    for names in found:
        for at in range(1, len(names)):
            parents[names[at]].add(names[:at])
    return {*found, *(parent for above in parents.values() if len(above) > 1 for parent in above)}


def _patient(names: Folders, holding: Collection[Folders]) -> str:
    sure = next((name for name in names if _PATIENT.fullmatch(name)), "")
    keys = _key(names)
    return sure or next((names[at - 1] for at in range(1, len(names) + 1) if keys[:at] in holding), "")
