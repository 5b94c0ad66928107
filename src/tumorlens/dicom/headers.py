"""What of a source's header may go into ours: a wrong value in an archive must not make our object wrong, too."""

from __future__ import annotations

from typing import Any

from tumorlens.dicom.uids import is_uid

_TEXT = frozenset({"AE", "AS", "CS", "DA", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UI"})


# What an object must have and may leave empty (type 2) of the patient and the study, PS3.3 C.7.1.1, C.7.2.1.
_EMPTY = (
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyID", "StudyDate", "StudyTime",
    "AccessionNumber", "ReferringPhysicianName",
)  # fmt: skip


def clean(header: Any) -> Any:
    """A copy of a header without the values that DICOM does not allow (PS3.5 table 6.2-1), at its top level.

    Archives hold many: an age ``42`` instead of ``042Y``, dates with dots. What is left out is then unknown, which our
    objects may say; what they must have (UIDs, a class) was needed to read the source at all. Numbers with more digits
    than DICOM has room for are rounded. UIDs with zeros in front of a component stay: the archive knows its images by
    them. What may be empty and is missing is empty.
    """
    from pydicom.config import RAISE
    from pydicom.dataelem import DataElement
    from pydicom.dataset import Dataset
    from pydicom.valuerep import DSfloat, validate_value

    made = Dataset()
    made.update(header)  # the elements are shared with the source, so none is changed
    for element in list(made):
        if element.value is None or (element.VR not in _TEXT and element.VR != "DS"):
            continue
        values = list(element.value) if element.VM > 1 else [element.value]
        try:
            if element.VR == "DS":
                numbers = [DSfloat(float(value), auto_format=True) for value in values if value != ""]
                made[element.tag] = DataElement(
                    element.tag, "DS", numbers if element.VM > 1 else (numbers or [None])[0]
                )
            else:
                for value in map(str, values):
                    if element.VR != "UI" or not is_uid(value):
                        validate_value(element.VR, value, RAISE)
        except Exception:  # noqa: BLE001 - whatever the validation says: it is not allowed
            del made[element.tag]
    for keyword in _EMPTY:
        if keyword not in made:
            setattr(made, keyword, None)
    return made
