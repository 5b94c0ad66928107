"""A last look at a de-identified file, from its bytes: nothing is in it that should have gone."""

from __future__ import annotations

import io
from typing import Any

from tumorlens.dicom.cleaning import dummy, is_empty, marks, texts
from tumorlens.dicom.profile import OURS, Action, action
from tumorlens.dicom.pseudonyms import well_known
from tumorlens.errors import InputError

# Of the file meta information: group length, version, class, instance, transfer syntax, who wrote it (PS3.10 7.1).
_META = frozenset({0x00020000, 0x00020001, 0x00020002, 0x00020003, 0x00020010, 0x00020012, 0x00020013})


def check_product(data: bytes, made: frozenset[str]) -> Any:
    """Read a de-identified file again and look at each element.

    Args:
        data: the file.
        made: every UID and pseudonym that was put in.

    Returns:
        ``pydicom.Dataset``.

    Raises:
        InputError: ``survived``, naming the element by its tag.
    """
    import pydicom

    product = pydicom.dcmread(io.BytesIO(data))
    if any(data[:128]):
        raise _survived("its preamble")
    for element in product.file_meta:
        if element.tag not in _META:
            raise _survived(str(element.tag))
    if product.file_meta.MediaStorageSOPInstanceUID != product.SOPInstanceUID:
        raise _survived("(0002,0003)")
    _check(product, made, nested=False)
    return product


def _check(dataset: Any, made: frozenset[str], *, nested: bool) -> None:
    ours = {} if nested else marks()
    for element in dataset:
        what = action(int(element.tag), nested=nested)
        mark = ours.get(OURS.get(int(element.tag), ""))
        if mark is not None:
            fine = element.value == mark
        elif what is Action.DUMMY:
            fine = is_empty(element) or _is_dummy(element)
        elif what is Action.UID:
            fine = all(text in made or well_known(text) for text in texts(element))
        elif what is Action.PSEUDONYM:
            fine = all(text in made or not text for text in texts(element))
        else:
            fine = what is Action.KEEP or (what is Action.EMPTY and is_empty(element))
        if not fine:
            raise _survived(str(element.tag))
        if element.VR == "SQ" and what is Action.KEEP:
            for item in element.value:
                _check(item, made, nested=True)


def _is_dummy(element: Any) -> bool:
    expected = dummy(element.VR)
    if element.VR == "SQ":
        return [len(item) for item in element.value] == [0]
    return bool(element.value == expected) or texts(element) == [str(expected)]


def _survived(what: str) -> InputError:
    return InputError(
        f"{what} would have stayed in a de-identified file",
        hint="this is a fault in tumorlens; please report it, without the file",
        code="survived",
    )
