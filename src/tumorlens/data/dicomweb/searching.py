"""QIDO-RS: what a server finds, page by page (PS3.18 10.6); nothing of its answer is believed unchecked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import msgspec

from tumorlens.data.dicomweb.address import Address, is_uid
from tumorlens.data.dicomweb.keys import Key
from tumorlens.errors import InputError
from tumorlens.io.limits import DEFAULT, too_large
from tumorlens.io.remote import WHERE, Site

_STUDY, _SERIES, _INSTANCE, _MODALITY, _NUMBER = "0020000D", "0020000E", "00080018", "00080060", "00200013"
#: Matches of one page.
PAGE = 200
# Servers send some kilobytes for a match. In memory JSON may take dozens of times its length.
_JSON_BYTES = 8 << 20
_TYPES = ("application/dicom+json", "application/json")


class _Element(msgspec.Struct):
    """An attribute in the DICOM JSON model (PS3.18 F.2.2); what is no value (sequences, bulk data) is left out."""

    Value: list[Any] | None = None


_Row = dict[str, msgspec.Raw]
_ROWS = msgspec.json.Decoder(list[msgspec.Raw])
_ROW = msgspec.json.Decoder(_Row)
_ELEMENT = msgspec.json.Decoder(_Element)
_BROKEN = (msgspec.MsgspecError, ValueError, OverflowError, RecursionError)


@dataclass(frozen=True, slots=True)
class Match:
    """What is kept of a match: nothing that a server can make as long as it likes.

    Attributes:
        at: the study, series or instance.
        modality: in upper case; empty where the server does not say.
        number: Instance Number; infinite where the server does not say.
    """

    at: Address
    modality: str = ""
    number: float = float("inf")


def search(site: Site, at: Address, what: str, keys: Sequence[Key] = ()) -> tuple[list[Match], list[InputError]]:
    """Everything that matches.

    Args:
        site: the server.
        at: of which what is looked for is a part.
        what: ``studies``, ``series``, ``instances``.
        keys: to match.

    Returns:
        Different matches in the server's order; and ``bad_answer`` for what cannot be one, each kind of fault once.

    Raises:
        EnvironmentFailure: ``unreachable``, ``busy``, ``no_permission``.
        InputError: ``bad_answer`` when the server does not answer as PS3.18 has it; ``too_large`` for more than a
            million matches; ``no_permission``, ``not_found``.
    """
    found: dict[Address, Match] = {}
    wrong: dict[str, InputError] = {}
    offset = 0
    while True:
        before = len(found)
        rows = _page(site, at, what, keys, offset)
        offset += len(rows)
        for row in rows:
            try:
                match = _match(_ROW.decode(row), at, what, keys)
                found.setdefault(match.at, match)
            except _BROKEN:
                wrong.setdefault("", _bad(at.name, "a match is no DICOM JSON"))
            except InputError as error:
                wrong.setdefault(error.message, error)
        # A server may send fewer than were asked for though there are more; one that knows no pages repeats itself.
        if len(found) == before:
            return list(found.values()), list(wrong.values())
        if len(found) > DEFAULT.members:
            raise too_large(at.name, f"more than {DEFAULT.members} matches", f"{DEFAULT.members}")


def _page(site: Site, at: Address, what: str, keys: Sequence[Key], offset: int) -> list[msgspec.Raw]:
    asked = [f"{key.name}={quote(key.value, safe='*,')}" for key in keys]
    query = "&".join([*asked, f"limit={PAGE}", f"offset={offset}"])
    reply = site.get(f"{at.url}/{what}?{query}", at.name, accept=_TYPES[0], most=_JSON_BYTES)
    if not reply.body.strip():
        return []
    if reply.media_type not in _TYPES:
        raise _bad(at.name, "the server answers, but not with DICOM JSON")
    try:
        return _ROWS.decode(reply.body)
    except _BROKEN:
        raise _bad(at.name, "the answer to the query is no DICOM JSON") from None


def _match(row: _Row, at: Address, what: str, keys: Sequence[Key]) -> Match:
    for key in keys:
        # Of an attribute that the server does not send nothing can be told.
        if key.tag in row and not key.matches(_values(row, key.tag)):
            raise InputError(
                f"{at.name}: the server finds what was not asked for: {key.name} differs",
                hint=f"it is left out; the server may not be able to search by {key.name}: ask by another key",
                code="bad_answer",
            )
    study = at.study or _uid(row, _STUDY, at)
    series = at.series or (_uid(row, _SERIES, at) if what != "studies" else "")
    found = at.at(study, series, _uid(row, _INSTANCE, at) if what == "instances" else "")
    number = _first(row, _NUMBER)
    return Match(found, _first(row, _MODALITY).upper()[:16], float(number) if number.isdecimal() else float("inf"))


def _uid(row: _Row, tag: str, at: Address) -> str:
    found = _first(row, tag)
    if not is_uid(found):
        raise _bad(at.name, "the server sends something as a UID that is none")
    return found


def _first(row: _Row, tag: str) -> str:
    return next(iter(_values(row, tag)), "")


def _values(row: _Row, tag: str) -> list[str]:
    """The values of an attribute as text, without what pads it; each way that a name is written counts as a value."""
    found: list[str] = []
    for value in (_ELEMENT.decode(row[tag]).Value or ()) if tag in row else ():
        several = value.values() if isinstance(value, dict) else [value]
        found += [str(one).strip("\0 ") for one in several if isinstance(one, (str, int, float))]
    return found


def _bad(name: str, found: str) -> InputError:
    return InputError(f"{name}: {found}", hint=WHERE, code="bad_answer")
