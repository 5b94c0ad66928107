"""What of a run may travel with its model: counts and public names, never a file, a folder or a patient."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from tumorlens import bundle
from tumorlens.config import Settings
from tumorlens.evaluation.table import PredictionTable
from tumorlens.preprocess.cache import Standardised

# Marks, in the bundle's predictions, slices that share something with training: they are in no headline score.
LEAKED = "-leaked"


def public_metrics(metrics: Mapping[str, Any], provenance: Mapping[str, Any]) -> dict[str, Any]:
    """``metrics.json`` as the bundle has it: what was left out is counted, not named.

    Args:
        metrics: the run's own.
        provenance: of the data.
    """
    data = {name: value for name, value in metrics["data"].items() if name != "notes"}
    data["sources"] = public_sources(data["sources"], provenance)
    data["skipped"] = dict(sorted(Counter(item["code"] for item in data["skipped"]).items()))
    counted = {key: metrics[key] and {"removed": metrics[key]["removed"]} for key in ("leaked", "leaked_validation")}
    calibration = metrics.get("calibration")
    if calibration and not all(map(is_number, calibration.get("temperatures") or ())):
        # A fold may be named after a patient.
        calibration = {key: value for key, value in calibration.items() if key != "temperatures"}
    return {
        **metrics,
        "calibration": calibration,
        **counted,
        "data": data,
        "subgroups": _public_parts(metrics.get("subgroups"), metrics["data"]["sources"], provenance),
    }


def _public_parts(
    parts: Mapping[str, Any] | None, sources: Iterable[str], provenance: Mapping[str, Any]
) -> dict[str, Any]:
    """The scores by source under the names that the predictions have."""
    if not parts:
        return {}
    names = _source_names(sources, provenance)
    return {**parts, "source": {names[source]: part for source, part in parts["source"].items()}}


def _source_names(sources: Iterable[str], provenance: Mapping[str, Any]) -> dict[str, str]:
    """What a source is called in the bundle: published ones as they are, the others ``s0001``, ``s0002`` and so on."""
    every = sorted(set(sources) - {""})
    return _named(every, "s", {source: source for source in every if _is_public(source, provenance)})


def public_sources(sources: Iterable[str], provenance: Mapping[str, Any]) -> list[str]:
    """The published data sets by name; the others, which are named after somebody's folders, as a number."""
    named, unnamed = [], 0
    for source in sorted(sources):
        if _is_public(source, provenance):
            named.append(source)
        else:
            unnamed += 1
    return named + ([f"{unnamed} local data set{'s' if unnamed > 1 else ''}"] if unnamed else [])


def public_provenance(provenance: Mapping[str, Any]) -> dict[str, Any]:
    """What is known about published data sets."""
    return {name: provenance[name] for name in ("kaggle", "phantom", "published") if name in provenance}


def public_settings(settings: Settings) -> Settings:
    """The settings without paths of weights, and without a fold that may be named after a patient."""
    model, data = settings.model, settings.data
    if model.weights not in ("imagenet", "none"):
        model = msgspec.structs.replace(model, weights="FILE")
    train = settings.train
    if train.start not in ("", "phantom"):
        train = msgspec.structs.replace(train, start="RUN")
    if data.test_fold and not is_number(data.test_fold):
        data = msgspec.structs.replace(data, test_fold="FOLD")
    return msgspec.structs.replace(settings, model=model, data=data, train=train)


def public_predictions(
    table: PredictionTable,
    ready: Standardised,
    held_out: Sequence[int],
    provenance: Mapping[str, Any],
    leaked: Collection[str] = (),
) -> PredictionTable:
    """The predictions for the bundle: slices named by their content; patients, groups and local sources by number.

    A content hash lets whoever has the images check the claims; a file name or patient identifier would travel with the
    model to people who should not have it.

    Args:
        table: of the held-out slices.
        ready: all slices.
        held_out: index in ``ready`` of each row of ``table``.
        provenance: of the data.
        leaked: ids of slices that share a patient, group or picture with training; their split is marked.
    """
    hashes = [bundle.slice_hash(ready.digests[i], ready.manifest.rows[i].frame) for i in held_out]
    # Numbers follow the order of the hashes, which tells nothing about the order of the identifiers.
    order = sorted(range(len(hashes)), key=lambda i: (hashes[i], table.splits[i]))
    seen: Counter[str] = Counter()
    names = []
    for i in order:
        seen[hashes[i]] += 1
        names.append(hashes[i] if seen[hashes[i]] == 1 else f"{hashes[i]}-{seen[hashes[i]]}")
    sources, folds = [table.sources[i] for i in order], [table.folds[i] for i in order]
    known = _source_names((row.source for row in ready.manifest), provenance)
    # Folds may be anything, a patient each; numbers say nothing.
    plain = {fold: fold for fold in set(folds)} if all(map(is_number, folds)) else {}
    return replace(
        table.take(order),
        ids=tuple(names),
        patients=tuple(_numbered([table.patients[i] for i in order], "p")),
        groups=tuple(_numbered([table.groups[i] for i in order], "g")),
        sources=tuple(known.get(source, "") for source in sources),
        splits=tuple(table.splits[i] + (LEAKED if table.ids[i] in leaked else "") for i in order),
        folds=tuple(_numbered(folds, "f", plain)),
    )


def _numbered(values: Sequence[str], letter: str, known: Mapping[str, str] | None = None) -> list[str]:
    found = _named(values, letter, known)
    return [found[value] for value in values]


def _named(values: Iterable[str], letter: str, known: Mapping[str, str] | None = None) -> dict[str, str]:
    found = {"": "", **(known or {})}
    first = len(found)
    for value in values:
        found.setdefault(value, f"{letter}{len(found) - first + 1:04d}")
    return found


def _is_public(source: str, provenance: Mapping[str, Any]) -> bool:
    known = {"phantom", *provenance.get("published", ())}
    return source in known | {fact["dataset"] for fact in provenance.get("kaggle", [])}


def is_number(text: str) -> bool:
    """Whether a fold's name is one that says nothing: at most two digits."""
    return bool(re.fullmatch("[0-9]{0,2}", text))
