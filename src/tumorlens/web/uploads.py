"""The files of a request, as they come in; on disk they have no name."""

from __future__ import annotations

import unicodedata
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

from tumorlens.web.refusals import Refusal, busy, too_large

#: The field of the form that holds the files.
FIELD = "files"
_LONGEST = 255
_KIND = "multipart/form-data"


@asynccontextmanager
async def received(request: Request, most: int) -> AsyncIterator[list[UploadFile]]:
    """The files of the form field ``files``, in order; afterwards they are gone.

    Small ones stay in memory, large ones go to an unnamed temporary file.

    Args:
        request: multipart.
        most: files.

    Raises:
        Refusal: 415 for another kind of body, 422 for a form without files or a damaged one, 413 for too many.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != _KIND:
        found = f"the body is {kind}" if kind else "the request has no body"
        raise Refusal(415, "media_type", f"{found}; expected {_KIND}", f"send the files in the form field {FIELD!r}")
    try:
        form = await request.form(max_files=most + 1, max_fields=16, max_part_size=4096)
    except HTTPException as error:
        if "Too many files" in str(error.detail):
            raise too_large("too many files", f"{most} files") from None
        raise _damaged(str(error.detail)) from None
    except (ValueError, LookupError, UnicodeError) as error:
        raise _damaged(str(error)) from None
    except ClientDisconnect:
        raise Refusal(499, "gone", "the client left before its upload was complete") from None
    except OSError:  # no more files can be open at once, or the disk is full
        raise busy(10) from None
    try:
        files = [item for item in form.getlist(FIELD) if isinstance(item, UploadFile)]
        if not files:
            raise Refusal(
                422,
                "no_files",
                f"the form has no file in the field {FIELD!r}",
                f"send each file as a part named {FIELD!r}, with a file name",
            )
        if len(files) > most:
            raise too_large(f"{len(files)} files", f"{most} files")
        yield files
    finally:
        await form.close()


def _damaged(reason: str) -> Refusal:
    return Refusal(422, "form", f"the form cannot be read: {' '.join(reason.split())[:200]}", "send it again")


def shown_names(files: Sequence[UploadFile]) -> list[str]:
    """What files are called in answers: by the names that the client gave, each once, without what cannot be shown."""
    names: list[str] = []
    taken: set[str] = set()
    for number, file in enumerate(files):
        given = "".join(" " if unicodedata.category(sign)[0] == "C" else sign for sign in file.filename or "")
        name = first = given.strip()[-_LONGEST:] or f"upload{number}"
        again = 2
        while name in taken:
            name, again = f"{first} ({again})", again + 1
        taken.add(name)
        names.append(name)
    return names
