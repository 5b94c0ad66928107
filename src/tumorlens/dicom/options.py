"""What a node is told when it starts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tumorlens.dicom.places import place, title


@dataclass(frozen=True)
class NodeOptions:
    """How a node behaves.

    Attributes:
        folder: where its queue lies.
        title: its AE title.
        host: address to listen on.
        port: likewise.
        destinations: where results go, as :func:`tumorlens.dicom.places.place` reads them.
        callers: AE titles that may send; empty for any.
        quiet: seconds after the last instance after which a series counts as complete.
        free: bytes that have to stay free on the disk.
        on_release: whether a series is complete when the association that sent it is released.

    Raises:
        UsageError: for what is no AE title or no destination.
    """

    folder: Path
    title: str = "TUMORLENS"
    host: str = "127.0.0.1"
    port: int = 11112
    destinations: tuple[str, ...] = ()
    callers: tuple[str, ...] = ()
    quiet: float = 10.0
    free: int = 1 << 30
    on_release: bool = False

    def __post_init__(self) -> None:
        """Check what can be checked."""
        for one in (self.title, *self.callers):
            title(one)
        for destination in self.destinations:
            place(destination)
