"""A MedMNIST-style ``.npz`` becomes rows."""

from __future__ import annotations

import re

import numpy as np

from tumorlens import io
from tumorlens.data.layout import split_of
from tumorlens.data.manifest import Manifest, Row
from tumorlens.errors import DataError, InputError
from tumorlens.io.arrays import array_names, read_values

_NAMES = ("label_names", "class_names", "classes", "labels_map", "label_map")


def read_npz(path: str, source: str, *, label: str = "") -> Manifest:
    """The images of ``train_images``, ``val_images`` and ``test_images`` with ``…_labels``, or ``images``/``labels``.

    Labels are whole numbers (N,) or (N, 1), or text; numbers become names where the file lists them
    (``label_names``, ``class_names`` or ``classes``), else ``"0"``, ``"1"``, ….

    Args:
        path: the file.
        source: name of the data set.
        label: the class of everything in it.

    Raises:
        DataError: no such arrays, or labels that do not fit.
        InputError: when the file is damaged.
    """
    names = array_names(path)
    classes = _class_names(path, names)
    rows: list[Row] = []
    for name in sorted(names, key=_order):
        found = re.fullmatch(r"(?:(\w+?)_)?(?:images|x)", name, re.IGNORECASE)
        if not found:
            continue
        prefix = found[1] or ""
        array = f"{path}!{name}"
        count = io.frame_count(array)
        if count is None:
            raise InputError(f"{array} is one image, not a set", hint="expected (N, H, W)", code="not_an_image")
        labels = [label] * count if label else _labels(path, names, prefix, count, classes)
        split = split_of(prefix)
        rows += [Row(array, index, labels[index], source=source, split=split) for index in range(count)]
    if not rows:
        raise DataError(
            f"{path} holds the arrays {', '.join(names) or 'none'}",
            hint="expected train_images and train_labels (and val_…, test_…), or images and labels",
            code="empty",
        )
    return Manifest(tuple(rows))


def _order(name: str) -> tuple[int, str]:
    split = split_of(name.split("_")[0])
    return ({"train": 0, "val": 1, "test": 2}.get(split, 3), name)


def _class_names(path: str, names: list[str]) -> list[str] | None:
    for name in names:
        if name.lower() in _NAMES:
            values = np.ravel(read_values(path, name))
            return [
                value.decode(errors="replace") if isinstance(value, bytes) else str(value) for value in values.tolist()
            ]
    return None


def _labels(path: str, names: list[str], prefix: str, count: int, classes: list[str] | None) -> list[str]:
    wanted = [f"{prefix}_{word}" if prefix else word for word in ("labels", "label", "y")]
    name = next((name for word in wanted for name in names if name.lower() == word.lower()), "")
    if not name:
        return [""] * count
    values = read_values(path, name)
    if values.ndim == 2 and values.shape[1] > 1:
        raise DataError(
            f"{path}: {name} has {values.shape[1]} labels per image; one is expected",
            hint="a multi-label set cannot be used",
            code="bad_value",
        )
    values = np.ravel(values)
    if len(values) != count:
        raise DataError(
            f"{path}: {count} images but {len(values)} labels in {name}", hint="export the set again", code="bad_value"
        )
    if values.dtype.kind in "US":
        return [value.decode(errors="replace") if isinstance(value, bytes) else str(value) for value in values.tolist()]
    if values.dtype.kind == "f" and not (np.isfinite(values).all() and (values == np.round(values)).all()):
        raise DataError(f"{path}: {name} holds fractions", hint="labels are whole numbers or text", code="bad_value")
    codes = [int(value) for value in values.tolist()]
    if classes is None:
        return [str(code) for code in codes]
    if codes and not 0 <= min(codes) <= max(codes) < len(classes):
        raise DataError(
            f"{path}: {name} goes from {min(codes)} to {max(codes)}, but there are {len(classes)} class names",
            hint="export the set again",
            code="bad_value",
        )
    return [classes[code] for code in codes]
