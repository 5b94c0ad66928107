"""Dividing a data set so that no patient and no copy of a picture crosses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from tumorlens import config
from tumorlens.audit.examine import Examination
from tumorlens.audit.grouping import divided_patients
from tumorlens.config import Settings
from tumorlens.data import split as splitting
from tumorlens.data.manifest import Manifest, Skipped
from tumorlens.pipeline.auditing import copies, looked
from tumorlens.pipeline.dataset import Data, check_classes, held_out, labelled, read
from tumorlens.pipeline.reporter import Reporter
from tumorlens.preprocess.cache import Standardised
from tumorlens.preprocess.unfit import Unfit


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
    manifest: Manifest, settings: Settings, reporter: Reporter, *, chains: bool = True, by_fold: bool = False
) -> tuple[Standardised, Examination]:
    """The usable slices, with groups that keep patients and copies of a picture together.

    A group column that was named is taken at its word; that patients are divided by it is noted.

    Args:
        manifest: labelled slices; a split that they bring is judged.
        settings: columns, whether variants of patient ids are joined.
        reporter: told how it goes.
        chains: whether slices of unknown patients that look like neighbours are kept together, too.
        by_fold: whether the caller divides by the folds that the data bring; else it is noted that they do nothing.

    Returns:
        Records of the slices, and what was found in them: copies, groups, leaks.

    Raises:
        DataError: when none can be used, or when a class is left empty.
    """
    looks = _fit(looked(manifest, reporter))
    check_classes(manifest, looks.manifest)
    found = copies(looks, settings, reporter, chains=chains)
    notes = list(found.manifest.notes)
    divided = divided_patients(found.manifest)
    if divided:
        notes.append(
            f"--group-column {settings.data.group_column}: {divided} patients have slices in more than one group"
        )
    if settings.data.fold_column and not settings.data.test_fold and not by_fold:
        notes.append(f"the folds of column {settings.data.fold_column} decide nothing: no --test-fold was given")
    return looks, replace(found, manifest=replace(found.manifest, notes=tuple(notes)))


def _fit(looks: Standardised) -> Standardised:
    """Without what cannot be a slice: before anything is divided, as it has no part in training and scores."""
    codes = np.asarray(looks.images["unfit"][:]).tolist()
    wrong = {row.id: Unfit(code) for row, code in zip(looks.manifest, codes, strict=True) if code}
    left = looks.choose([i for i, code in enumerate(codes) if not code])
    gone = tuple(Skipped(name, why.code, f"{name}: {why.reason}") for name, why in wrong.items())
    return replace(left, manifest=left.manifest.without(gone, set()))


def warn_of_leaks(manifest: Manifest, reporter: Reporter) -> None:
    """Say which parts that the data brings share groups with what is trained on."""
    for part, title in (("test", "test"), ("val", "validation")):
        leaks = splitting.leaked(manifest, part)
        if leaks:
            reporter.warn(
                f"{len(leaks)} {title} slices share a patient or picture with training; "
                f"the {title} score leaves them out"
            )
