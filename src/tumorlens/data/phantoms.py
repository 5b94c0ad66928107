"""``phantom[:N]``: the synthetic data set, written once into the cache and read from there."""

from __future__ import annotations

import os
from collections.abc import Callable

from tumorlens import io
from tumorlens.data.listed import read_listed
from tumorlens.data.manifest import Manifest

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
        write_phantom(folder, number, seed, progress)
    manifest = read_listed(os.fspath(table), "phantom")
    note = "phantom: synthetic images, for trying things out; numbers on it say nothing about real scans"
    return Manifest(
        manifest.rows,
        manifest.skipped,
        (*manifest.notes, note),
        {"phantom": {"version": VERSION, "count": number, "seed": seed}},
    )
