"""The manifest: the only data-set type. One row per slice."""

from __future__ import annotations

import csv
import io
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from tumorlens.errors import DataError, InputError
from tumorlens.io.atomic import write_text
from tumorlens.io.slice import slice_id


@dataclass(frozen=True, slots=True)
class Row:
    """One slice of a data set. Empty strings mean "not known".

    Attributes:
        path: the file as it can be opened from the working directory, or ``archive.zip!member``.
        frame: index in a multi-frame file, or None.
        label: class name in the spelling of :mod:`tumorlens.labels`; empty when unlabelled.
        patient: patient identifier of the data set.
        group: what must never cross a split: the patient, else a cluster of duplicates.
        source: name of the data set the row came from.
        split: ``train``, ``val``, ``test`` or empty.
        fold: the data set's own or our cross-validation fold, as text.
        mask: path of a tumour mask (image or volume of the same geometry), or empty.
        series: the scan that it is a slice of: the file with several frames, or a name made from the UID that files of
            one DICOM series share; else empty. Not in the CSV: reading the files tells it again.
        id: unique name; defaults to ``path``, ``path#frame``.
    """

    path: str
    frame: int | None = None
    label: str = ""
    patient: str = ""
    group: str = ""
    source: str = ""
    split: str = ""
    fold: str = ""
    mask: str = ""
    id: str = ""
    series: str = ""

    def __post_init__(self) -> None:
        if not self.id:
            object.__setattr__(self, "id", slice_id(self.path, self.frame))


@dataclass(frozen=True, slots=True)
class Skipped:
    """An input that was left out, and why.

    Attributes:
        path: the file or member.
        code: an :class:`~tumorlens.errors.InputError` code, or ``unlabelled``, ``small_mask``, …
        reason: one sentence.
        hint: what to do about it; may be empty.
    """

    path: str
    code: str
    reason: str
    hint: str = ""

    @property
    def by_rule(self) -> bool:
        """Left out because a rule says so, not because the input could not be used."""
        return self.code in ("small_mask", "no_mask", "blank", "few_greys", "strip")


def by_code(skipped: Iterable[Skipped]) -> str:
    """How many were left out for which reason: ``corrupt 2, empty 1``."""
    counts = Counter(item.code for item in skipped)
    return ", ".join(f"{code} {count}" for code, count in sorted(counts.items()))


COLUMNS = ("id", "path", "frame", "label", "patient", "group", "source", "split", "fold", "mask")


@dataclass(frozen=True)
class Manifest:
    """A data set.

    Attributes:
        rows: the slices, in a stable order.
        skipped: what was left out while reading, and why. Nothing vanishes silently.
        notes: what the reader wants a person to know (renamed classes, Kaggle version, …).
        provenance: facts to record with the model (``{"kaggle": {"dataset", "version"}, …}``).
    """

    rows: tuple[Row, ...]
    skipped: tuple[Skipped, ...] = ()
    notes: tuple[str, ...] = ()
    provenance: dict[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        counts = Counter(row.id for row in self.rows)
        twice = [name for name, n in counts.items() if n > 1]
        if twice:
            raise DataError(
                f"{len(twice)} slices are listed more than once, for example {twice[0]}",
                hint="list each slice once; joining a data set with itself is not possible",
                code="duplicate_id",
            )

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    @property
    def labels(self) -> list[str]:
        """The label of every row."""
        return [row.label for row in self.rows]

    @property
    def groups(self) -> list[str]:
        """The unit that must not cross a split, per row: group, else patient, else the slice itself."""
        return [row.group or (patient_key(row) if row.patient else row.id) for row in self.rows]

    def count(self) -> dict[str, int]:
        """Slices per class, sorted by name."""
        return dict(sorted(Counter(self.labels).items()))

    def where(self, keep: Callable[[Row], bool]) -> Manifest:
        """The rows for which ``keep`` is true; everything else unchanged."""
        return replace(self, rows=tuple(row for row in self.rows if keep(row)))

    def split(self, name: str) -> Manifest:
        """The rows of one split."""
        return self.where(lambda row: row.split == name)

    def with_rows(self, rows: Iterable[Row]) -> Manifest:
        """The same data set with other rows."""
        return replace(self, rows=tuple(rows))

    def without(self, skipped: Sequence[Skipped], ids: set[str]) -> Manifest:
        """The data set without the slices ``ids``, which join the skipped ones with their reasons."""
        rows = tuple(row for row in self.rows if row.id not in ids)
        return replace(self, rows=rows, skipped=self.skipped + tuple(skipped))

    def write_csv(self, path: str | os.PathLike[str]) -> None:
        """Write the rows as CSV; paths become relative to the file where they lie below it, else absolute."""
        base = Path(path).resolve().parent
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(COLUMNS)
        for row in self.rows:
            writer.writerow(
                [
                    row.id,
                    _portable(row.path, base),
                    "" if row.frame is None else row.frame,
                    row.label,
                    row.patient,
                    row.group,
                    row.source,
                    row.split,
                    row.fold,
                    _portable(row.mask, base),
                ]
            )
        write_text(path, text.getvalue())


def patient_key(row: Row) -> str:
    """What tells a patient from all others: identifiers are those of one data set."""
    return f"{row.source}/{row.patient}"


def _portable(path: str, base: Path) -> str:
    if not path:
        return ""
    absolute = os.path.abspath(path)
    prefix = str(base) + os.sep
    return absolute[len(prefix) :] if absolute.startswith(prefix) else absolute


def join(manifests: Sequence[Manifest]) -> Manifest:
    """Several data sets as one, in the order given; each row keeps its source.

    Of the provenance, lists (one entry per Kaggle data set) are put together, not replaced.
    """
    provenance: dict[str, object] = {}
    for manifest in manifests:
        for name, fact in manifest.provenance.items():
            earlier = provenance.get(name)
            provenance[name] = [*earlier, *fact] if isinstance(earlier, list) and isinstance(fact, list) else fact
    return Manifest(
        rows=tuple(row for manifest in manifests for row in manifest.rows),
        skipped=tuple(item for manifest in manifests for item in manifest.skipped),
        notes=tuple(dict.fromkeys(note for manifest in manifests for note in manifest.notes)),
        provenance=provenance,
    )


def skip(path: str, error: InputError) -> Skipped:
    """A :class:`Skipped` made from the error that opening ``path`` raised."""
    return Skipped(path, error.code, error.message, error.hint)
