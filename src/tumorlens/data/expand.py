"""From one file to its rows: one per frame, with what the file's header knows."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from tumorlens import io
from tumorlens.data.manifest import Row, Skipped, skip
from tumorlens.errors import InputError
from tumorlens.io.inspecting import Header
from tumorlens.io.sniff import IMAGE_EXTENSIONS, VOLUME_EXTENSIONS

# One picture per file, always: not opened here, so that a folder of a hundred thousand is listed in seconds.
# One that cannot be read is found when it is standardised.
_PLAIN = tuple(end for end in IMAGE_EXTENSIONS if end not in (".gif", ".tif", ".tiff", ".webp"))
# Plainly no images: said so without opening them.
_NEVER_TEXT = (
    ".csv .tsv .txt .md .rst .json .jsonl .xml .html .htm .pdf .doc .docx .xls .xlsx .ppt .pptx .py .ipynb .m .r .yaml "
    ".yml .toml .ini .log .zip .gz .tar .7z .rar .h5 .keras .onnx .pkl .npy .npz .mp4 .avi .exe .dll .sh .bat"
)
_NEVER = frozenset(_NEVER_TEXT.split())


@dataclass(frozen=True, slots=True)
class Wanted:
    """A file that is to become rows, and what is known about it from outside.

    Attributes beyond those of :class:`~tumorlens.data.manifest.Row`:
        suffix: its extension, in lower case.
        folder: the patient as the folders around it say, used when neither the data set nor the file names one.
        visit: the group of everything from one visit, used when nothing names a patient.
        around: the group of what lies in one folder, used for slices that nothing else puts together to a scan.
        series: what to call the patient of a multi-frame file when nothing else does.
        sure_frame: the frame is meant; else it is ignored where the file is a single image.
    """

    path: str
    suffix: str
    label: str = ""
    patient: str = ""
    group: str = ""
    source: str = ""
    split: str = ""
    fold: str = ""
    mask: str = ""
    id: str = ""
    frame: int | None = None
    folder: str = ""
    visit: str = ""
    around: str = ""
    series: str = ""
    sure_frame: bool = True


def is_volume(suffix: str) -> bool:
    """Whether a file with this extension is a scan rather than a picture (DICOM, NIfTI, MATLAB)."""
    return suffix in VOLUME_EXTENSIONS


def is_picture(suffix: str) -> bool:
    """Whether a file with this extension is an ordinary picture."""
    return suffix in IMAGE_EXTENSIONS


def is_never(suffix: str) -> bool:
    """Whether a file with this extension is no image at all."""
    return suffix in _NEVER


def rows(wanted: Wanted) -> tuple[list[Row], list[Skipped]]:
    """The rows of one file, or why there are none: a file that says itself that it is no MR image of a head has none.

    Raises:
        MissingExtraError: when the format needs a package that is not installed.
    """
    if is_never(wanted.suffix):
        return [], [Skipped(wanted.path, "not_an_image", f"{wanted.path} is a {wanted.suffix} file, not an image")]
    if wanted.suffix in _PLAIN:
        return [_row(wanted, wanted.frame if wanted.sure_frame else None, Header("", None))], []
    try:
        header = io.inspect(wanted.path)
    except InputError as error:
        return [], [skip(wanted.path, error)]
    if header.objection is not None:
        return [], [skip(wanted.path, header.objection)]
    if header.frames is None and not wanted.sure_frame:
        return [_row(wanted, None, header)], []
    if header.frames is None or wanted.frame is not None:
        if wanted.frame is not None and wanted.frame >= (header.frames or 1):
            reason = f"{wanted.path} has no frame {wanted.frame}"
            return [], [Skipped(wanted.path, "not_found", reason)]
        return [_row(wanted, wanted.frame, header)], []
    return [_row(wanted, frame, header) for frame in range(header.frames)], []


def _row(wanted: Wanted, frame: int | None, header: Header) -> Row:
    name = wanted.id
    if name and frame is not None and wanted.frame is None:
        name = f"{name}#{frame}"
    named = wanted.patient or header.patient or wanted.folder
    # All frames of one file come from one patient, whether or not it says which.
    patient = named or (wanted.series if header.frames is not None else "")
    series = _series(wanted.path, header)
    return Row(
        path=wanted.path,
        frame=frame,
        label=wanted.label or header.label,
        patient=patient,
        group=wanted.group or ("" if named else wanted.visit or ("" if series else wanted.around)),
        source=wanted.source,
        split=wanted.split,
        fold=wanted.fold,
        mask=wanted.mask or header.mask,
        id=name,
        series=series,
    )


def _series(path: str, header: Header) -> str:
    """What a slice is part of. Pictures that only share an array file are not slices of anything."""
    if header.frames is not None:
        return "" if header.kind == "npz" else path
    return hashlib.sha256(header.series.encode()).hexdigest()[:16] if header.series else ""
