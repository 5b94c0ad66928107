"""What a long command tells while it works. The command line shows it; Python callers may pass their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path


class Reporter:
    """Says nothing. Subclasses show what they like."""

    def note(self, text: str) -> None:
        """A sentence worth keeping."""

    def warn(self, text: str) -> None:
        """A sentence that should not be missed."""

    @contextmanager
    def progress(self, title: str) -> Iterator[Callable[[int, int], None]]:
        """Inside, the yielded function takes (done, total)."""
        yield lambda done, total: None

    def batch(self, epoch: int, epochs: int, step: int, steps: int, loss: float, accuracy: float) -> None:
        """A training step ended; epochs and steps count from 1."""

    def epoch(self, row: dict[str, float], epochs: int) -> None:
        """A training epoch ended; ``row`` is its line of history.csv."""

    def trained(self) -> None:
        """Training ended, one way or another."""


class Passing(Reporter):
    """Passes everything on.

    Args:
        inner: who shows it.
    """

    def __init__(self, inner: Reporter) -> None:
        self._inner = inner

    def note(self, text: str) -> None:
        self._inner.note(text)

    def warn(self, text: str) -> None:
        self._inner.warn(text)

    @contextmanager
    def progress(self, title: str) -> Iterator[Callable[[int, int], None]]:
        with self._inner.progress(title) as update:
            yield update

    def batch(self, epoch: int, epochs: int, step: int, steps: int, loss: float, accuracy: float) -> None:
        self._inner.batch(epoch, epochs, step, steps, loss, accuracy)

    def epoch(self, row: dict[str, float], epochs: int) -> None:
        self._inner.epoch(row, epochs)

    def trained(self) -> None:
        self._inner.trained()


class LogReporter(Passing):
    """Passes everything on, and keeps the sentences in a log file.

    Args:
        inner: who shows it.
        path: the log; appended to.
    """

    def __init__(self, inner: Reporter, path: Path) -> None:
        super().__init__(inner)
        self._path = path

    def note(self, text: str) -> None:
        self._write(text)
        super().note(text)

    def warn(self, text: str) -> None:
        self._write(f"warning: {text}")
        super().warn(text)

    @contextmanager
    def progress(self, title: str) -> Iterator[Callable[[int, int], None]]:
        self._write(title)
        with super().progress(title) as update:
            yield update

    def epoch(self, row: dict[str, float], epochs: int) -> None:
        self._write(
            f"epoch {row['epoch']:.0f}/{epochs}: loss {row['loss']:.4f}, accuracy {row['accuracy']:.4f}, "
            f"validation loss {row['val_loss']:.4f}, validation accuracy {row['val_accuracy']:.4f}, "
            f"{row['seconds']:.1f} s"
        )
        super().epoch(row, epochs)

    def _write(self, text: str) -> None:
        stamp = datetime.now(UTC).isoformat(timespec="seconds")
        with self._path.open("a", encoding="utf-8") as log:
            log.write(f"{stamp} {text}\n")
