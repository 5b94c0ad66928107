"""Dividing a data set so that no patient and no copy of a picture crosses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tumorlens import config
from tumorlens.audit.examine import Examination
from tumorlens.audit.grouping import divided_patients
from tumorlens.config import Settings
from tumorlens.data import split as splitting
from tumorlens.data.manifest import Manifest
from tumorlens.pipeline.auditing import copies, looked
from tumorlens.pipeline.dataset import Data, check_classes, held_out, labelled, read
from tumorlens.pipeline.reporter import Reporter
from tumorlens.preprocess.cache import Standardised


def split(
    source: Data,
    *,
    folds: int = 0,
    settings: Settings | Mapping[str, Any] | None = None,
    reporter: Reporter | None = None,
) -> Manifest:
    """A data set divided so that no group crosses: into ``folds`` folds, or train, validation and test.

    Every image is read: copies of a picture share a group, and what cannot be used is in the result's ``skipped``.

    Args:
        source: DATA.
        folds: how many; 0 for train, validation and test.
        settings: fractions, columns, seed.
        reporter: told how it goes.

    Raises:
        DataError: when the groups cannot be divided as asked.
    """
    chosen, tell = config.as_settings(settings), reporter or Reporter()
    manifest = labelled(read(source, settings=chosen.data, reporter=tell))
    _, found = examined(held_out(manifest, chosen.data), chosen, tell)
    if folds:
        divided = splitting.folds(found.manifest, folds, chosen.seed)
    else:
        divided = splitting.split(found.manifest, chosen.data, chosen.seed)
    for note in divided.notes:
        tell.note(note)
    if not folds:
        warn_of_leaks(divided, tell)
    return divided


def examined(
    manifest: Manifest, settings: Settings, reporter: Reporter, *, chains: bool = True
) -> tuple[Standardised, Examination]:
    """The usable slices, with groups that keep patients and copies of a picture together.

    A group column that was named is taken at its word; that patients are divided by it is noted.

    Args:
        manifest: labelled slices; a split that they bring is judged.
        settings: columns, whether variants of patient ids are joined.
        reporter: told how it goes.
        chains: whether slices of unknown patients that look like neighbours are kept together, too.

    Returns:
        Records of the slices, and what was found in them: copies, groups, leaks.

    Raises:
        DataError: when none can be used, or when a class is left empty.
    """
    looks = looked(manifest, reporter)
    check_classes(manifest, looks.manifest)
    found = copies(looks, settings, reporter, chains=chains)
    notes = list(found.manifest.notes)
    divided = divided_patients(found.manifest)
    if divided:
        notes.append(
            f"--group-column {settings.data.group_column}: {divided} patients have slices in more than one group"
        )
    if settings.data.fold_column and not settings.data.test_fold:
        notes.append(f"the folds of column {settings.data.fold_column} decide nothing: no --test-fold was given")
    return looks, replace(found, manifest=replace(found.manifest, notes=tuple(notes)))


def warn_of_leaks(manifest: Manifest, reporter: Reporter) -> None:
    """Say which parts that the data brings share groups with what is trained on."""
    for part, title in (("test", "test"), ("val", "validation")):
        leaks = splitting.leaked(manifest, part)
        if leaks:
            reporter.warn(
                f"{len(leaks)} {title} slices share a patient or picture with training; "
                f"the {title} score leaves them out"
            )
