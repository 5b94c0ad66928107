"""From an address to its MR series, one after another, and everything on the way that is none."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from tumorlens.data.dicomweb.address import Address
from tumorlens.data.dicomweb.searching import Match, search
from tumorlens.errors import EnvironmentFailure, InputError, TumorLensError, UsageError
from tumorlens.io.guard import extra
from tumorlens.io.limits import DEFAULT, too_large
from tumorlens.io.remote import Site

#: The environment's name for a bearer token.
TOKEN = "TUMORLENS_DICOMWEB_TOKEN"  # noqa: S105 - its name


@dataclass(frozen=True, slots=True)
class Refused:
    """What cannot be used.

    Attributes:
        name: as in answers.
        error: why.
    """

    name: str
    error: TumorLensError


def connect(address: Address) -> Site:
    """The server of an address, with the token of the environment; without one, with what ``~/.netrc`` says.

    Raises:
        MissingExtraError: without requests.
        UsageError: for a token that is none; for a token or a password that would travel readable.
    """
    with extra("requests", "dicom"):
        from requests.utils import get_netrc_auth
    token = os.environ.get(TOKEN, "").strip()
    if token and not re.fullmatch(r"[\x21-\x7e]+", token):
        raise UsageError(f"{TOKEN} is no token: it holds a space or a letter beyond ASCII", hint="set it again")
    found = urlsplit(address.base)
    here = _is_here(found.hostname or "")
    if found.scheme.lower() != "https" and not here and (token or get_netrc_auth(address.base)):
        raise UsageError(
            f"{TOKEN if token else '~/.netrc'} has a secret for this server, and over http:// everybody on the way "
            "could read it",
            hint="write https://, or remove it",
        )
    return Site(token, direct=here)


def walk(site: Site, address: Address) -> Iterator[Address | Refused]:
    """The MR series of an address, and what is refused on the way; ends when the server cannot be reached any more.

    What is one series, or an instance, is not asked for: it is itself.
    """
    nothing = True
    try:
        for found in _series_of(site, address):
            nothing = False
            yield found
        if nothing:
            raise _nothing(address)
    except (EnvironmentFailure, InputError) as error:
        yield Refused(address.name, error)


def instances(site: Site, at: Address) -> tuple[list[Address], list[InputError]]:
    """The instances of a series in the order of their numbers, and what cannot be used of the server's list.

    Raises:
        EnvironmentFailure, InputError: as :func:`tumorlens.data.dicomweb.searching.search`; ``not_found`` when there
            is none; ``too_large`` for more than a volume may have frames.
    """
    if at.instance:
        return [at], []
    found, wrong = search(site, at, "instances")
    if not found and not wrong:
        raise _nothing(at)
    if len(found) > DEFAULT.frames:
        raise too_large(at.name, f"{len(found)} instances", f"{DEFAULT.frames} instances")
    return [one.at for one in sorted(found, key=lambda one: (one.number, one.at.instance))], wrong


def _series_of(site: Site, address: Address) -> Iterator[Address | Refused]:
    if address.series:  # whether it is MR its instances say themselves
        yield address
        return
    if address.study or (address.keys_of("series") and not address.keys_of("study") and not address.every):
        yield from _chosen(site, address)
        return
    studies, wrong = search(site, address, "studies", address.keys_of("study"))
    yield from (Refused(address.name, error) for error in wrong)
    for study in studies:
        try:
            yield from _chosen(site, study.at)
        except InputError as error:
            yield Refused(study.at.name, error)


def _chosen(site: Site, at: Address) -> Iterator[Address | Refused]:
    """The series of a study, or of all studies, that match the keys."""
    keys = at.keys_of("series")
    found, wrong = search(site, at, "series", keys)
    if not found and not wrong and not keys:  # of a study that matches, no series need match
        raise _nothing(at)
    yield from (Refused(at.name, error) for error in wrong)
    for series in found:
        yield _mr(series)


def _mr(series: Match) -> Address | Refused:
    if series.modality in ("", "MR"):  # without one, the header of each instance decides
        return series.at
    what = series.modality if re.fullmatch(r"[A-Z0-9_]{1,16}", series.modality) else "something else"
    error = InputError(
        f"{series.at.name} is no MR series: the server says {what}",
        hint="ask with ?Modality=MR to leave out other series",
        code="not_mr",
    )
    return Refused(series.at.name, error)


def _nothing(at: Address) -> InputError:
    if at.study and not at.keys:
        return InputError(f"{at.name}: the server has nothing there", hint="check the UIDs", code="not_found")
    return InputError(
        f"{at.name}: no MR series on the server matches the query",
        hint="check the values; they match as a whole unless they end in *",
        code="not_found",
    )


def _is_here(host: str) -> bool:
    return host == "localhost" or host == "::1" or re.fullmatch(r"127(\.[0-9]+){3}", host) is not None
