"""Auditing a data set: records of every slice through the cache, then everything that is looked for."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from tumorlens import config
from tumorlens.audit import clusters
from tumorlens.audit.clusters import Clusters
from tumorlens.audit.document import document
from tumorlens.audit.examine import Examination, find_copies, look_closer
from tumorlens.audit.facts import Facts, facts
from tumorlens.audit.look import LookForm
from tumorlens.audit.remembered import Remembered
from tumorlens.config import Settings
from tumorlens.data.manifest import Manifest
from tumorlens.errors import InputError, MissingExtraError
from tumorlens.io import cache_dir
from tumorlens.io.atomic import write_json
from tumorlens.pipeline.dataset import Data, held_out, labelled, read
from tumorlens.pipeline.reporter import Reporter
from tumorlens.pipeline.steps import Steps
from tumorlens.preprocess.cache import Standardised, keep_all
from tumorlens.report.words import AUDIT_VERDICTS

_STEPS = {
    "indexing": "preparing the search",
    "searching": "looking for copies",
    "comparing": "comparing pictures",
    "reading files": "reading what the files say",
    "probing": "probing for shortcuts",
    "doubting": "doubting labels",
    "comparing all": "looking for foreign pictures",
}


@dataclass(frozen=True)
class Audit:
    """What is wrong with a data set.

    Attributes:
        found: everything that was found, by row.
        looks: the records that it was found in.
        document: the same as the contract's ``audit.json``.
        report: ``audit.html``, or None when no folder was named or the ``report`` extra is not installed.
    """

    found: Examination
    looks: Standardised
    document: dict[str, Any]
    report: Path | None = None

    @property
    def verdict(self) -> str:
        """``ok``, ``warnings`` or ``serious``."""
        return str(self.document["verdict"])


def audit(
    data: Data,
    *,
    settings: Settings | Mapping[str, Any] | None = None,
    out: str | os.PathLike[str] | None = None,
    reporter: Reporter | None = None,
) -> Audit:
    """What is wrong with a data set: copies, leaks, broken groups, shortcuts, doubtful labels, foreign pictures.

    Args:
        data: DATA, several to join, or a manifest. A split or folds that it brings are judged.
        settings: columns, test fold (then the other folds are its training), seed, whether variants of patient ids are
            joined.
        out: folder for ``audit.json`` and ``audit.html``.
        reporter: told how it goes.

    Raises:
        DataError: when there is nothing to audit, or for a fold that does not exist.
    """
    chosen, tell = config.as_settings(settings), reporter or Reporter()
    manifest = held_out(labelled(read(data, settings=chosen.data, reporter=tell)), chosen.data)
    looks = looked(manifest, tell)
    found = probed(copies(looks, chosen, tell), looks, chosen, tell)
    return Audit(found, looks, *write_audit(found, looks, data, chosen, out, tell))


def probed(found: Examination, looks: Standardised, settings: Settings, tell: Reporter) -> Examination:
    """The same with what needs models: shortcuts, doubtful labels, foreign pictures."""
    with Steps(tell, _STEPS) as step:
        known = file_facts(found.manifest, partial(step, "reading files"))
        return look_closer(found, looks.images, known, seed=settings.seed, progress=step)


def write_audit(
    found: Examination,
    looks: Standardised,
    data: Data,
    settings: Settings,
    out: str | os.PathLike[str] | None,
    tell: Reporter,
    *,
    page: bool = True,
) -> tuple[dict[str, Any], Path | None]:
    """``audit.json`` as a dictionary, and where ``audit.html`` is; both are written where ``out`` is a folder.

    Without ``page`` there is no ``audit.html``.
    """
    made = document(found)
    if out is None:
        return made, None
    write_json(Path(out) / "audit.json", made)
    return made, _page(data, settings, made, looks, Path(out) / "audit.html", tell) if page else None


def tell_audit(made: dict[str, Any], page: Path | None, tell: Reporter) -> None:
    """The findings in a line each of those that matter, and where the rest is."""
    for item in made["findings"]:
        if item["severity"] != "note":
            say = tell.warn if item["severity"] == "serious" else tell.note
            say(f"audit: {item['title']} ({item['severity']})")
    tell.note(f"audit: {AUDIT_VERDICTS[made['verdict']]} {f'See {page}' if page else 'See audit.json'}")


def _page(
    data: Data, settings: Settings, made: dict[str, Any], looks: Standardised, path: Path, tell: Reporter
) -> Path | None:
    """``audit.html``; None, with a warning, without the ``report`` extra."""
    number = {row.id: i for i, row in enumerate(looks.manifest)}

    def pictures(ids: Sequence[str]) -> dict[str, np.ndarray]:
        return {name: looks.images[number[name]]["picture"] for name in ids if name in number}

    named = [data] if isinstance(data, str | os.PathLike) else ["DATA"] if isinstance(data, Manifest) else data
    try:
        from tumorlens.report.audit_page import render_audit

        return render_audit(made, pictures, path, data=[os.fspath(item) for item in named], options=_options(settings))
    except MissingExtraError as error:
        tell.warn(f"no audit.html: {error.message}; {error.hint}")
        return None


def _options(settings: Settings) -> list[str]:
    """The command-line options that lead to what an audit heeds of these settings."""
    usual, columns = Settings(), ("fold_column", "test_fold", "group_column")
    options = []
    for name in columns:
        if value := getattr(settings.data, name):
            options += [f"--{name.replace('_', '-')}", str(value)]
    if settings.data.join_patient_variants:
        options += ["--set", "data.join_patient_variants=true"]
    if settings.data.min_mask_pixels != usual.data.min_mask_pixels:
        options += ["--set", f"data.min_mask_pixels={settings.data.min_mask_pixels}"]
    if settings.seed != usual.seed:
        options += ["--seed", str(settings.seed)]
    return options


def looked(manifest: Manifest, reporter: Reporter) -> Standardised:
    """The records of all slices that can be read, through the cache."""
    with reporter.progress("looking at every picture") as progress:
        return keep_all(manifest, LookForm(), cache_dir() / "images", progress)


def copies(looks: Standardised, settings: Settings, reporter: Reporter, *, chains: bool = True) -> Examination:
    """Copies, groups and leaks among slices that were looked at; what is compared is remembered in the cache.

    ``chains``: whether look-alikes of unknown patients become pseudo-patients.
    """
    with Remembered(cache_dir() / "images") as memory, Steps(reporter, _STEPS) as step:
        return find_copies(
            looks.manifest,
            looks.digests,
            looks.images,
            join_variants=settings.data.join_patient_variants,
            patients=not settings.data.group_column,
            chains=chains,
            progress=step,
            memory=memory,
        )


def same_pictures(looks: Standardised, reporter: Reporter) -> Clusters:
    """Clusters of copies among slices that were looked at, through the same memory."""
    with Remembered(cache_dir() / "images") as memory, Steps(reporter, _STEPS) as step:
        return clusters.find(looks.images, looks.digests, step, memory)


def file_facts(manifest: Manifest, progress: Any = None) -> Sequence[Facts | None]:
    """What the files themselves tell; None for one that has become unreadable. Files of many slices are read once."""
    paths = list(dict.fromkeys(row.path for row in manifest))

    def one(path: str) -> Facts | None:
        try:
            return facts(path)
        except InputError:
            return None

    known: dict[str, Facts | None] = {}
    with ThreadPoolExecutor(max_workers=min(16, os.cpu_count() or 1)) as pool:
        for done, (path, found) in enumerate(zip(paths, pool.map(one, paths), strict=True), start=1):
            known[path] = found
            if progress and done % 100 == 0:
                progress(done, len(paths))
    return [known[row.path] for row in manifest]
