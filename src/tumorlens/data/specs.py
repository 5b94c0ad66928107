"""How a DATA argument is written."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from tumorlens.data.dicomweb.address import is_address
from tumorlens.errors import UsageError
from tumorlens.labels import canonical

# Tables named so are called after their folder.
_EMPTY_NAMES = frozenset({"index", "manifest", "labels", "metadata"})


@dataclass(frozen=True, slots=True)
class Spec:
    """One DATA argument, taken apart.

    Attributes:
        text: as written.
        kind: ``path``, ``mask``, ``kaggle`` or ``phantom``.
        path: the path; ``owner/name[/versions/N]`` of a Kaggle data set; ``N`` or an empty string for the phantom.
        label: the class that everything in it gets, in our spelling, or empty.
        source: name for the manifest's ``source`` column.
    """

    text: str
    kind: str
    path: str
    label: str
    source: str


def parse(text: str) -> Spec:
    """Take a DATA argument apart. Nothing is opened.

    What exists as a path is a path, except for the word ``phantom`` (write ``./phantom`` for a folder of that name).

    Raises:
        UsageError: for ``kaggle:`` and ``phantom:`` that make no sense, and for ``dicomweb:``, which is no data set.
    """
    if text == "phantom" or text.startswith("phantom:"):
        return _phantom(text)
    if text.startswith("kaggle:"):
        return _kaggle(text, text, "")
    if is_address(re.sub(r"^(mask:)?[^=/\\:]*=", "", text)):  # not repeated: it may name a patient
        raise UsageError(
            "a DICOMweb server is no data set: its images have no labels",
            hint="ask about them with tumorlens predict dicomweb:…; to train, fetch and label them first",
        )
    found = None if os.path.exists(text) else re.match(r"(mask:)?([^=/\\]*)=(.+)", text, re.DOTALL)
    if not found:
        return Spec(text, "path", text, "", _base(text))
    masked, label, path = bool(found[1]), canonical(found[2]), found[3]
    if not label:
        raise UsageError(f"{text!r} has no class before the =", hint="write glioma=PATH")
    if path.startswith("kaggle:") and not masked:
        return _kaggle(text, path, label)
    return Spec(text, "mask" if masked else "path", path, label, _base(path))


def _base(path: str) -> str:
    name = os.path.basename(os.path.normpath(path))
    if name in ("", ".", ".."):
        name = os.path.basename(os.path.abspath(path)) or "data"
    stem, suffix = os.path.splitext(name)
    if suffix.lower() in (".csv", ".tsv") and stem.lower() in _EMPTY_NAMES:
        return os.path.basename(os.path.dirname(os.path.abspath(path))) or stem
    return stem if suffix.lower() in (".zip", ".csv", ".tsv", ".npz") and stem else name


def _phantom(text: str) -> Spec:
    count = text.removeprefix("phantom").removeprefix(":")
    if count and not (count.isascii() and count.isdigit() and int(count[:9]) > 0 and len(count) < 9):
        raise UsageError(f"{text!r} does not say how many slices", hint="write phantom or phantom:600")
    return Spec(text, "phantom", count, "", "phantom")


def _kaggle(text: str, path: str, label: str) -> Spec:
    name = re.sub(r"^https?://(www\.)?kaggle\.com/datasets/", "", path.removeprefix("kaggle:").strip().strip("/"))
    if not re.fullmatch(r"[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+(/versions/[0-9]+)?", name) or ".." in name:
        raise UsageError(
            f"{text!r} is no Kaggle data set", hint="write kaggle:owner/name or kaggle:owner/name/versions/N"
        )
    return Spec(text, "kaggle", name, label, "/".join(name.split("/")[:2]))
