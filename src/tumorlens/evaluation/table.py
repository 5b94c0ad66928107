"""One row per slice: what is true, and what the network said. The only input of every metric."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tumorlens.bundle import Bundle
from tumorlens.errors import DataError
from tumorlens.evaluation.table_csv import HINT, first_bad_row, parse, to_text
from tumorlens.io.atomic import write_text

#: Those with a value for each slice, beside its id.
COLUMNS = (
    "labels", "patients", "sources", "groups", "splits", "accepted", "folds", "planes", "refused", "sides", "tumours",
    "burnt_in",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class PredictionTable:
    """Predictions beside the truth, in the order in which they were made. Empty strings mean "not known".

    Attributes:
        names: class names in the order of the probabilities (that of the network's outputs).
        ids: unique slice identifiers.
        labels: the true class of each slice; empty when not known.
        patients: patient identifiers, as the data set writes them.
        groups: the unit that never crosses a split (patient, else duplicate cluster).
        sources: name of the data set each slice came from.
        splits: ``train``, ``val``, ``test`` or empty.
        probabilities: float64 (N, K), rows sum to 1.
        accepted: whether the answer is sure enough, the slice not refused, and no text burnt into it; None when the
            model has no threshold.
        folds: the cross-validation fold, as text.
        planes: ``axial``, ``coronal``, ``sagittal`` or ``unsure``, as guessed from the pixels.
        sets: bool (N, K), which classes are in the conformal set of each slice; None when the model has no sets.
        refused: whether a slice is refused as no brain MRI; None when the model has no gate.
        sides: the longer side of each picture as it is stored, in pixels; 0 when not known.
        tumours: the tumour's share of what the network sees, 0..1, by its mask; None without one.
        burnt_in: whether the file's header says that text is part of the picture.
    """

    names: tuple[str, ...]
    ids: tuple[str, ...]
    labels: tuple[str, ...]
    patients: tuple[str, ...]
    groups: tuple[str, ...]
    sources: tuple[str, ...]
    splits: tuple[str, ...]
    probabilities: NDArray[np.float64]
    accepted: tuple[bool | None, ...]
    folds: tuple[str, ...]
    planes: tuple[str, ...] = ()
    sets: NDArray[np.bool_] | None = None
    refused: tuple[bool | None, ...] = ()
    sides: tuple[int, ...] = ()
    tumours: tuple[float | None, ...] = ()
    burnt_in: tuple[bool, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "planes", tuple(self.planes) or ("",) * len(self.ids))
        object.__setattr__(self, "refused", tuple(self.refused) or (None,) * len(self.ids))
        object.__setattr__(self, "sides", tuple(self.sides) or (0,) * len(self.ids))
        object.__setattr__(self, "tumours", tuple(self.tumours) or (None,) * len(self.ids))
        object.__setattr__(self, "burnt_in", tuple(self.burnt_in) or (False,) * len(self.ids))
        for name in ("names", "ids", "labels", "patients", "groups", "sources", "splits", "accepted", "folds"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        probabilities = np.array(self.probabilities, dtype=np.float64)
        probabilities.setflags(write=False)
        object.__setattr__(self, "probabilities", probabilities)
        self._check()

    def _check(self) -> None:
        n, k = len(self.ids), len(self.names)
        if k < 2 or len(set(self.names)) != k:
            raise DataError(f"found classes {list(self.names)}, expected two or more different ones", hint=HINT)
        if self.probabilities.shape != (n, k):
            raise DataError(f"found probabilities of shape {self.probabilities.shape}, expected {(n, k)}", hint=HINT)
        if self.sets is not None and self.sets.shape != (n, k):
            raise DataError(f"found sets of shape {self.sets.shape}, expected {(n, k)}", hint=HINT)
        for name in COLUMNS:
            if len(getattr(self, name)) != n:
                raise DataError(f"found {len(getattr(self, name))} {name} for {n} ids", hint=HINT)
        wrong = first_bad_row(self.probabilities)
        if wrong is not None:
            raise DataError(
                f"the probabilities of {self.ids[wrong]!r} are {self.probabilities[wrong].tolist()}; "
                "expected numbers from 0 to 1 that sum to 1",
                hint=HINT,
            )

    @classmethod
    def build(
        cls,
        names: Sequence[str],
        ids: Sequence[str],
        labels: Sequence[str],
        probabilities: NDArray[np.floating],
        *,
        patients: Sequence[str] | None = None,
        groups: Sequence[str] | None = None,
        sources: Sequence[str] | None = None,
        splits: Sequence[str] | None = None,
        accepted: Sequence[bool | None] | None = None,
        folds: Sequence[str] | None = None,
        planes: Sequence[str] | None = None,
        sets: NDArray[np.bool_] | None = None,
        refused: Sequence[bool | None] | None = None,
        sides: Sequence[int] = (),
        tumours: Sequence[float | None] = (),
        burnt_in: Sequence[bool] = (),
    ) -> PredictionTable:
        """A table with "not known" in the columns that are not given."""
        blank = ("",) * len(ids)
        return cls(
            names=tuple(names),
            ids=tuple(ids),
            labels=tuple(labels),
            patients=blank if patients is None else tuple(patients),
            groups=blank if groups is None else tuple(groups),
            sources=blank if sources is None else tuple(sources),
            splits=blank if splits is None else tuple(splits),
            probabilities=np.asarray(probabilities, dtype=np.float64),
            accepted=(None,) * len(ids) if accepted is None else tuple(accepted),
            folds=blank if folds is None else tuple(folds),
            planes=blank if planes is None else tuple(planes),
            sets=sets,
            refused=() if refused is None else tuple(refused),
            sides=tuple(sides),
            tumours=tuple(tumours),
            burnt_in=tuple(burnt_in),
        )

    @classmethod
    def joined(cls, tables: Sequence[PredictionTable]) -> PredictionTable:
        """Several tables of the same classes, one behind the other.

        Raises:
            DataError: when their classes differ.
        """
        names = {table.names for table in tables}
        if len(names) != 1:
            raise DataError(f"found tables of different classes: {sorted(names)}", hint=HINT)
        columns = {
            name: tuple(value for table in tables for value in getattr(table, name)) for name in ("ids", *COLUMNS)
        }
        probabilities = np.concatenate([table.probabilities for table in tables])
        known = [table.sets for table in tables if table.sets is not None]
        sets = np.concatenate(known) if len(known) == len(tables) else None
        return cls(names=names.pop(), probabilities=probabilities, sets=sets, **columns)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def predicted_codes(self) -> NDArray[np.int64]:
        """Index of the likeliest class, int64 (N,); the first of equals."""
        return np.asarray(self.probabilities.argmax(axis=1), dtype=np.int64)

    @property
    def predicted(self) -> tuple[str, ...]:
        """Name of the likeliest class of each slice."""
        return tuple(self.names[code] for code in self.predicted_codes)

    @property
    def confidence(self) -> NDArray[np.float64]:
        """The top probability of each slice, float64 (N,)."""
        return np.asarray(self.probabilities.max(axis=1), dtype=np.float64)

    @property
    def correct(self) -> NDArray[np.bool_]:
        """Whether the likeliest class is the true one, bool (N,)."""
        return np.array([a == b for a, b in zip(self.labels, self.predicted, strict=True)], dtype=bool)

    @property
    def barred(self) -> NDArray[np.bool_]:
        """Whether no answer is accepted: the gate refuses the slice, or text is burnt into it; bool (N,)."""
        return np.array([bool(no) or text for no, text in zip(self.refused, self.burnt_in, strict=True)], dtype=bool)

    def rows_of(self, ids: Sequence[str], file: str) -> list[int]:
        """The rows of slices that a file beside the table names.

        Raises:
            DataError: when the table lacks one.
        """
        row = {name: i for i, name in enumerate(self.ids)}
        missing = [name for name in ids if name not in row]
        if missing:
            raise DataError(
                f"{missing[0]} has no prediction", hint=f"evaluate again: {file} and predictions.csv differ"
            )
        return [row[name] for name in ids]

    def where(self, keep: str | Sequence[bool] | NDArray[np.bool_]) -> PredictionTable:
        """The rows of one split (by its name), or those for which a mask (N,) is true."""
        mask = np.array([s == keep for s in self.splits], bool) if isinstance(keep, str) else np.asarray(keep)
        if mask.shape != (len(self),) or mask.dtype != np.bool_:
            raise DataError(f"a mask needs {len(self)} true or false values, found {mask.dtype} {mask.shape}")
        return self.take(np.flatnonzero(mask).tolist())

    def take(self, rows: Sequence[int]) -> PredictionTable:
        """The rows with these numbers, in this order."""
        return PredictionTable(
            names=self.names,
            probabilities=self.probabilities[list(rows)],
            sets=None if self.sets is None else self.sets[list(rows)],
            **{name: tuple(getattr(self, name)[i] for i in rows) for name in ("ids", *COLUMNS)},
        )

    def write_csv(self, path: str | os.PathLike[str]) -> None:
        """Write :meth:`to_csv` to a file, atomically."""
        write_text(path, self.to_csv())

    def to_csv(self) -> str:
        """The table: ``id,label,patient,source,group,split,p_<class>…,predicted,accepted,fold,plane``, then ``set``,
        ``refused``, ``side``, ``tumour``, ``burnt_in``.

        ``set`` holds the names of the classes with a ``|`` between them. The last columns are there when the model has
        sets, and a gate, when the sizes of pictures, and of tumours, are known, and when text is burnt into a picture.

        Probabilities are written with ``repr``, the shortest text that reads back as the same float64, so that every
        metric recomputes to the last digit.
        """
        return to_text(self)

    @classmethod
    def read_csv(cls, path: str | os.PathLike[str]) -> PredictionTable:
        """Read what :meth:`write_csv` wrote; columns other than ``id``, ``label`` and ``p_<class>`` may be missing.

        Raises:
            DataError: for a file that is not such a table; the message says which line and column.
        """
        try:
            text = Path(path).read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"cannot read the predictions {path}: {error}", hint=HINT) from None
        return cls.parse(text, str(path))

    @classmethod
    def of_bundle(cls, bundle: Bundle) -> PredictionTable:
        """The predictions in a bundle, whose slices are named by hashes.

        Raises:
            ModelError: when the file was changed.
            DataError: when it is no table of predictions.
        """
        return cls.parse(bundle.read("predictions.csv").decode(), f"{bundle.where}/predictions.csv")

    @classmethod
    def parse(cls, text: str, where: str) -> PredictionTable:
        """Read what :meth:`to_csv` made.

        Args:
            text: of the table.
            where: it came from, for messages.

        Raises:
            DataError: when it is no such table; the message says which line and column.
        """
        return cls(**parse(text, where))
