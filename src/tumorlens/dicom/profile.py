"""What becomes of each element: PS3.15 table E.1-1, Basic Profile, and of what the table does not name.

The table comes as data from ``dicom-anonymizer`` (edition 2026c). Its program is not used: it leaves nested items as
they are, draws UIDs at random, and keeps a date where the table says to remove an element.

Which combined action applies depends on the type of the element in its IOD (X/Z: remove, unless it has to be there).
Types are not known here, so the action that fits every type is taken: X/Z empties, and what has a D gets a dummy. A
sequence that may be removed is.

The table is about what is known to identify. Of what it does not name, this is stricter: elements that the data
dictionary does not know, long texts, names, dates, addresses and bytes do not stay; nor do private elements, command
and directory elements, curves and overlays. Short texts and codes stay (manufacturer, coil, sequence name, anatomy).
"""

from __future__ import annotations

import re
from enum import Enum
from functools import cache

from tumorlens.io.guard import extra


class Action(Enum):
    """What is done with an element.

    Attributes:
        KEEP: it stays; of a sequence the items do, each element by its own action.
        REMOVE: X.
        EMPTY: Z.
        DUMMY: D; what was empty stays empty.
        UID: U.
        PSEUDONYM: D for the patient's identifier and name, the same for all files of a patient.
    """

    KEEP = "keep"
    REMOVE = "remove"
    EMPTY = "empty"
    DUMMY = "dummy"
    UID = "uid"
    PSEUDONYM = "pseudonym"


#: Said about the result, so whatever a source says there goes (PS3.3 C.7.1.1, C.12.1.1).
OURS = {
    0x00120062: "PatientIdentityRemoved",
    0x00120063: "DeidentificationMethod",
    0x00120064: "DeidentificationMethodCodeSequence",
    0x00280303: "LongitudinalTemporalInformationModified",
}
_PATIENT = frozenset({0x00100010, 0x00100020})  # Patient's Name, Patient ID
_TABLE = {
    "X_TAGS": Action.REMOVE,
    "Z_TAGS": Action.EMPTY,
    "D_TAGS": Action.DUMMY,
    "U_TAGS": Action.UID,
    "X_Z_TAGS": Action.EMPTY,
    "Z_D_TAGS": Action.DUMMY,
    "X_D_TAGS": Action.DUMMY,
    "X_Z_D_TAGS": Action.DUMMY,
    "X_Z_U_STAR_TAGS": Action.KEEP,  # references to images: the UIDs in their items are replaced
}
_REMOVABLE = frozenset({"X_D_TAGS", "X_Z_D_TAGS"})
# Kinds of UIDs that name no instance of anything.
_CLASS = re.compile("SOPClass|TransferSyntax|^(CodingScheme|Context|MappingResource)UID$")
_REPLACED = frozenset({"AE", "DA", "DT", "LT", "PN", "ST", "TM", "UC", "UR", "UT"})
_CODES = frozenset({0x00080119, 0x00080120})  # Long Code Value (UC), URN Code Value (UR)
_BYTES = frozenset({"OB", "OW", "OB or OW", "UN"})
# The pixels in their three forms, and where their frames begin.
_PIXELS = frozenset({0x7FE00001, 0x7FE00002, 0x7FE00003, 0x7FE00008, 0x7FE00009, 0x7FE00010})
_ALSO_REMOVED = frozenset(
    {
        0x00201070,  # Other Study Numbers (retired)
        0x0074100C,  # Contact Display Name
        0x00100033,  # Patient's Birth Date in Alternative Calendar
        0x00100034,  # Patient's Death Date in Alternative Calendar
        0x00181003,  # Device ID
        0x00401006,  # Placer Order Number / Procedure
        0x00401007,  # Filler Order Number / Procedure
        0x00402006,  # Placer Order Number / Imaging Service Request (retired)
        0x00402007,  # Filler Order Number / Imaging Service Request (retired)
        0x00401060,  # Requested Procedure Description (Trial)
        0x00720008,  # Hanging Protocol Creator
        0x00880130,  # Storage Media File-set ID
        0x04000500,  # Encrypted Attributes Sequence
        0x21000160,  # Owner ID
        0x4FFE0001,  # MAC Parameters Sequence: of signatures that are removed
    }
)


@cache
def table() -> dict[int, Action]:
    """Table E.1-1 without its repeating groups, which are removed as a whole: tag → action.

    Raises:
        MissingExtraError: without dicom-anonymizer.
    """
    with extra("dicom-anonymizer", "dicom"):
        from dicomanonymizer.dicom_anonymization_databases import dicomfields_2026c as published
    from pydicom.datadict import dictionary_has_tag, dictionary_VR

    found = {}
    for name, what in _TABLE.items():
        for group, element, *mask in getattr(published, name):
            tag = group << 16 | element
            vr = dictionary_VR(tag) if dictionary_has_tag(tag) else ""
            if name in _REMOVABLE and vr == "SQ":
                found[tag] = Action.REMOVE
            elif what is Action.DUMMY and vr == "UI":
                found[tag] = Action.UID
            elif not mask:
                found[tag] = what
    return found


def action(tag: int, *, nested: bool) -> Action:
    """What is done with an element.

    Args:
        tag: group and element as one number.
        nested: it stands in an item of a sequence.

    Raises:
        MissingExtraError: without dicom-anonymizer.
    """
    from pydicom.datadict import dictionary_has_tag, dictionary_keyword, dictionary_VR

    group, vr = tag >> 16, dictionary_VR(tag) if dictionary_has_tag(tag) else ""
    # Repeating groups (curves, overlays) are not in the dictionary proper; group lengths (gggg,0000) are retired.
    if not vr or group % 2 or group < 8 or not tag & 0xFFFF or tag in _ALSO_REMOVED or tag in OURS:
        return Action.REMOVE
    if tag in _PATIENT:
        return Action.PSEUDONYM
    listed = table().get(tag)
    if listed is not None:
        return listed
    if group == 0x7FE0:
        return Action.KEEP if tag in _PIXELS and not nested else Action.REMOVE
    if vr == "UI":
        return Action.KEEP if _CLASS.search(dictionary_keyword(tag)) else Action.UID
    if vr in _REPLACED and tag not in _CODES:
        return Action.DUMMY
    if vr in _BYTES and group != 0x0028:
        return Action.REMOVE
    return Action.KEEP
