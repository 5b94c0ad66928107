"""Reading and standardising data sets."""

from __future__ import annotations

import os
from collections.abc import Sequence

from tumorlens import data
from tumorlens.config import DataSettings
from tumorlens.data import split as splitting
from tumorlens.data.manifest import Manifest, Skipped
from tumorlens.errors import DataError
from tumorlens.io import cache_dir
from tumorlens.pipeline.reporter import Reporter
from tumorlens.preprocess.cache import Standardised, standardise_all
from tumorlens.preprocess.outlines import Outlines, outline_all
from tumorlens.preprocess.recipe import Recipe

Data = str | os.PathLike[str] | Manifest | Sequence[str | os.PathLike[str]]


def read(source: Data, *, settings: DataSettings | None = None, reporter: Reporter | None = None) -> Manifest:
    """A data set from any form of DATA (folder, zip, CSV, ``.npz``, ``.mat``, DICOM, NIfTI, ``kaggle:…``, ``phantom``).

    Args:
        source: one DATA or several to join; a manifest is returned as it is.
        settings: columns for groups and folds, smallest mask.
        reporter: told how reading goes.

    Raises:
        DataError: when there is nothing to read.
    """
    if isinstance(source, Manifest):
        return source
    chosen = settings or DataSettings()
    with (reporter or Reporter()).progress("reading") as progress:
        return data.read(
            source,
            min_mask_pixels=chosen.min_mask_pixels,
            group_column=chosen.group_column,
            fold_column=chosen.fold_column,
            progress=progress,
        )


def labelled(manifest: Manifest) -> Manifest:
    """Only the rows with a label; the others join the skipped ones.

    Raises:
        DataError: when no row has one.
    """
    without = [row for row in manifest if not row.label]
    if len(without) == len(manifest):
        raise DataError(
            "; ".join((f"none of the {len(manifest)} images found has a class", *manifest.notes)),
            hint="put the images of each class in a folder of its own, or list them in a CSV with columns path,label",
            code="unlabelled",
        )
    reasons = [Skipped(row.id, "unlabelled", "no class is known for this image") for row in without]
    return manifest.without(reasons, {row.id for row in without})


def held_out(manifest: Manifest, settings: DataSettings) -> Manifest:
    """The data set with the fold ``test_fold``, where one is named, as its test set.

    Raises:
        DataError: for a fold that does not exist.
    """
    return splitting.hold_out(manifest, settings.test_fold) if settings.test_fold else manifest


def standardised(manifest: Manifest, recipe: Recipe, reporter: Reporter) -> Standardised:
    """Every slice in the recipe's form, through the cache.

    Raises:
        DataError: when none can be used, or when a class is left empty.
    """
    with reporter.progress("decoding and standardising") as progress:
        ready = standardise_all(manifest, recipe, cache_dir() / "images", progress)
    check_classes(manifest, ready.manifest)
    return ready


def outlined(ready: Standardised, recipe: Recipe, reporter: Reporter) -> Outlines:
    """The tumour masks of slices, framed as the recipe frames these, through the cache."""
    with reporter.progress("framing masks") as progress:
        return outline_all(ready, recipe, recipe.size, cache_dir() / "images", progress)


def check_classes(before: Manifest, after: Manifest) -> None:
    """Refuse a data set that has lost a class because none of its files could be read.

    Raises:
        DataError: naming the class and one of the files.
    """
    lost = sorted(set(before.labels) - set(after.labels))
    if lost:
        named = ", ".join(repr(name) for name in lost)
        example = after.skipped[-1]
        raise DataError(
            f"no image of class {named} could be read, so that class is empty; "
            f"for example {example.path}: {example.reason}",
            hint="look at those files, or leave the class out",
            code="class_empty",
        )
