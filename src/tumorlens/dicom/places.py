"""Where results go to, as it is written: ``AE@host:port``, or the address of a DICOMweb server."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tumorlens.errors import UsageError

_AE = re.compile(r"([^@\\\x00-\x1f]{1,16})@([^@:\s]+|\[[0-9a-fA-F:]+\]):(\d{1,5})")


@dataclass(frozen=True)
class Peer:
    """An application entity.

    Attributes:
        title: AE title.
        host: address.
        port: likewise.
    """

    title: str
    host: str
    port: int


def title(text: str) -> str:
    """An AE title without what pads it.

    Raises:
        UsageError: when it is none (PS3.5 6.2, AE).
    """
    if not re.fullmatch(r"[\x20-\x5b\x5d-\x7e]{1,16}", text) or not text.strip():
        raise UsageError(
            f"{text!r} is no AE title", hint="1 to 16 ASCII characters without a backslash (PS3.5 6.2, AE)"
        )
    return text.strip()


def place(text: str) -> Peer | str:
    """What a destination means: a peer, or the base of a DICOMweb server.

    Raises:
        UsageError: for anything else.
    """
    if re.match(r"https?://", text):
        return text.rstrip("/")
    found = _AE.fullmatch(text)
    if not found or not 0 < int(found[3]) < 65_536 or not found[1].strip():
        raise UsageError(
            f"{text!r} is no destination", hint="write AE@host:port, for example ARCHIVE@10.0.0.5:104, or https://…"
        )
    return Peer(found[1].strip(), found[2].strip("[]"), int(found[3]))
