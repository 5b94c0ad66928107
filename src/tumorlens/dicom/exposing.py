"""Whether the content of an object may show who the patient is, as far as its header tells: nobody looks at pixels.

Cleaning pixels (PS3.15 E.3.1) is not attempted. So images that are known, or known by their kind, to have text in them
are told apart here: what a screen or a sheet of paper showed, ultrasound, photographs.
"""

from __future__ import annotations

import re
from typing import Any

from tumorlens.errors import InputError

_STORAGE = "1.2.840.10008.5.1.4.1.1."
#: What scanners reconstruct and what is computed from it, PS3.4 table B.5-1.
PLAIN = frozenset(
    _STORAGE + kind
    for kind in (
        "4",  # MR Image
        "4.1",  # Enhanced MR Image
        "4.3",  # Enhanced MR Color Image
        "4.4",  # Legacy Converted Enhanced MR Image
        "2",  # CT Image
        "2.1",  # Enhanced CT Image
        "2.2",  # Legacy Converted Enhanced CT Image
        "20",  # Nuclear Medicine Image
        "30",  # Parametric Map
        "66.4",  # Segmentation
        "66.7",  # Label Map Segmentation
        "128",  # Positron Emission Tomography Image
        "128.1",  # Legacy Converted Enhanced PET Image
        "130",  # Enhanced PET Image
    )
)
_CAPTURE = re.compile(re.escape(_STORAGE) + r"7(\.\d)?")  # Secondary Capture, and its multi-frame kinds
_SCREEN = re.compile("SCREEN|CAPTURE|REPORT|DOSE")  # in Image Type; "SCREEN SAVE" of GE, "DOSE_INFO" of Philips
_PHOTOGRAPHED = frozenset({"DV", "DF", "DRW", "SD"})  # Conversion Type: video, film, drawing, document


def check_exposure(dataset: Any) -> None:
    """Refuse an image that may show who the patient is.

    Args:
        dataset: of pydicom.

    Raises:
        InputError: ``burned_in``, ``capture``, ``other_kind``.
    """
    kind = str(dataset.get("SOPClassUID"))
    for keyword in ("BurnedInAnnotation", "RecognizableVisualFeatures"):
        if _words(dataset, keyword) not in ([], [""], ["NO"]):
            raise _left_out("said to show who the patient is", "burned_in")
    if _hidden_overlay(dataset):
        raise _left_out("drawn upon, in unused bits of its pixels", "burned_in")
    screen = any(_SCREEN.search(word) for word in _words(dataset, "ImageType"))
    if _CAPTURE.fullmatch(kind) or screen or _PHOTOGRAPHED.intersection(_words(dataset, "ConversionType")):
        raise _left_out("a picture of a screen or a sheet", "capture")
    if kind not in PLAIN:
        raise _left_out("of a kind that often has text in its pixels", "other_kind")


def _hidden_overlay(dataset: Any) -> bool:
    """Whether a plane of an overlay lies in the bits of the pixels (PS3.5 8.1.2, retired)."""
    groups = range(0x6000, 0x6020, 2)
    return any((group, 0x0102) in dataset and (group, 0x3000) not in dataset for group in groups)


def _words(dataset: Any, keyword: str) -> list[str]:
    value = dataset.get(keyword)
    values = [] if value is None else [value] if isinstance(value, str) else value
    return [str(one).strip("\0 ").upper() for one in values]


def _left_out(why: str, code: str) -> InputError:
    return InputError(f"the file is {why}", hint="see the reasons in docs/how-to/deidentify.md", code=code)
