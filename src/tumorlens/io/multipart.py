"""The one DICOM file in an answer of WADO-RS, which comes as ``multipart/related`` (PS3.18 8.6.1.2.1)."""

from __future__ import annotations

import re

from tumorlens.errors import InputError
from tumorlens.io.remote import Reply

_BOUNDARY = re.compile(r';\s*boundary=(?:"([^"]{1,256})"|([^\s";,]{1,256})(?=[\s;]|$))', re.IGNORECASE)
_END = b"\r\n\r\n"


def only_part(reply: Reply, name: str) -> bytes:
    """The file in an answer that holds one.

    A bare ``application/dicom`` is taken, too: some servers send an instance without a wrapping.

    Raises:
        InputError: ``bad_answer`` for another type, a broken wrapping, none or several files in it.
    """
    kind = reply.media_type
    if kind == "application/dicom":
        return reply.body
    if kind != "multipart/related":
        raise _bad(name, "the answer is no DICOM: its type is neither multipart/related nor application/dicom")
    found = _BOUNDARY.search(reply.kind)
    if not found:
        raise _bad(name, "the answer does not say where its parts begin")
    return _content(reply.body, b"--" + (found[1] or found[2]).encode("latin-1", "replace"), name)


def _content(body: bytes, mark: bytes, name: str) -> bytes:
    # What stands before the first mark means nothing (RFC 2046 5.1.1); a mark begins a line.
    start = 0 if body.startswith(mark) else body.find(b"\r\n" + mark)
    head = body.find(_END, start) if start >= 0 else -1
    end = body.find(b"\r\n" + mark, head + 2) if head >= 0 else -1
    if end < 0:
        raise _bad(name, "the answer is cut off: its only part does not end")
    if not body.startswith(b"--", end + 2 + len(mark)):
        raise _bad(name, "the answer has several parts; one instance was asked for")
    return body[head + len(_END) : end]


def _bad(name: str, found: str) -> InputError:
    return InputError(
        f"{name}: {found}", hint="look at the server's log; this is no answer of WADO-RS", code="bad_answer"
    )
