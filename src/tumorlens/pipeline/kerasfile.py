"""The Keras network that a bundle was made from, where the folder around the bundle still has it."""

from __future__ import annotations

from pathlib import Path

KERAS = "model.keras"


def keras_file(where: Path) -> Path | None:
    """Its file; None for a bundle on its own.

    Args:
        where: the bundle, in the folder of a run or of a cross-validation.
    """
    checkpoints = [where.parent / "checkpoints", where.parent / "final" / "checkpoints"]
    return next((folder / KERAS for folder in checkpoints if (folder / KERAS).is_file()), None)
