from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tumorlens.pipeline.reporter import Reporter
from tumorlens.pipeline.steps import Steps


class Listening(Reporter):
    def __init__(self) -> None:
        self.heard: list[object] = []

    @contextmanager
    def progress(self, title: str) -> Iterator[Callable[[int, int], None]]:
        self.heard.append(title)
        try:
            yield lambda done, total: self.heard.append((done, total))
        finally:
            self.heard.append(f"{title} ended")


def test_each_step_has_a_bar_of_its_own() -> None:
    tell = Listening()
    with Steps(tell, {"a": "first"}) as step:
        step("a", 1, 2)
        step("a", 2, 2)
        step("b", 1, 1)
        step("a", 1, 1)
    assert tell.heard == [
        "first",
        (1, 2),
        (2, 2),
        "first ended",
        "b",
        (1, 1),
        "b ended",
        "first",
        (1, 1),
        "first ended",
    ]


def test_the_last_bar_ends_when_the_work_is_stopped() -> None:
    tell = Listening()
    with pytest.raises(KeyboardInterrupt), Steps(tell, {}) as step:
        step("a", 1, 2)
        raise KeyboardInterrupt
    assert tell.heard[-1] == "a ended"


def test_work_without_steps_shows_nothing() -> None:
    tell = Listening()
    with Steps(tell, {}):
        pass
    assert tell.heard == []
