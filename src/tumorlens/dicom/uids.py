"""Identifiers: what is one, and those of what is made, the same for the same answer about the same series."""

from __future__ import annotations

import re
import uuid

_OURS = uuid.UUID("6d0f6cde-6f4b-5c0e-9a35-7c2b41c7e8a1")

# Zeros in front of a component are not allowed, and archives are full of them.
_FORM = re.compile(r"0*[0-2](\.[0-9]+)+")
_LONGEST = 64


def is_uid(text: str) -> bool:
    """Whether a text is a UID (PS3.5 9.1), zeros in front of a component let through.

    What is none may be a name, or without any dot the number of a patient, and is not noted down.
    """
    return len(text) <= _LONGEST and bool(_FORM.fullmatch(text))


def uid_of(*parts: str) -> str:
    """A UID derived from text: ``2.25.`` and a UUID as a number (PS3.5 B.2)."""
    return f"2.25.{uuid.uuid5(_OURS, chr(31).join(parts)).int}"
