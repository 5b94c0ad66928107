"""One error family. Every error carries a stable code, what to do next, and the exit code of the command line."""

from __future__ import annotations

from typing import Any


class TumorLensError(Exception):
    """Base of every error this package raises on purpose.

    Attributes:
        code: short stable name, used in JSON answers.
        message: what was found and what was expected.
        hint: what to do about it; may be empty.
        exit_code: what the command line exits with when this error ends a command.
    """

    code = "error"
    exit_code = 4

    def __init__(self, message: str, *, hint: str = "", code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        if code is not None:
            self.code = code

    def __str__(self) -> str:
        """The message and, in brackets, what to do: all that a Python user sees under a traceback."""
        return f"{self.message} ({self.hint})" if self.hint else self.message

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the whole error: it may have to travel from another process."""
        return again, (type(self), self.message, self.hint, self.code)

    def as_dict(self) -> dict[str, str]:
        """The error as the contract's ``{"code", "message", "hint"}``."""
        return {"code": self.code, "message": self.message, "hint": self.hint}


def again(kind: type[TumorLensError], message: str, hint: str, code: str) -> TumorLensError:
    """An error of a kind, as it was in another process; kinds may be made in other ways than the family."""
    error = kind.__new__(kind, message)
    TumorLensError.__init__(error, message, hint=hint, code=code)
    return error


class UsageError(TumorLensError):
    """A wrong option, argument or call."""

    code = "usage"
    exit_code = 2


class ConfigError(UsageError):
    """A setting that does not exist or a value it cannot have."""

    code = "config"


class MissingExtraError(UsageError):
    """A feature whose optional dependency is not installed."""

    code = "missing_extra"

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(
            f"this needs {package}, which is not installed",
            hint=f"install it with: pip install 'tumorlens[{extra}]'",
        )


class InputError(TumorLensError):
    """One input (file, member, frame) that cannot be used.

    Codes: ``not_found``, ``empty``, ``truncated``, ``corrupt``, ``not_an_image``, ``unsupported``, ``too_large``,
    ``no_permission``, ``not_mr``, ``not_head``, ``localiser``, ``mask``, ``bad_answer``, ``busy``.
    """

    code = "corrupt"
    exit_code = 3


class DataError(TumorLensError):
    """A data set that cannot be used as a whole (nothing in it, one class only, a class left empty)."""

    code = "data"
    exit_code = 3


class ModelError(TumorLensError):
    """A bundle that is missing, damaged, or of an unknown schema version."""

    code = "model"
    exit_code = 3


class EnvironmentFailure(TumorLensError):
    """The machine refused: disk full, no permission to write, no such device; or a server cannot be asked."""

    code = "environment"
    exit_code = 4


class Interrupted(TumorLensError):
    """The user asked to stop; what was done so far is kept."""

    code = "interrupted"
    exit_code = 130
