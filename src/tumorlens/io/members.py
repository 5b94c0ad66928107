"""The members of a zip archive by path, for those who make a data set of it."""

from __future__ import annotations

from tumorlens.io import archive
from tumorlens.io.archive import Member
from tumorlens.io.files import find
from tumorlens.io.limits import DEFAULT, Limits


def members(path: str, *, limits: Limits = DEFAULT) -> list[Member]:
    """Every file in a zip archive, in its order; unusable ones carry their ``problem``.

    Raises:
        InputError: when it is no zip archive, or damaged.
    """
    content, _kind = find(path, limits)
    return archive.members(content, limits)
