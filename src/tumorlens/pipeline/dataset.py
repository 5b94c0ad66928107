"""Reading, splitting and standardising data sets."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from tumorlens import config, data
from tumorlens.audit import exact
from tumorlens.config import DataSettings, Settings
from tumorlens.data import split as splitting
from tumorlens.data.manifest import Manifest, Skipped
from tumorlens.errors import DataError
from tumorlens.io import cache_dir
from tumorlens.pipeline.reporter import Reporter
from tumorlens.preprocess.cache import Standardised, standardise_all
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


def split(
    source: Data,
    *,
    folds: int = 0,
    settings: Settings | Mapping[str, Any] | None = None,
    reporter: Reporter | None = None,
) -> Manifest:
    """A data set divided so that no group crosses: into ``folds`` folds, or train, validation and test.

    Every image is read: equal pictures share a group, and what cannot be used is in the result's ``skipped``.

    Args:
        source: DATA.
        folds: how many; 0 for train, validation and test.
        settings: fractions, columns, seed, and the recipe in which pictures are compared.
        reporter: told how it goes.

    Raises:
        DataError: when the groups cannot be divided as asked.
    """
    chosen, tell = config.as_settings(settings), reporter or Reporter()
    manifest = labelled(read(source, settings=chosen.data, reporter=tell))
    ready, _ = grouped(manifest, Recipe.from_settings(chosen.preprocess), chosen.data, tell)
    if folds:
        divided = splitting.folds(ready.manifest, folds, chosen.seed)
    else:
        divided = splitting.split(ready.manifest, chosen.data, chosen.seed)
    for note in divided.notes:
        tell.note(note)
    if not folds:
        warn_of_leaks(divided, tell)
    return divided


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


def grouped(
    manifest: Manifest, recipe: Recipe, settings: DataSettings, reporter: Reporter
) -> tuple[Standardised, list[str]]:
    """The usable slices, standardised, with groups that keep patients and equal pictures together.

    A group column that was named is taken at its word; that patients are divided by it is noted.

    Returns:
        The slices, and a key per slice that equal pictures share.

    Raises:
        DataError: as :func:`standardised`.
    """
    ready = standardised(manifest, recipe, reporter)
    keys = exact.picture_keys(ready)
    joined = exact.join_groups(ready.manifest, keys, patients=not settings.group_column)
    notes = list(joined.notes)
    divided = exact.divided_patients(joined)
    if divided:
        notes.append(f"--group-column {settings.group_column}: {divided} patients have slices in more than one group")
    if settings.fold_column and not settings.test_fold:
        notes.append(f"the folds of column {settings.fold_column} decide nothing: no --test-fold was given")
    return Standardised(replace(joined, notes=tuple(notes)), ready.images, ready.digests), keys


def warn_of_leaks(manifest: Manifest, reporter: Reporter) -> None:
    """Say which parts that the data brings share groups with what is trained on."""
    for part, title in (("test", "test"), ("val", "validation")):
        leaks = splitting.leaked(manifest, part)
        if leaks:
            reporter.warn(
                f"{len(leaks)} {title} slices share a patient or picture with training; "
                f"the {title} score leaves them out"
            )


def standardised(manifest: Manifest, recipe: Recipe, reporter: Reporter) -> Standardised:
    """Every slice in the recipe's form, through the cache.

    Raises:
        DataError: when none can be used, or when a class is left empty.
    """
    with reporter.progress("decoding and standardising") as progress:
        ready = standardise_all(manifest, recipe, cache_dir() / "images", progress)
    lost = sorted(set(manifest.labels) - set(ready.manifest.labels))
    if lost:
        named = ", ".join(repr(name) for name in lost)
        example = ready.manifest.skipped[-1]
        raise DataError(
            f"no image of class {named} could be read, so that class is empty; "
            f"for example {example.path}: {example.reason}",
            hint="look at those files, or leave the class out",
            code="class_empty",
        )
    return ready
