"""How many requests are in work at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tumorlens.web.refusals import busy


class Admission:
    """Counts the requests in work, and refuses those above the limit. For one event loop.

    Args:
        most: requests at once.
        changed: told 1 when a request comes in, and -1 when it is done.
    """

    def __init__(self, most: int, changed: Callable[[int], None] = lambda _: None) -> None:
        self._most, self._changed = most, changed
        self.inside = 0

    @property
    def open(self) -> bool:
        """Whether another request would be taken."""
        return self.inside < self._most

    @contextmanager
    def one(self) -> Iterator[None]:
        """Inside, a request is in work.

        Raises:
            Refusal: 503, when there are as many as there may be.
        """
        if not self.open:
            raise busy()
        self.inside += 1
        self._changed(1)
        try:
            yield
        finally:
            self.inside -= 1
            self._changed(-1)
