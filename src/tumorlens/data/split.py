"""Dividing a data set so that no group crosses: into train, validation and test, or into folds."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from tumorlens.config import DataSettings
from tumorlens.data.manifest import Manifest, Row
from tumorlens.errors import DataError

SPLITS = ("train", "val", "test")


def assign(labels: Sequence[str], groups: Sequence[str], shares: Sequence[float], seed: int) -> list[int]:
    """Put every slice into one part, whole groups at a time, with classes as even as the groups allow.

    Greedy: groups in order of size (large first, ties shuffled by the seed); each goes to the part that then is closest
    to its share of every class. Deterministic; the law that no group crosses holds by construction.

    Args:
        labels: class of each slice.
        groups: group of each slice.
        shares: of each part, summing to 1; a part with share 0 stays empty.
        seed: for ties.

    Returns:
        The part's number of each slice.
    """
    classes = {label: i for i, label in enumerate(sorted(set(labels)))}
    counts: dict[str, np.ndarray] = defaultdict(lambda: np.zeros(len(classes)))
    for label, group in zip(labels, groups, strict=True):
        counts[group][classes[label]] += 1
    names = sorted(counts)
    order = np.random.default_rng([seed, 3]).permutation(len(names))
    names = sorted((names[i] for i in order), key=lambda name: -counts[name].sum())

    total = np.sum(list(counts.values()), axis=0)
    # Relative to the class's size, so that a rare class is divided as carefully as a common one.
    wanted = np.outer(shares, total)
    filled = np.zeros_like(wanted)
    open_parts = [i for i, share in enumerate(shares) if share > 0]
    part_of: dict[str, int] = {}
    for name in names:
        size = counts[name]
        lack = [
            float((((wanted[i] - filled[i]) / np.maximum(total, 1)) * (size > 0)).sum() / shares[i]) for i in open_parts
        ]
        part_of[name] = open_parts[int(np.argmax(lack))]
        filled[part_of[name]] += size
    return [part_of[group] for group in groups]


def split(manifest: Manifest, settings: DataSettings, seed: int, *, every_part: bool = False) -> Manifest:
    """The data set with a split for every row.

    In this order of preference: the fold named by ``test_fold`` is the test set; a test set that the data brings is
    kept; else train, validation and test are made by ``fractions``. A validation set is made from the training rows
    where the data brings none. Groups never cross between parts made here.

    Args:
        manifest: grouped and labelled.
        settings: see above.
        seed: for ties between groups.
        every_part: training, validation and test are all needed; else only those that have a share.

    Raises:
        DataError: for a fold that does not exist, or when a class has no training slice, or when a part is empty.
    """
    rows = list((hold_out(manifest, settings.test_fold) if settings.test_fold else manifest).rows)
    brought = Counter(row.split for row in rows)
    if not brought["test"]:
        rows = _divide(manifest, rows, lambda row: row.split in ("", "train"), settings.fractions, seed)
    else:
        rows = [replace(row, split=row.split or "train") for row in rows]
    if not any(row.split == "val" for row in rows):
        train, val, _ = settings.fractions
        rows = _divide(
            manifest, rows, lambda row: row.split == "train", (train / (train + val), val / (train + val), 0.0), seed
        )
    result = manifest.with_rows(rows)
    _check(result, settings.fractions, every_part)
    return result


def hold_out(manifest: Manifest, fold: str) -> Manifest:
    """The data set with one of its folds as the test set and everything else as training.

    Raises:
        DataError: for a fold that does not exist.
    """
    folds = sorted({row.fold for row in manifest} - {""})
    if fold not in folds:
        raise DataError(
            f"no slice is in fold {fold!r}; "
            + (f"found folds {', '.join(folds)}" if folds else "the data has no folds"),
            hint="name the manifest's column with --fold-column, or leave out --test-fold",
            code="no_fold",
        )
    return manifest.with_rows(replace(row, split="test" if row.fold == fold else "train") for row in manifest)


def folds(manifest: Manifest, count: int, seed: int) -> Manifest:
    """The data set divided into ``count`` folds, named ``1`` to ``count``.

    Raises:
        DataError: when there are fewer groups than folds.
    """
    if len(set(manifest.groups)) < count:
        raise DataError(
            f"{len(set(manifest.groups))} groups cannot be divided into {count} folds",
            hint="use fewer folds",
            code="few_groups",
        )
    parts = assign(manifest.labels, manifest.groups, [1 / count] * count, seed)
    return manifest.with_rows(replace(row, fold=str(part + 1)) for row, part in zip(manifest.rows, parts, strict=True))


def leaked(manifest: Manifest, part: str = "test") -> dict[str, str]:
    """Slices of a part whose group the model has seen: id → id of a slice of the same group there.

    Args:
        manifest: split and grouped.
        part: ``test``, which must share no group with training or validation, or ``val``, with training.
    """
    seen = SPLITS[: SPLITS.index(part)]
    elsewhere = {group: row.id for row, group in zip(manifest.rows, manifest.groups, strict=True) if row.split in seen}
    return {
        row.id: elsewhere[group]
        for row, group in zip(manifest.rows, manifest.groups, strict=True)
        if row.split == part and group in elsewhere
    }


def _divide(
    manifest: Manifest, rows: list[Row], choose: Callable[[Row], bool], shares: Sequence[float], seed: int
) -> list[Row]:
    chosen = [i for i, row in enumerate(rows) if choose(row)]
    groups = manifest.groups
    parts = assign([rows[i].label for i in chosen], [groups[i] for i in chosen], shares, seed)
    for i, part in zip(chosen, parts, strict=True):
        rows[i] = replace(rows[i], split=SPLITS[part])
    return rows


def _check(manifest: Manifest, fractions: Sequence[float], every_part: bool) -> None:
    trained = {row.label for row in manifest if row.split == "train"}
    missing = sorted(set(manifest.labels) - trained)
    if missing:
        raise DataError(
            f"class {missing[0]!r} has no training slice after the split",
            hint="more slices or patients of that class are needed; its patients cannot be divided",
            code="class_empty",
        )
    for name, share in zip(SPLITS, fractions, strict=True):
        if any(row.split == name for row in manifest) or not (share or every_part):
            continue
        groups = len(set(manifest.groups))
        wanted = ", ".join(f"{part:g}" for part in fractions)
        found = f"{groups} groups cannot be divided so" if share else "it gets no share"
        raise DataError(
            f"the {name} set is empty: data.fractions is {wanted} and {found}",
            hint="give more data, or change data.fractions (of split: --fractions)",
            code="split_empty",
        )
