"""De-identification of many files: each is read, cleaned, looked at again, and written under its new UIDs.

Of a file that cannot be used nothing is written; it is counted by a code, and does not stop the others. What is
written has no name that the source gave, neither of a file nor of a folder. One file is in memory at a time.
"""

from __future__ import annotations

import io
import json
import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tumorlens.dicom.checking import check_product
from tumorlens.dicom.cleaning import remove_identity
from tumorlens.dicom.exposing import check_exposure
from tumorlens.dicom.profile import table
from tumorlens.dicom.pseudonyms import Pseudonyms, new_key, read_key, write_key
from tumorlens.dicom.soundness import check_image, check_pixels
from tumorlens.dicom.sources import Source, opened, sources
from tumorlens.dicom.uids import is_uid
from tumorlens.errors import InputError, UsageError
from tumorlens.io.atomic import write_bytes, write_json, writing
from tumorlens.io.content import Content
from tumorlens.io.dicom import PIXELS, open_dataset
from tumorlens.io.guard import decoding
from tumorlens.io.limits import DEFAULT, Limits
from tumorlens.pipeline.reporter import Reporter

#: Code of files that are no DICOM; there are such everywhere, so they are no reason to worry.
NO_DICOM = "not_dicom"
_MARK = ".tumorlens-deidentify.json"
_SCHEMA = 1


@dataclass
class Outcome:
    """What became of the files.

    Attributes:
        found: all of them.
        written: now.
        already_there: with the same content, from an earlier run or from a copy.
        left_out: code → how many.
    """

    found: int = 0
    written: int = 0
    already_there: int = 0
    left_out: Counter[str] = field(default_factory=Counter)

    def as_dict(self) -> dict[str, object]:
        """As ``--json`` prints it; names nothing and nobody."""
        return {
            "in": self.found,
            "out": self.written,
            "already_there": self.already_there,
            "left_out": dict(sorted(self.left_out.items())),
        }


def deidentify(
    source: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    key: str | os.PathLike[str] | None = None,
    allow_burned_in: bool = False,
    reporter: Reporter | None = None,
    limits: Limits = DEFAULT,
) -> Outcome:
    """Write DICOM images without identity (PS3.15 Annex E, Basic Application Level Confidentiality Profile).

    Args:
        source: a file, a folder, or a zip archive.
        out: a new or empty folder, or one that was written with the same key.
        key: file of the key; made when it is not there. Without one the key is forgotten when this returns.
        allow_burned_in: also images that may show who the patient is; see :mod:`tumorlens.dicom.exposing`.
        reporter: told of each file that is left out, by its place below ``source``.
        limits: of the files.

    Raises:
        UsageError: ``out`` is not empty, lies within ``source``, or holds the key; no key in the file.
        InputError: ``source`` is not there, or a damaged archive.
        MissingExtraError: without pydicom or dicom-anonymizer.
        EnvironmentFailure: when the disk is full, or may not be written.
    """
    tell = reporter or Reporter()
    table()  # what is missing is said before anything is written
    root, folder = os.fspath(source), Path(out)
    total = sum(1 for _ in sources(root))
    names = _prepare(root, folder, None if key is None else Path(key))
    outcome = Outcome()
    with tell.progress("de-identifying") as progress:
        for found in sources(root):
            outcome.found += 1
            try:
                wrote = _one(found, folder, names, allow_burned_in, limits)
            except InputError as error:
                _leave_out(outcome, tell, found, error.code)
            else:
                outcome.written += wrote is True
                outcome.already_there += wrote is False
                if wrote is None:
                    outcome.left_out[NO_DICOM] += 1
            progress(outcome.found, total)
    return outcome


def _leave_out(outcome: Outcome, tell: Reporter, found: Source, code: str) -> None:
    # The code, not the message: a decoder quotes the bytes that it cannot read, and they may be a name.
    outcome.left_out[code] += 1
    tell.note(f"left out ({code}): {found.name}")


def _one(found: Source, folder: Path, names: Pseudonyms, allow_burned_in: bool, limits: Limits) -> bool | None:
    """Whether a file was written, or was there already; None where it is no DICOM.

    Raises:
        InputError: why it is left out.
    """
    if found.problem:
        raise InputError(found.name, code=found.problem)
    content = opened(found, limits)
    if content is None:
        return None
    place, data = _product(content, names, allow_burned_in, limits)
    path = folder / place
    if not path.exists():
        write_bytes(path, data)
        return True
    with writing(path):
        same = path.read_bytes() == data
    if same:
        return False
    raise InputError(
        "another file has the same SOP Instance UID and other content",
        hint="one of the two is not what it says",
        code="duplicate_id",
    )


def _product(content: Content, names: Pseudonyms, allow_burned_in: bool, limits: Limits) -> tuple[Path, bytes]:
    """A file without identity: its place below the folder, and its bytes."""
    with decoding(content.name, "DICOM"):
        import pydicom

        dataset = open_dataset(content, limits, pixels=True)
        check_image(content, dataset)
        if not allow_burned_in:
            check_exposure(dataset)
        check_pixels(content, dataset)
        made = remove_identity(dataset, names)
        buffer = io.BytesIO()
        pydicom.dcmwrite(buffer, dataset, enforce_file_format=True)
        product = check_product(buffer.getvalue(), made)
        if any(dataset.get(keyword) != product.get(keyword) for keyword in PIXELS):
            raise InputError("the pixels would have changed", code="survived")
        uids = [str(product.get(f"{level}InstanceUID")) for level in ("Study", "Series", "SOP")]
        if not all(map(is_uid, uids)):
            raise InputError("no Study, Series or SOP Instance UID", code="corrupt")
        return Path(uids[0], uids[1], f"{uids[2]}.dcm"), buffer.getvalue()


def _prepare(root: str, folder: Path, key_file: Path | None) -> Pseudonyms:
    """The names to give, and a folder to write to; the key is kept where that was asked for."""
    inside = Path(os.path.realpath(folder))
    if os.path.isdir(root) and inside.is_relative_to(os.path.realpath(root)):
        raise UsageError(f"{folder} lies within {root}", hint="name a folder elsewhere")
    if key_file is not None and Path(os.path.realpath(key_file)).is_relative_to(inside):
        raise UsageError(f"the key {key_file} lies within {folder}", hint="keep it away from what is given to others")
    known = None if key_file is None else read_key(key_file)
    key = known or new_key()
    names = Pseudonyms(key)
    with writing(folder):
        if folder.exists() and not folder.is_dir():
            raise UsageError(f"{folder} is a file", hint="name a folder that is new or empty")
        if folder.exists() and any(folder.iterdir()):
            _check_continued(folder, names)
        folder.mkdir(parents=True, exist_ok=True)
        if key_file is not None:
            if known is None:
                write_key(key_file, key)
            write_json(folder / _MARK, {"schema": _SCHEMA, "key": names.fingerprint})
    return names


def _check_continued(folder: Path, names: Pseudonyms) -> None:
    """Let a folder be written on that was written with the same key, and remove what a killed process left there."""
    try:
        mark = json.loads((folder / _MARK).read_bytes())
    except (OSError, ValueError):
        mark = None
    if not isinstance(mark, dict) or mark.get("schema") != _SCHEMA:
        raise UsageError(
            f"{folder} is not empty",
            hint="name a folder that is new or empty; what was written with --key can be continued with the same key",
        )
    if mark.get("key") != names.fingerprint:
        raise UsageError(f"{folder} was written with another key", hint="name that key, or another folder")
    for part in folder.rglob(".*.part"):
        part.unlink(missing_ok=True)
