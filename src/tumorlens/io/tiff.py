"""The number of pages of a TIFF, from its chain of directories alone.

Pillow reads every tag of a page to find the next one, and compares that with all pages before it: hours for a file of
some megabytes that is made for it. Here a page costs a few bytes, and pages beyond the limit are not looked for.
TIFF revision 6.0, section 2; BigTIFF (43 in the place of 42) has 64-bit offsets and counts.
"""

from __future__ import annotations

import struct

from tumorlens.io import header
from tumorlens.io.limits import Limits, too_large


def pages(name: str, data: bytes, limits: Limits) -> int:
    """How many directories hang one behind the other.

    A directory that runs past the end of the file is the last one: what it lacks is seen when its page is decoded.

    Args:
        name: of the file, for messages.
        data: all of it, beginning with a TIFF or BigTIFF signature.
        limits: no more pages than its ``frames`` are looked for.

    Raises:
        InputError: ``too_large``; ``truncated`` where the chain leaves the file; ``corrupt`` where it runs in a circle
            or its directories overlap, which makes every page cost as much as the whole file.
    """
    order = "<" if data[:2] == b"II" else ">"
    big = data[2:4] in (b"+\0", b"\0+")
    number, pointer, entry = ("Q", "Q", 20) if big else ("H", "L", 12)
    seen: set[int] = set()
    used = 0
    at = _number(data, order + pointer, 8 if big else 4)
    while at:
        if at in seen:
            raise header.corrupt(name, "TIFF", "its pages run in a circle")
        entries = _number(data, order + number, at)
        if entries is None:
            raise header.truncated(name, "TIFF")
        seen.add(at)
        if len(seen) > limits.frames:
            raise too_large(name, f"more than {limits.frames} frames", f"{limits.frames} frames")
        end = at + struct.calcsize(f"={number}") + entries * entry
        used += end - at
        at = _number(data, order + pointer, end)
        if at is not None and used > len(data):
            raise header.corrupt(name, "TIFF", "the directories of its pages overlap")
    return len(seen)


def _number(data: bytes, kind: str, at: int) -> int | None:
    """The number of ``kind`` (as ``struct`` has it) at byte ``at``, or None where the file has ended."""
    if at + struct.calcsize(kind) > len(data):
        return None
    return int(struct.unpack_from(kind, data, at)[0])
