"""A data set without identity: every element, at every depth, by its action in :mod:`tumorlens.dicom.profile`."""

from __future__ import annotations

import re
from collections.abc import Callable, MutableSequence
from typing import Any

from tumorlens.dicom.profile import OURS, Action, action
from tumorlens.dicom.pseudonyms import Pseudonyms

#: Text in the place of what was removed.
REMOVED = "REMOVED"
_DEEPEST = 64
_STRINGS = frozenset(
    {"AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UI", "UR", "UT"}
)
_NUMBERS = frozenset({"FD", "FL", "SL", "SS", "SV", "UL", "US", "UV"})
_DUMMIES: dict[str, Any] = {
    **dict.fromkeys(_STRINGS, REMOVED),
    **dict.fromkeys(_NUMBERS, 0),
    **dict.fromkeys(("OB", "OW", "UN"), bytes(2)),
    **dict.fromkeys(("OF", "OL"), bytes(4)),
    **dict.fromkeys(("OD", "OV"), bytes(8)),
    "AS": "000Y",
    "AT": 0,
    "DA": "19000101",
    "DS": "0",
    "DT": "19000101000000",
    "IS": "0",
    "TM": "000000",
    "UR": "https://removed.invalid",
}
# What of a value that stays is looked at: text hides easily where a code or a number should be. The length of numbers
# is not: many programs write more digits than DICOM allows. Nor is the case of codes.
_FORMS = {
    "AS": re.compile(r"\d{1,3}[DWMY]?"),
    "CS": re.compile(r"[A-Za-z0-9 _./+-]{0,16}"),
    "DS": re.compile(r"[0-9Ee.+ -]*"),
    "IS": re.compile(r"[0-9+. -]*"),
    "UI": re.compile(r"\d+(\.\d+)*"),
}


def remove_identity(dataset: Any, pseudonyms: Pseudonyms) -> frozenset[str]:
    """De-identify a data set in place (PS3.15 E.1.1), with its file meta information and preamble; pixels stay.

    Elements whose value does not fit their kind are removed: bytes that cannot be read as what the dictionary says,
    text in the place of a code, a number or a UID.

    Args:
        dataset: ``pydicom.FileDataset`` with its transfer syntax.
        pseudonyms: the new names.

    Returns:
        Every UID and pseudonym that was put in.

    Raises:
        ValueError: a sequence that cannot be read, or sequences in sequences, 64 deep.
        MissingExtraError: without dicom-anonymizer.
    """
    from pydicom.dataset import FileMetaDataset

    made: set[str] = set()
    _clean(dataset, pseudonyms, made, 0)
    for keyword, value in marks().items():
        setattr(dataset, keyword, value)
    syntax = dataset.file_meta.TransferSyntaxUID
    dataset.preamble = None
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    return frozenset(made)


def marks() -> dict[str, Any]:
    """What a result says about itself, keyword → value (PS3.15 E.1.1 and E.3.6, PS3.16 CID 7050)."""
    from pydicom.dataset import Dataset
    from pydicom.sequence import Sequence

    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator = "113100", "DCM"
    code.CodeMeaning = "Basic Application Confidentiality Profile"
    values = ("YES", "tumorlens deidentify: PS3.15 Basic Profile", Sequence([code]), "REMOVED")
    return dict(zip(OURS.values(), values, strict=True))


def dummy(vr: str) -> Any:
    """The value in the place of one that was removed, for a VR; of a sequence one empty item."""
    from pydicom.dataset import Dataset
    from pydicom.sequence import Sequence

    return Sequence([Dataset()]) if vr == "SQ" else _DUMMIES[vr]


def texts(element: Any) -> list[str]:
    """The values of an element as text, without their padding."""
    value = element.value
    values = value if isinstance(value, MutableSequence) else [value]  # a person's name is a sequence of characters
    return ["" if one is None else str(one).strip("\0 ") for one in values]


def is_empty(element: Any) -> bool:
    """Whether an element has no value; a sequence, no item."""
    return not len(element.value) if element.VR == "SQ" else bool(element.is_empty)


def _clean(dataset: Any, pseudonyms: Pseudonyms, made: set[str], depth: int) -> None:
    from pydicom.datadict import dictionary_VR

    if depth > _DEEPEST:
        raise ValueError(f"sequences in sequences, more than {_DEEPEST} deep")
    known = _read(dataset, 0x00100020)
    patient = pseudonyms.patient("\\".join(texts(known))) if known is not None else ""
    made.add(patient)

    def uid(old: str) -> str:
        made.add(given := pseudonyms.uid(old))
        return given

    for tag in sorted(dataset.keys()):
        what = action(int(tag), nested=depth > 0)
        element = None if what is Action.REMOVE else _read(dataset, tag)
        if element is None and what is Action.KEEP and dictionary_VR(tag) == "SQ":
            raise ValueError("a sequence that cannot be read")  # too much may hang on it: geometry, frames
        new = None if element is None else _replaced(element, what, uid, patient)
        if new is None:
            del dataset[tag]
            continue
        dataset[tag] = new
        if new.VR == "SQ" and what is Action.KEEP:
            for item in new.value:
                _clean(item, pseudonyms, made, depth + 1)


def _read(dataset: Any, tag: int) -> Any:
    """An element, parsed; None where it is not there or cannot be."""
    try:
        return dataset.get(tag)
    except Exception:  # noqa: BLE001 - whatever a decoder says of foreign bytes; what cannot be read does not stay
        return None


def _replaced(element: Any, what: Action, uid: Callable[[str], str], patient: str) -> Any:
    """The element in the place of another; None where there is none."""
    from pydicom.datadict import dictionary_VR
    from pydicom.dataelem import DataElement

    allowed = dictionary_VR(element.tag).split(" or ")
    if what is Action.KEEP:
        return _kept(element, allowed)
    vr = allowed[0]
    if what is Action.UID:
        new = [uid(old) for old in texts(element)]
        return DataElement(element.tag, vr, new[0] if len(new) == 1 else new)
    if what is Action.PSEUDONYM:
        return DataElement(element.tag, vr, patient)
    if what is Action.EMPTY or is_empty(element):
        return DataElement(element.tag, vr, [] if vr == "SQ" else None)
    return DataElement(element.tag, vr, dummy(vr))


def _kept(element: Any, allowed: list[str]) -> Any:
    """The element with the VR that the dictionary gives it; None where its value cannot have it."""
    from pydicom.dataelem import DataElement

    vr = allowed[0]
    if element.VR not in (*allowed, " or ".join(allowed)):
        if element.VR in _STRINGS and vr in _STRINGS:
            try:
                element = DataElement(element.tag, vr, "\\".join(texts(element)))
            except Exception:  # noqa: BLE001 - as in _read
                return None
        elif not any({element.VR, vr} <= alike for alike in (_NUMBERS, {"OB", "OW"})):
            return None
    form = _FORMS.get(vr)
    if form is not None and not all(not text or form.fullmatch(text) for text in texts(element)):
        return None
    return element
