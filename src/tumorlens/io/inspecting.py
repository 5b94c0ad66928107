"""What the header of a file says, without decoding its pixels."""

from __future__ import annotations

from dataclasses import dataclass

from tumorlens.errors import InputError


@dataclass(frozen=True, slots=True)
class Header:
    """Facts from a file's header.

    Attributes:
        kind: the format, as :func:`tumorlens.io.sniff.sniff` names it.
        frames: number of frames, None for a single image.
        patient: the patient identifier the file carries, or empty. Never written to logs.
        label: the class the file itself names (figshare ``.mat``), in our spelling, or empty.
        mask: path of the tumour mask inside the file (``1.mat!tumorMask``), or empty.
        series: what the file is one slice of: its SeriesInstanceUID, or empty. Never written to logs.
        instance: the SOPInstanceUID of a DICOM file, or empty. Likewise.
        study: its StudyInstanceUID, or empty. Likewise.
        burnt_in: whether it says that text or marks are part of the picture (Burned In Annotation, PS3.3 C.7.6.1).
        objection: why, by itself, this is no MR image of a head; None when nothing there speaks against it.
    """

    kind: str
    frames: int | None
    patient: str = ""
    label: str = ""
    mask: str = ""
    series: str = ""
    instance: str = ""
    study: str = ""
    burnt_in: bool = False
    objection: InputError | None = None
