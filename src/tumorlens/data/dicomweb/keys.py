"""The matching keys of a query (PS3.18 10.6.1.2), and whether what a server found really matches them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from urllib.parse import unquote

from tumorlens.errors import UsageError

# Keyword → (tag, level, how its values are compared). A key that a server does not know it ignores (PS3.18 8.3.4.1),
# and then it finds everything: so only these are sent, and what comes back is compared where that can be done.
_KEYS = {
    "PatientID": ("00100020", "study", "text"),
    "PatientName": ("00100010", "study", "name"),
    "PatientBirthDate": ("00100030", "study", "date"),
    "PatientSex": ("00100040", "study", "text"),
    "IssuerOfPatientID": ("00100021", "study", "text"),
    "StudyInstanceUID": ("0020000D", "study", "uid"),
    "StudyDate": ("00080020", "study", "date"),
    "StudyTime": ("00080030", "study", ""),
    "StudyID": ("00200010", "study", "text"),
    "StudyDescription": ("00081030", "study", "text"),
    "AccessionNumber": ("00080050", "study", "text"),
    "ModalitiesInStudy": ("00080061", "study", "text"),
    "ReferringPhysicianName": ("00080090", "study", "name"),
    "Modality": ("00080060", "series", "text"),
    "SeriesInstanceUID": ("0020000E", "series", "uid"),
    "SeriesNumber": ("00200011", "series", "text"),
    "SeriesDescription": ("0008103E", "series", "text"),
    "BodyPartExamined": ("00180015", "series", "text"),
    "ProtocolName": ("00181030", "series", "text"),
    "PerformedProcedureStepStartDate": ("00400244", "series", "date"),
    "PerformedProcedureStepStartTime": ("00400245", "series", ""),
}
_BY_TAG = {tag: name for name, (tag, _, _) in _KEYS.items()}
_DATE = re.compile(r"[0-9]{8}|[0-9]{8}-(?:[0-9]{8})?|-[0-9]{8}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Key:
    """One matching key.

    Attributes:
        name: its keyword.
        value: what is looked for; may name a patient, and is never shown.
    """

    name: str
    value: str = field(repr=False)

    @property
    def tag(self) -> str:
        """Eight hexadecimal digits, as in DICOM JSON."""
        return _KEYS[self.name][0]

    @property
    def level(self) -> str:
        """``study`` or ``series``."""
        return _KEYS[self.name][1]

    def matches(self, found: Sequence[str]) -> bool:
        """Whether one of the values that a server gives matches (PS3.4 C.2.2.2); True where that cannot be told."""
        how = _KEYS[self.name][2]
        if how == "uid":
            return bool(set(found) & set(re.split(r"[,\\]", self.value)))
        if how == "date":
            first, dash, last = self.value.partition("-")
            days = [day.replace(".", "").replace("-", "") for day in found]
            return any((first or "0") <= day <= (last or "9") if dash else day == first for day in days)
        if how == "text":
            return any(_is_like(_plain(self.value), _plain(text)) for text in found)
        if how == "name" and found and "=" not in self.value:
            return any(_is_name(_name(self.value), _name(text)) for text in found)
        return True


def names_of(level: str) -> list[str]:
    """The keys that choose studies, or series."""
    return [name for name, (_, of, _) in _KEYS.items() if of == level]


def read_keys(query: str) -> tuple[Key, ...]:
    """The keys behind the ``?`` of an address; percent-encoded or not, by keyword or by tag.

    Raises:
        UsageError: for a key that is unknown, named twice, empty, or that matches whatever there is.
    """
    found: dict[str, Key] = {}
    for part in filter(None, query.split("&")):
        given, _, value = part.partition("=")
        name, value = _keyword(unquote(given)), unquote(value).strip()
        if name in found:
            raise UsageError(f"{name} is asked for twice", hint="ask once for each, or with * and ?")
        if not value.strip("*"):
            raise UsageError(
                f"{name} has no value, so every study would match",
                hint="is a variable of the shell empty? Where all are meant, leave the key out and write /studies",
            )
        _check_value(name, value)
        found[name] = Key(name, value)
    return tuple(found.values())


def _keyword(given: str) -> str:
    known = {name.lower(): name for name in _KEYS}
    name = known.get(given.lower()) or _BY_TAG.get(given.upper())
    if name is None:
        # Not repeated: it may be a value whose & or = was not encoded.
        raise UsageError(
            "the query holds a key that is not known",
            hint=f"studies are chosen by {', '.join(names_of('study'))}; series by {', '.join(names_of('series'))}; "
            "write & in a value as %26",
        )
    return name


def _check_value(name: str, value: str) -> None:
    if len(value) > 1024 or any(ord(character) < 32 or ord(character) == 127 for character in value):
        raise UsageError(f"{name} has a value that no server can match", hint="it is too long, or holds a line break")
    how = _KEYS[name][2]
    if how == "date" and not _DATE.fullmatch(value):
        raise UsageError(
            f"{name} is no date", hint="write YYYYMMDD, or a range: 20260101-20260131, 20260101-, -20260131"
        )
    if how == "uid" and not re.fullmatch(r"[0-9.]{1,64}(?:[,\\][0-9.]{1,64})*", value, re.ASCII):
        raise UsageError(f"{name} is no UID", hint="a UID has digits and dots only; several are separated by commas")
    if name == "Modality" and value.upper() != "MR":
        raise UsageError("Modality asks for something else than MR", hint="only MR is judged: leave it out")


def _is_like(asked: str, found: str) -> bool:
    """Whether a text matches; in time that grows with its length, which the server chooses."""
    return fnmatchcase(found, asked.replace("[", "[[]"))


def _is_name(asked: str, found: str) -> bool:
    """Likewise for a name: servers compare all of it, or only the family name."""
    return _is_like(asked, found) or _is_like(asked.partition("^")[0], found.partition("^")[0])


def _name(text: str) -> str:
    """A name without what servers do not distinguish: case, accents, empty parts at the end."""
    apart = unicodedata.normalize("NFKD", text.partition("=")[0]).casefold()
    return "".join(c for c in apart if not unicodedata.combining(c)).rstrip("^ ")


def _plain(text: str) -> str:
    text = text.strip().casefold()
    return str(int(text)) if text.isascii() and text.isdigit() and len(text) < 19 else text
