"""One thing that was checked, and the comparison of a document with the same made again."""

from __future__ import annotations

import json
import math
import reprlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tumorlens.errors import DataError
from tumorlens.io.atomic import json_bytes
from tumorlens.pipeline.verifying import earlier

#: Of a score: the order of a sum may differ between machines, nothing else may.
CLOSE = 1e-9
SHOWN = 5
#: Of a document that is damaged, in the code that reads it.
LACKING = (KeyError, TypeError, ValueError, IndexError, AttributeError, DataError)
_ABSENT = object()
_short = reprlib.Repr()
_short.maxother = _short.maxstring = 60


@dataclass(frozen=True)
class Check:
    """One thing that was checked.

    Attributes:
        name: what.
        ok: whether it holds; None where it could not be checked, or not as far as was asked for.
        detail: how much was compared, or what differs, or why it was not checked.
    """

    name: str
    ok: bool | None
    detail: str

    def as_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {"name": self.name, "ok": self.ok, "detail": self.detail}


def of_wrong(name: str, wrong: Sequence[str], right: str) -> Check:
    """A check that holds where nothing is wrong.

    Args:
        name: of the check.
        wrong: what is, in words; the first few are told.
        right: how much was compared.
    """
    if not wrong:
        return Check(name, True, right)
    more = f" and {len(wrong) - SHOWN} more" if len(wrong) > SHOWN else ""
    return Check(name, False, "; ".join(wrong[:SHOWN]) + more)


def attempted(name: str, check: Callable[[], Check]) -> Check:
    """A check that fails where what it reads is damaged."""
    try:
        return check()
    except LACKING as error:
        return of_damaged(name, error)


def of_damaged(name: str, error: Exception) -> Check:
    """A check that fails because what it reads is damaged.

    Args:
        name: of the check.
        error: one of :data:`LACKING`.
    """
    reason = error.message if isinstance(error, DataError) else f"{type(error).__name__}: {error}"
    return Check(name, False, f"what it is made from is damaged: {reason}")


def compared(
    name: str, again: Mapping[str, Any], stored: Mapping[str, Any], *, whole: bool = False, within: float = CLOSE
) -> Check:
    """Whether a document says what was recomputed.

    A key that is missing differs, as does one too many; but for the scores that documents of earlier versions lack
    (:func:`tumorlens.pipeline.verifying.earlier.later`), and only where such a document lacks all that came with them.

    Args:
        name: of the check.
        again: what was recomputed.
        stored: the document.
        whole: whether it must hold nothing else.
        within: how far numbers may differ, as such and relatively.
    """
    fresh = json.loads(json_bytes(again))
    other = stored if whole else {key: stored[key] for key in fresh if key in stored}
    pairs = list(_pairs(fresh, other))
    claimed = {earlier.later(path) for path, made, found in pairs if _ABSENT not in (made, found)} | {None}
    allowed = {path for path, _, found in pairs if found is _ABSENT and earlier.later(path) not in claimed}
    wrong = [
        _sentence(path, made, found)
        for path, made, found in pairs
        if path not in allowed and not _equal(made, found, within)
    ]
    note = f"; {earlier.NOTE}: {len(allowed)} later ones are not claimed" if allowed else ""
    return of_wrong(name, wrong, f"{len(pairs) - len(allowed)} numbers{note}")


def _sentence(path: str, made: Any, found: Any) -> str:
    if found is _ABSENT:
        return f"{path} is missing"
    if made is _ABSENT:
        return f"{path} is {_short.repr(found)}, which follows from nothing"
    return f"{path} is {_short.repr(found)}, recomputed {_short.repr(made)}"


def _pairs(one: Any, other: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """The leaves of two documents, side by side; a part that only one of them has, as a whole."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        for key in sorted({*one, *other}):
            yield from _pairs(one.get(key, _ABSENT), other.get(key, _ABSENT), f"{path}.{key}" if path else str(key))
    elif _listed(one) and _listed(other) and len(one) == len(other):
        for i, (a, b) in enumerate(zip(one, other, strict=True)):
            yield from _pairs(a, b, f"{path}[{i}]")
    else:
        yield path, one, other


def _listed(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _equal(one: Any, other: Any, within: float) -> bool:
    if isinstance(one, float) or isinstance(other, float):
        numbers = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in (one, other))
        return numbers and math.isclose(one, other, rel_tol=within, abs_tol=within)
    return bool(one == other)
