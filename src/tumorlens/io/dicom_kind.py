"""Whether a DICOM file is an MR image of a head, as far as its own header says.

A missing entry speaks against nothing: anonymised and converted files lack many of them. A value is repeated in a
message only when it is one of the standard's terms: anything else may be a person's name in the wrong place.
"""

from __future__ import annotations

import re
from typing import Any

from tumorlens.errors import InputError

# SOP classes (PS3.4 table B.5-1) by what their names say, for files that do not name another modality.
_FOREIGN_CLASS = re.compile(
    r"secondary capture|segmentation|parametric map|ultrasound|\bct\b|computed radiography|x-ray|mammography|"
    r"nuclear|positron|ophthalmic|endoscopic|microscopic|photographic|dose|structure set",
    re.IGNORECASE,
)
# Words of PS3.16 annex L for the head and what is scanned with it, and of other languages that scanners are set to.
_HEAD = re.compile(
    "HEAD|BRAIN|SKULL|NECK|CRANI|CEREB|ENCEPH|ENCEFAL|NEURO|PITUIT|HYPOPHY|SELLA|ORBIT|FACE|FACIAL|SINUS|JAW|TMJ|IAC|"
    "INTERNALAUDITORY|TEMPORAL|CSPINE|CERVICAL|KOPF|SCHAED|SCHÄD|HIRN|TETE|TÊTE|CRANE|CRÂNE|CABEZA|TESTA"
)

# Of the defined terms of PS3.3 C.7.3.1.1.1 and of PS3.16 annex L, those that are met.
_MODALITIES = re.compile(
    "AR|AU|BI|CR|CT|DG|DOC|DX|ECG|EEG|ES|FID|GM|HC|HD|IO|IVUS|KER|KO|LEN|LS|MG|MR|NM|OAM|OCT|OP|OPM|OPT|OPV|OT|PLAN|PR|"
    "PT|PX|REG|RESP|RF|RG|RTDOSE|RTIMAGE|RTPLAN|RTRECORD|RTSTRUCT|RWV|SC|SEG|SM|SMR|SR|SRF|STAIN|TG|US|VA|XA|XC"
)
_PARTS = re.compile(
    "ABDOMEN|ABDOMENPELVIS|ADRENAL|ANKLE|AORTA|ARM|BACK|BLADDER|BREAST|BUTTOCK|CALF|CAROTID|CHEST|CLAVICLE|COCCYX|COLON|"
    "CTSPINE|ELBOW|EXTREMITY|FEMUR|FINGER|FOOT|FOREARM|HAND|HEART|HIP|HUMERUS|ILEUM|JOINT|KIDNEY|KNEE|LEG|LIVER|LSPINE|"
    "LSSPINE|LUMBAR|LUNG|PANCREAS|PELVIS|PROSTATE|RECTUM|RIB|SACRUM|SCAPULA|SHOULDER|SPINE|SPLEEN|SSPINE|STERNUM|STOMACH|"
    "TESTIS|THIGH|THORAX|THUMB|THYROID|TIBIA|TLSPINE|TOE|TSPINE|UTERUS|WHOLEBODY|WRIST"
)


def modality(dataset: Any) -> str:
    """The Modality where it is a term of the standard, else empty."""
    found = str(dataset.get("Modality") or "").strip("\x00 ").upper()
    return found if _MODALITIES.fullmatch(found) else ""


def objection(dataset: Any, name: str) -> InputError | None:
    """Why the header says that this is no MR image of a head, or None.

    Args:
        dataset: of pydicom.
        name: the file as the user knows it.
    """
    given = str(dataset.get("Modality") or "").strip("\x00 ").upper()
    kind = dataset.get("SOPClassUID")
    stored_as = kind.name if kind and getattr(kind, "name", kind) != kind else ""
    if (given and given != "MR") or _FOREIGN_CLASS.search(stored_as):
        said = modality(dataset) or ("another modality" if given else "unknown")
        what = f"{said} ({stored_as})" if stored_as else said
        return InputError(
            f"{name} is no MR image: its header says {what}",
            hint="give the original MR series; secondary captures and other modalities are not judged",
            code="not_mr",
        )
    part = str(dataset.get("BodyPartExamined") or "").strip("\x00 ").upper()
    word = re.sub(r"[^A-ZÀ-Ü]", "", part)
    if part and not _HEAD.search(word):
        said = f"body part {word}" if _PARTS.fullmatch(word) else "another body part"
        return InputError(
            f"{name} shows no head: its header says {said}",
            hint="if the header is wrong, correct BodyPartExamined (0018,0015) or remove it",
            code="not_head",
        )
    if "LOCALIZER" in _image_type(dataset):
        return InputError(
            f"{name} is a localiser: a scout image that a scan was planned on",
            hint="give the scan itself",
            code="localiser",
        )
    return None


def derived(dataset: Any) -> bool:
    """Whether the image was computed from others: value 1 of its Image Type (PS3.3 C.7.6.1.1.2).

    Files that were converted or compressed with loss say so too, so it speaks against an image only beside originals.
    """
    return _image_type(dataset)[:1] == ["DERIVED"]


def _image_type(dataset: Any) -> list[str]:
    value = dataset.get("ImageType") or []
    return [str(one).strip().upper() for one in ([value] if isinstance(value, str) else value)]
