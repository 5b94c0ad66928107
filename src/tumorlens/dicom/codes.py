"""The codes of our reports.

Where a terminology that DICOM names has the concept and its code stands in PS3.16, it is used. For the classes of a
model and what is said of them there is none that fits: "glioma" as the answer of a classifier for a picture is not the
diagnosis that SNOMED CT or the NCI Thesaurus mean, classes are whatever a model was trained on, and codes for them
could not be checked against the terminologies themselves here. They are coded in a private scheme, as PS3.16 section 8
provides: ``99TUMORLENS``, whose code values are the class names and the words below.
"""

from __future__ import annotations

from typing import Any

from tumorlens.labels import title

#: Coding Scheme Designator, private by its prefix 99 (PS3.16 section 8.2).
SCHEME = "99TUMORLENS"
_VERDICTS = {
    "accepted": "Accepted: sure enough by the model's own threshold",
    "uncertain": "Uncertain: not to be relied on without a second look",
    "not_brain_mri": "Not answered: does not look like a brain MRI",
    "none": "Not judged: the model has no threshold",
}


def _coded(value: str, meaning: str, scheme: str = SCHEME) -> Any:
    from highdicom.sr import CodedConcept

    return CodedConcept(value=value, scheme_designator=scheme, meaning=meaning[:64])


def result() -> Any:
    """Name of the class that a model gives."""
    return _coded("class", "Image classification result")


def class_of(name: str) -> Any:
    """A class of a model."""
    return _coded(name[:16], title(name))


def in_set() -> Any:
    """Name of a class that cannot be ruled out (conformal set)."""
    return _coded("set", "Class that cannot be ruled out")


def verdict() -> Any:
    """Name of the verdict."""
    return _coded("verdict", "Verdict of the algorithm")


def verdict_of(name: str | None) -> Any:
    """A verdict."""
    key = name or "none"
    return _coded(key, _VERDICTS[key])


def probability(name: str) -> Any:
    """Name of the probability of a class."""
    return _coded(f"p_{name}"[:16], f"Probability of {title(name).lower()}")


def no_units() -> Any:
    """UCUM: a pure number."""
    return _coded("1", "no units", "UCUM")


def brain() -> Any:
    """SNOMED CT, in PS3.16 CID 4."""
    return _coded("12738006", "Brain", "SCT")


def imaging_procedure() -> Any:
    """SNOMED CT, in PS3.16 CID 100."""
    return _coded("363679005", "Imaging procedure", "SCT")


def measurement_report() -> Any:
    """Title of the document: PS3.16 CID 7021."""
    return _coded("126000", "Imaging Measurement Report", "DCM")
