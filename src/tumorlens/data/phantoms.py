"""``phantom[:N]``: the synthetic data set, written once into the cache and read from there."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from tumorlens import io
from tumorlens.data.listed import read_listed
from tumorlens.data.manifest import Manifest
from tumorlens.io.atomic import replace_folder

DEFAULT_COUNT = 1200
SEED = 0


def read_phantom(count: str = "", *, seed: int = SEED, progress: Callable[[int, int], None] | None = None) -> Manifest:
    """The phantom of ``count`` slices (text; empty for the default of 1200).

    Raises:
        EnvironmentFailure: when the cache cannot be written.
    """
    from tumorlens.data.phantom import VERSION, write_phantom

    number = int(count) if count else DEFAULT_COUNT
    folder = io.cache_dir() / f"phantom-v{VERSION}-{number}-{seed}"
    table = folder / "manifest.csv"
    if not table.is_file():
        own = folder.with_name(f"{folder.name}.{os.getpid()}")
        write_phantom(own, number, seed, progress)
        _keep(own, folder)
    manifest = read_listed(os.fspath(table), "phantom")
    note = "phantom: synthetic images, for trying things out; numbers on it say nothing about real scans"
    return Manifest(
        manifest.rows,
        manifest.skipped,
        (*manifest.notes, note),
        {"phantom": {"version": VERSION, "count": number, "seed": seed}},
    )


def _keep(own: Path, folder: Path) -> None:
    """Give a finished phantom its place; where another process was faster, and may be reading, its own one stays."""
    try:
        own.rename(folder)
    except OSError:
        if (folder / "manifest.csv").is_file():
            shutil.rmtree(own, ignore_errors=True)
        else:  # what is left of one that was deleted in part
            replace_folder(own, folder)
