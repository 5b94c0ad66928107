"""How a place on a DICOMweb server is written, and what may be said of it: UIDs, never what was asked for."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

from tumorlens.data.dicomweb.keys import Key, names_of, read_keys
from tumorlens.errors import UsageError

SCHEME = "dicomweb:"
_UID = r"[0-9]+(?:\.[0-9]+)*"
_FORM = re.compile(
    rf"{SCHEME}(?P<base>https?://[^?#]+?)"
    rf"(?P<all>/studies(?:/(?P<study>{_UID})(?:/series(?:/(?P<series>{_UID})"
    rf"(?:/instances(?:/(?P<instance>{_UID}))?)?)?)?)?)?/*(?:\?(?P<query>[^#]*))?",
    re.IGNORECASE | re.ASCII,
)
_FORMS = (
    f"write {SCHEME}https://host/path?PatientID=…, or {SCHEME}https://host/path/studies/UID, …/series/UID, "
    "…/instances/UID"
)


@dataclass(frozen=True, slots=True)
class Address:
    """A place on a server, and which part of it is wanted.

    Attributes:
        base: of the DICOMweb service, without a slash at its end.
        study: StudyInstanceUID, or empty for all that match.
        series: SeriesInstanceUID, or empty.
        instance: SOPInstanceUID, or empty.
        every: ``/studies`` was written, so every study may match.
        keys: what series, and the studies around them, have to match. Never shown.
    """

    base: str
    study: str = ""
    series: str = ""
    instance: str = ""
    every: bool = False
    keys: tuple[Key, ...] = field(default=(), repr=False)

    @property
    def url(self) -> str:
        """Where it is, without the keys."""
        levels = (("studies", self.study), ("series", self.series), ("instances", self.instance))
        return self.base + "".join(f"/{level}/{uid}" for level, uid in levels if uid)

    @property
    def name(self) -> str:
        """What it is called in answers and messages."""
        return SCHEME + self.url

    def at(self, study: str, series: str = "", instance: str = "") -> Address:
        """The place with these UIDs; the keys stay."""
        return replace(self, study=study, series=series, instance=instance)

    def keys_of(self, level: str) -> tuple[Key, ...]:
        """The keys that ``study`` or ``series`` have to match."""
        return tuple(key for key in self.keys if key.level == level)


def is_address(text: str) -> bool:
    """Whether it is meant as one; ``https://…`` alone is, too, and will be refused as one: it may name a patient."""
    return re.match(rf"{SCHEME}|https?:/", text, re.IGNORECASE) is not None


def is_uid(text: str) -> bool:
    """Whether it is a UID (PS3.5 9.1); zeros in front of a component, which archives have, are let through."""
    return len(text) <= 64 and re.fullmatch(_UID, text, re.ASCII) is not None


def parse(text: str) -> Address:
    """Take an address apart. Nothing is asked yet.

    Raises:
        UsageError: for what is no address, for a password in it, and for a question that every study would answer.
    """
    found = _FORM.fullmatch(text)
    if re.match(rf"{SCHEME}https?://[^/?#]*@", text, re.IGNORECASE) or (found and "@" in found["base"]):
        raise UsageError(
            "the address of the DICOMweb server holds a user or a password, which shell history and logs would keep",
            hint="set TUMORLENS_DICOMWEB_TOKEN, or write the user to ~/.netrc",
        )
    if not found or not _is_base(found["base"]):
        raise UsageError(f"{shown(text)} is no address of a DICOMweb server", hint=_FORMS)
    uids = {level: found[level] or "" for level in ("study", "series", "instance")}
    if not all(is_uid(uid) for uid in uids.values() if uid):
        raise UsageError(f"{shown(text)} holds a UID of more than 64 characters", hint="copy it again")
    address = Address(
        found["base"].rstrip("/"),
        **uids,
        every=bool(found["all"]) and not found["study"],
        keys=read_keys(found["query"] or ""),
    )
    _check_keys(address)
    if address.study or address.every or address.keys_of("study"):
        return address
    if any(key.name != "Modality" for key in address.keys):
        return address
    raise UsageError(
        f"{address.name} would ask for every study of the server",
        hint="add what to look for, for example ?PatientID=… or ?StudyDate=20260131; or, if all is meant, /studies",
    )


def _check_keys(address: Address) -> None:
    if address.study and address.keys_of("study"):
        raise UsageError(
            f"{address.name} is one study; {address.keys_of('study')[0].name} chooses studies",
            hint=f"leave it out, or leave out /studies/UID; series are chosen by {', '.join(names_of('series'))}",
        )
    if address.series and address.keys:
        raise UsageError(f"{address.name} is one series, of which nothing is chosen", hint="leave out what follows ?")


def shown(text: str) -> str:
    """What may be repeated of an input. Of an address nothing of its query, and nothing that may be a password."""
    if not is_address(text):
        return text
    place = re.split(r"[?#]", text, maxsplit=1)[0]
    return f"{SCHEME}…" if re.search(r"[@=&\s]", place) or "@" in text else place


def _is_base(base: str) -> bool:
    """Whether it can be the base of a service; with ``/studies/`` in it, what follows was no UID."""
    if re.search(r"[\s=&\\<>\"\x00-\x1f\x7f]|/studies(/|$)|/\.\.?(/|$)", base):
        return False
    try:
        found = urlsplit(base)
        return bool(found.hostname) and found.port != 0
    except ValueError:  # a port that is no number, half of an IPv6 address
        return False
