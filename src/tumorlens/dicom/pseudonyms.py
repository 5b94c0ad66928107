"""New names for UIDs and patients, from a key: the same for the same, so that references and groups stay true.

Without the key nobody can tell which name became which, nor make the same ones again. With it, and a list of the old
names, anybody can: it is to be kept like the patients' data.
"""

from __future__ import annotations

import hmac
import os
import re
import secrets
import uuid
from pathlib import Path

from tumorlens.errors import UsageError
from tumorlens.io.atomic import writing

_BYTES = 32
_ROOT = "1.2.840.10008."


class Pseudonyms:
    """The names that one key gives.

    Args:
        key: random bytes.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    @property
    def fingerprint(self) -> str:
        """Tells one key from another, and nothing else about it."""
        return self._digest("key", "").hex()[:32]

    def uid(self, old: str) -> str:
        """The UID in the place of another: ``2.25.`` and a UUID as a number (PS3.5 B.2).

        What DICOM itself has registered (under 1.2.840.10008) stays, and so does nothing at all.

        Args:
            old: a UID, or whatever stands in the place of one; its padding does not count.
        """
        old = old.strip("\0 ")
        if not old or well_known(old):
            return old
        return f"2.25.{uuid.UUID(bytes=self._digest('uid', old)[:16], version=4).int}"

    def patient(self, old: str) -> str:
        """The identifier in the place of another: 64 bits, as text; empty where there is none."""
        old = old.strip("\0 ")
        return f"P{self._digest('patient', old).hex()[:16].upper()}" if old else ""

    def _digest(self, what: str, old: str) -> bytes:
        return hmac.digest(self._key, f"{what}\0{old}".encode("utf-8", "backslashreplace"), "sha256")


def well_known(uid: str) -> bool:
    """Whether a UID is one of DICOM's own: a class, a transfer syntax, a coding scheme, an atlas.

    By the list of PS3.6 annex A: some programs make identifiers of images of its root and the time or a patient number.
    """
    from pydicom.uid import UID

    return uid.startswith(_ROOT) and UID(uid, validation_mode=0).name != uid


def new_key() -> bytes:
    """A key that nobody else has."""
    return secrets.token_bytes(_BYTES)


def read_key(file: Path) -> bytes | None:
    """The key in a file, None where there is no such file.

    Raises:
        UsageError: when it cannot be read or holds anything else.
    """
    try:
        with file.open("rb") as opened:
            text = opened.read(4 * _BYTES)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UsageError(
            f"the key {file} cannot be read: {error.strerror}", hint="name a file that you may read"
        ) from None
    if not re.fullmatch(rb"[0-9a-f]{%d}\r?\n?" % (2 * _BYTES), text):
        raise UsageError(
            f"{file} holds no key: expected {2 * _BYTES} hexadecimal digits",
            hint="name a file that is not there yet, and a key is made",
        )
    return bytes.fromhex(text.decode().strip())


def write_key(file: Path, key: bytes) -> None:
    """Keep a key in a new file that its owner alone may read.

    Raises:
        EnvironmentFailure: when it cannot be written, or is there already.
    """
    with writing(file):
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as opened:
            opened.write(f"{key.hex()}\n".encode())
            opened.flush()
            os.fsync(opened.fileno())
