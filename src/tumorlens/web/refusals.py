"""Requests that are not answered, and why: one JSON body for all of them."""

from __future__ import annotations

from starlette.responses import JSONResponse


class Refusal(Exception):
    """A request that is turned away.

    Attributes:
        status: HTTP status.
        code: short stable name.
        message: what was found and what was expected.
        hint: what to do.
        headers: further ones of the answer.
    """

    def __init__(
        self, status: int, code: str, message: str, hint: str = "", headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.hint = status, code, message, hint
        self.headers = headers or {}

    def response(self) -> JSONResponse:
        """As HTTP: ``{"error": {"code", "message", "hint"}}``."""
        told = {"code": self.code, "message": self.message, "hint": self.hint}
        return JSONResponse({"error": told}, self.status, headers=self.headers)


def busy(seconds: int = 1) -> Refusal:
    """For when the queue is full, or the server is about to stop."""
    return Refusal(
        503,
        "busy",
        "the server has as much work as it takes at once",
        "send the request again after the seconds that Retry-After names",
        {"Retry-After": str(seconds)},
    )


def too_large(found: str, limit: str) -> Refusal:
    """For an upload above a limit."""
    return Refusal(413, "too_large", f"the upload has {found}; the limit is {limit}", "send it in smaller parts")
