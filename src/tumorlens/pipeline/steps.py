"""A progress bar for each step of work that names its steps as it goes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from types import TracebackType

from tumorlens.pipeline.reporter import Reporter


class Steps:
    """Call it with (step, done, total): a new step ends the bar of the last one and begins its own.

    Use it in a ``with`` statement, whose end takes the last bar away.

    Args:
        reporter: who shows the bars.
        titles: of the steps that have a better title than their name.
    """

    def __init__(self, reporter: Reporter, titles: Mapping[str, str]) -> None:
        self._reporter, self._titles = reporter, titles
        self._bar = ExitStack()
        self._step = ""
        self._update: Callable[[int, int], None] | None = None

    def __enter__(self) -> Steps:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.__exit__(kind, error, trace)

    def __call__(self, step: str, done: int, total: int) -> None:
        """How far a step has come."""
        if self._update is None or step != self._step:
            self._bar.close()
            self._step = step
            self._update = self._bar.enter_context(self._reporter.progress(self._titles.get(step, step)))
        self._update(done, total)
