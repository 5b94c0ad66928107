"""Showing progress: rich in a terminal, plain lines elsewhere. Everything goes to stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tumorlens.pipeline.reporter import Reporter

if TYPE_CHECKING:
    from tumorlens.data.manifest import Skipped


def reporter(*, quiet: bool = False) -> Reporter:
    """The reporter for this terminal."""
    if quiet:
        return Quiet()
    return Terminal() if sys.stderr.isatty() else Lines()


def list_skipped(skipped: Iterable[Skipped]) -> None:
    """Every input that was left out, one a line."""
    for item in skipped:
        _line(f"left out ({item.code}): {item.reason}")


class Quiet(Reporter):
    """Only warnings."""

    def warn(self, text: str) -> None:
        _line(f"warning: {text}")


class Lines(Quiet):
    """Plain lines, for logs and pipes: one per sentence, per epoch, and now and then for long work."""

    every_seconds = 15.0

    def note(self, text: str) -> None:
        _line(text)

    @contextmanager
    def progress(self, title: str) -> Iterator[Callable[[int, int], None]]:
        last = time.monotonic()

        def update(done: int, total: int) -> None:
            nonlocal last
            if time.monotonic() - last >= self.every_seconds:
                last = time.monotonic()
                _line(f"{title}: {done} of {total}")

        yield update

    def epoch(self, row: dict[str, float], epochs: int) -> None:
        left = (epochs - row["epoch"]) * row["seconds"]
        _line(
            f"epoch {row['epoch']:.0f}/{epochs}  loss {row['loss']:.3f}  accuracy {row['accuracy']:.1%}  "
            f"val loss {row['val_loss']:.3f}  val accuracy {row['val_accuracy']:.1%}  "
            f"{row['images_per_second']:.0f} images/s  {left:.0f} s left"
        )


class Terminal(Reporter):
    """Progress bars with the time left."""

    def __init__(self) -> None:
        from rich.console import Console

        self._console = Console(stderr=True, highlight=False)
        self._training: Any = None
        self._task: Any = None
        self._step = 0

    def note(self, text: str) -> None:
        self._console.print(text, markup=False)

    def warn(self, text: str) -> None:
        self._console.print(f"warning: {text}", style="yellow", markup=False)

    @contextmanager
    def progress(self, title: str) -> Iterator[Callable[[int, int], None]]:
        bar = self._bar()
        task = bar.add_task(title, total=None)
        with bar:
            yield lambda done, total: bar.update(task, completed=done, total=total)
            if not bar.tasks[0].completed:
                bar.update(task, visible=False)

    def batch(self, epoch: int, epochs: int, step: int, steps: int, loss: float, accuracy: float) -> None:
        if self._training is None:
            self._training = self._bar()
            self._task = self._training.add_task("", total=epochs * steps, completed=(epoch - 1) * steps + step - 1)
            self._training.start()
        self._training.update(
            self._task,
            completed=(epoch - 1) * steps + step,
            description=f"epoch {epoch}/{epochs}  loss {loss:.3f}  accuracy {accuracy:.1%}",
        )

    def epoch(self, row: dict[str, float], epochs: int) -> None:
        self._console.print(
            f"epoch {row['epoch']:3.0f}  loss {row['loss']:.3f}  accuracy {row['accuracy']:6.1%}  "
            f"val loss {row['val_loss']:.3f}  val accuracy {row['val_accuracy']:6.1%}  {row['seconds']:.1f} s"
        )

    def trained(self) -> None:
        if self._training is not None:
            self._training.stop()
            self._training = None

    def _bar(self) -> Any:
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        return Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("·"),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
        )


def _line(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
