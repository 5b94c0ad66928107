"""The border to third-party decoders: nothing they raise, warn or print gets past it."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import sys
import threading
import warnings
from collections.abc import Iterator

from tumorlens.errors import InputError, MissingExtraError, TumorLensError

_lock = threading.Lock()
_depth = 0
_saved: warnings.catch_warnings[None] | None = None

# Without a handler of its own a library's warning goes to stderr through logging's handler of last resort.
for _name in ("pydicom", "pylibjpeg", "openjpeg", "nibabel", "nibabel.global", "PIL", "h5py"):
    logging.getLogger(_name).addHandler(logging.NullHandler())

_QUOTED = re.compile(r"['\"].*['\"]", re.DOTALL)  # to the last quote: a name may hold one


def _unnamed(record: logging.LogRecord) -> bool:
    """Keep a message without what it quotes: pydicom repeats values that are not allowed, and one may be a name."""
    record.msg, record.args = _QUOTED.sub("'…'", record.getMessage()), None
    return True


logging.getLogger("pydicom").addFilter(_unnamed)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Ignore Python warnings; the first thread in saves the filters and the last one out restores them.

    ``warnings.catch_warnings`` alone is not safe with threads: two of them interleaved can leave the wrong filters.
    """
    global _depth, _saved
    with _lock:
        _depth += 1
        if _depth == 1:
            _saved = warnings.catch_warnings()
            _saved.__enter__()
            warnings.simplefilter("ignore")
    try:
        yield
    finally:
        with _lock:
            _depth -= 1
            if _depth == 0 and _saved is not None:
                _saved.__exit__(None, None, None)
                _saved = None


@contextlib.contextmanager
def decoding(name: str, kind: str) -> Iterator[None]:
    """Turn whatever a decoder raises on hostile bytes into one :class:`InputError`.

    Args:
        name: the file as the user knows it.
        kind: what it is being read as, for the message (``JPEG``, ``DICOM``, …).
    """
    with quiet():
        try:
            yield
        except TumorLensError:
            raise
        except MemoryError as error:
            raise InputError(
                f"{name} needs more memory than this machine has free",
                hint="close other programs or use a smaller file",
                code="too_large",
            ) from error
        except Exception as error:  # a decoder on hostile bytes may raise anything at all
            reason = " ".join(_QUOTED.sub("'…'", str(error)).split())[:200] or type(error).__name__
            raise InputError(
                f"{name} cannot be read as {kind}: {reason}",
                hint="the file is damaged or not what its name says; export it again",
                code="corrupt",
            ) from error


@contextlib.contextmanager
def extra(package: str, name: str) -> Iterator[None]:
    """Turn a missing optional package into :class:`MissingExtraError`."""
    try:
        yield
    except ImportError as error:
        raise MissingExtraError(package, name) from error


@contextlib.contextmanager
def silent_stderr() -> Iterator[None]:
    """Send file descriptor 2 to nowhere while C code runs that prints there (libjpeg, libpng inside OpenCV).

    The descriptor belongs to the whole process, so this is done only while no other Python thread exists that could
    lose a message; with threads such a line may get through, the result is the same.
    """
    if threading.active_count() > 1:
        yield
        return
    try:
        if sys.stderr is not None:
            sys.stderr.flush()
        saved = os.dup(2)
    except (OSError, ValueError):  # no stderr at all (a service): nothing can be printed
        yield
        return
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 2)
        os.close(nowhere)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
