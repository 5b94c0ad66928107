"""Which checks go with which kind of MODEL."""

from __future__ import annotations

import os
from pathlib import Path

from tumorlens import bundle
from tumorlens.errors import UsageError
from tumorlens.pipeline import runs
from tumorlens.pipeline.dataset import Data
from tumorlens.pipeline.reporter import Reporter
from tumorlens.pipeline.verifying.checks import Check
from tumorlens.pipeline.verifying.kept import open_folder
from tumorlens.pipeline.verifying.of_bundle import of_bundle
from tumorlens.pipeline.verifying.of_crossval import of_crossval
from tumorlens.pipeline.verifying.of_run import of_run

SLICES = 200


def verify(
    model: str | os.PathLike[str],
    *,
    data: Data | None = None,
    slices: int = SLICES,
    seed: int = 0,
    reporter: Reporter | None = None,
) -> list[Check]:
    """Recompute what a run folder, a cross-validation or a bundle claims.

    Args:
        model: MODEL; of a run folder, or the folder of a cross-validation, more can be checked than of a bundle.
        data: DATA with the pictures behind the bundle's predictions, found by what their files hold. Without it a
            bundle is not asked again, and a run folder looks for its pictures where they were.
        slices: how many are asked about again, where their pictures are at hand; fewer where there are fewer.
        seed: of their choice.
        reporter: told how it goes.

    Raises:
        ModelError: when there is no such model, or its network was changed.
        UsageError: for a run that has not finished or has a damaged file, or a search for settings.
        DataError: when a table of a run is damaged, or DATA cannot be read.
    """
    tell, folder = reporter or Reporter(), Path(model)
    if (folder / "config.toml").is_file():
        runs.check_begun(folder)  # or a run that has lost a file would pass for a bundle
    if not (folder / "run.json").is_file():
        return of_bundle(bundle.load(model), data, slices, seed, tell)
    kind = runs.document(folder / "run.json").get("kind", "training")
    if kind == "tune":
        raise UsageError(f"{folder} is a search for settings", hint="verify a run that was trained with what it found")
    check = of_crossval if kind == "crossval" else of_run
    return check(open_folder(folder, kind), data, slices, seed, tell)
