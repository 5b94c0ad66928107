"""A manifest ``.csv`` and the many ways people name its columns."""

from __future__ import annotations

import csv
import io as textio
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tumorlens.data.layout import split_of
from tumorlens.errors import DataError

_MAX_BYTES = 256 << 20
ALIASES: dict[str, tuple[str, ...]] = {
    "id": ("id",),
    "path": (
        "path", "image", "filename", "file", "filepath", "file_path", "file_name", "img", "image_path", "img_path",
        "image_file", "image_name",
    ),
    "frame": ("frame", "slice", "frame_index", "slice_index"),
    "label": ("label", "class", "diagnosis", "tumor_type", "tumour_type", "category", "target", "class_name", "labels"),
    "patient": ("patient", "patient_id", "patientid", "pid", "subject", "subject_id", "case", "case_id"),
    "group": ("group",),
    "source": ("source",),
    "split": ("split", "set", "partition", "subset"),
    "fold": ("fold",),
    "mask": ("mask", "mask_path", "mask_file", "segmentation"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Record:
    """One line of a table: the columns of :data:`ALIASES`, empty where there is none."""

    line: int
    id: str
    path: str
    frame: int | None
    label: str
    patient: str
    group: str
    source: str
    split: str
    fold: str
    mask: str


@dataclass(frozen=True)
class Table:
    """A table read from a file.

    Attributes:
        columns: its own column names.
        records: its lines.
        notes: what a person should know.
        sure_frames: the frames stand in a column called ``frame``; one called ``slice`` may mean something else.
        has_labels: it has a column with the class.
    """

    columns: tuple[str, ...]
    records: tuple[Record, ...]
    notes: tuple[str, ...]
    sure_frames: bool
    has_labels: bool


def columns_of(path: str) -> tuple[str, ...]:
    """The column names of a table; only its first line is taken apart.

    Raises:
        DataError: when it cannot be read.
    """
    return tuple(next(_lines(path))[1])


def read_table(path: str, group_column: str = "", fold_column: str = "") -> Table:
    """Read a comma-, semicolon- or tab-separated table.

    Paths are resolved against the folder of the table.

    Args:
        path: the file.
        group_column: the column that holds the group; default: one named ``group``.
        fold_column: the column that holds the fold; default: one named ``fold``.

    Raises:
        DataError: no such file or column, no path column, a value that makes no sense.
    """
    (_, header), *lines = _lines(path)
    at = _columns(path, header)
    sure = "frame" not in at or _key(header[at["frame"]]) == "frame"
    for field, wanted in (("group", group_column), ("fold", fold_column)):
        if wanted:
            at[field] = _required(path, header, wanted)
    base = os.path.dirname(path)
    notes: list[str] = []
    if "id" in at:
        repeated = sum(n > 1 for n in Counter(_cell(line, at["id"]) for _, line in lines).values())
        if repeated:
            notes.append(f"{path}: the id column repeats {repeated} values, so the paths are the ids")
            del at["id"]

    def record(number: int, line: Sequence[str]) -> Record:
        def cell(field: str) -> str:
            return _cell(line, at[field]) if field in at else ""

        return Record(
            line=number,
            id=cell("id"),
            path=_resolved(base, cell("path")),
            frame=_frame(path, number, cell("frame"), sure),
            label=cell("label"),
            patient=cell("patient"),
            group=cell("group"),
            source=cell("source"),
            split=_split(path, number, cell("split")),
            fold=cell("fold"),
            mask=_resolved(base, cell("mask")),
        )

    records = tuple(record(number, line) for number, line in lines)
    return Table(tuple(header), records, tuple(notes), sure, "label" in at)


def _lines(path: str) -> Iterator[tuple[int, list[str]]]:
    """The lines that are not empty, with their numbers; the first is the header."""
    try:
        if os.path.getsize(path) > _MAX_BYTES:
            raise DataError(f"{path} is too large for a table", hint="split it", code="too_large")
        with open(path, "rb") as file:
            raw = file.read()
    except OSError as error:
        reason = error.strerror or str(error)
        raise DataError(f"{path} cannot be opened: {reason}", hint="check the path", code="not_found") from error
    encoding = "utf-16" if raw.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError:
        text = raw.decode("cp1252", errors="replace")
    first = text.split("\n", 1)[0]
    delimiter = max(",;\t", key=first.count)
    try:
        reader = csv.reader(textio.StringIO(text, newline=""), delimiter=delimiter)
        header = next((line for line in reader if any(cell.strip() for cell in line)), None)
        if header is None:
            raise DataError(f"{path} has no lines", hint="the first line names the columns: path,label", code="empty")
        yield reader.line_num, [cell.strip() for cell in header]
        yield from ((reader.line_num, line) for line in reader if any(cell.strip() for cell in line))
    except csv.Error as error:
        raise DataError(f"{path} is not a table: {error}", hint="save it as CSV, UTF-8", code="corrupt") from error


def _columns(path: str, header: Sequence[str]) -> dict[str, int]:
    """Where each field stands; an exact name wins over an alias, an earlier alias over a later one."""
    keys = [_key(name) for name in header]
    found = {field: keys.index(alias) for field, names in ALIASES.items() for alias in reversed(names) if alias in keys}
    if "path" not in found:
        raise DataError(
            f"{path} has no column with the image's path; its columns are {', '.join(header)}",
            hint="name one column path (or image, file, filename)",
            code="no_column",
        )
    return found


def named(header: Sequence[str], wanted: str) -> int | None:
    """Where the column ``wanted`` stands: the very name, else one that differs only in case, space or dash."""
    for names, name in ((list(header), wanted), ([_key(item) for item in header], _key(wanted))):
        if name and name in names:
            return names.index(name)
    return None


def _required(path: str, header: Sequence[str], wanted: str) -> int:
    at = named(header, wanted)
    if at is not None:
        return at
    raise DataError(
        f"{path} has no column {wanted!r}",
        hint=f"its columns are {', '.join(header)}",
        code="no_column",
    )


def _key(name: str) -> str:
    return name.strip().lower().replace(" ", "_").replace("-", "_")


def _cell(line: Sequence[str], index: int) -> str:
    return line[index].strip() if index < len(line) else ""


def _resolved(base: str, path: str) -> str:
    if not path or Path(path).is_absolute():
        return path
    return os.path.normpath(os.path.join(base, path)) if "!" not in path else os.path.join(base, path)


def _frame(path: str, line: int, text: str, sure: bool) -> int | None:
    if not text:
        return None
    try:
        number = float(text)
        if number != int(number) or number < 0:
            raise ValueError(text)
    except (ValueError, OverflowError) as error:
        if not sure:  # a column called slice may hold anything
            return None
        raise DataError(
            f"{path}, line {line}: frame {text!r} is not a whole number",
            hint="leave it empty for a single image",
            code="bad_value",
        ) from error
    return int(number)


def _split(path: str, line: int, text: str) -> str:
    if not text:
        return ""
    found = split_of(text)
    if not found:
        raise DataError(
            f"{path}, line {line}: split {text!r} is none of train, val, test",
            hint="leave it empty when there is no split",
            code="bad_value",
        )
    return found
