"""A list of paths on stdin, one per line."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from typing import BinaryIO

from tumorlens.errors import UsageError

_TEXT = frozenset({*b"\t\n\r\f", *range(32, 256)})


def check_list(stream: BinaryIO) -> None:
    """Look at the beginning of stdin without reading it.

    Raises:
        UsageError: when it is no text, such as an image that was piped in.
    """
    head = stream.peek(1024)[:1024] if isinstance(stream, io.BufferedReader) else b""
    if not _TEXT.issuperset(head):
        raise _no_list()


def listed(stream: BinaryIO) -> Iterator[str]:
    """The paths, without the spaces around them and without empty lines.

    Raises:
        UsageError: when a line cannot be one.
    """
    for line in stream:
        if b"\0" in line:
            raise _no_list()
        path = os.fsdecode(line.strip())
        if path:
            yield path


def _no_list() -> UsageError:
    return UsageError(
        "stdin holds no text; - takes a list of paths, one per line",
        hint="give an image by its path: tumorlens predict FILE",
    )
