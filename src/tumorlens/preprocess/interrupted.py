"""What becomes of work that is under way when a person stops the program."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import Future
from typing import TypeVar

Result = TypeVar("Result")


def finished(futures: Iterable[Future[Result]]) -> list[Result]:
    """The results that there are, in order: what has not begun is called off, what has begun is waited for.

    For the moment after Ctrl-C, when something else is raised already; work that failed is left out.
    """
    waiting = [future for future in futures if not future.cancel()]
    return [future.result() for future in waiting if future.exception() is None]
