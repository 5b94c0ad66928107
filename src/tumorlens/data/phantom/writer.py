"""Write the phantom as a folder of PNG files with a manifest."""

from __future__ import annotations

import csv
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from tumorlens.errors import UsageError
from tumorlens.io.atomic import replace_folder, writing

from .generate import make_slices
from .patients import CLASSES, PhantomSlice

__all__ = ["MANIFEST", "write_phantom"]

MANIFEST = "manifest.csv"
_COLUMNS = ("path", "label", "patient", "mask", "plane")
_MARKER = ".tumorlens-phantom"
_TITLE = "written by tumorlens; these files may be replaced:"


def write_phantom(
    directory: str | os.PathLike[str],
    count: int = 1200,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Write `count` slices below `directory` and return the path of its manifest.csv.

    Layout: ``<class>/<patient>_<index>.png``, ``masks/<class>/<patient>_<index>.png`` (0 or 255; none for
    no_tumor) and ``manifest.csv`` with the columns path, label, patient, mask, plane (paths relative to the
    csv, mask empty for no_tumor). Everything is written to a temporary sibling first and renamed at the end,
    so an interrupted run leaves nothing half done, and an earlier phantom is replaced as a whole.
    `progress(done, total)` is called per slice.

    Raises UsageError when `directory` is a file or a folder with a file that the phantom did not write, or `count` < 1;
    EnvironmentFailure when it cannot be written.
    """
    target = Path(directory).expanduser().absolute()
    slices = make_slices(count, seed)
    _check_target(target)
    with writing(target):
        _write(target, slices, count, progress)
    return target / MANIFEST


def _write(
    target: Path, slices: Iterator[PhantomSlice], count: int, progress: Callable[[int, int], None] | None
) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".partial", dir=target.parent))
    try:
        for name in CLASSES:
            (work / name).mkdir()
            if name != "no_tumor":
                (work / "masks" / name).mkdir(parents=True)
        with open(work / MANIFEST, "w", newline="", encoding="utf-8") as handle:
            rows = csv.writer(handle)
            rows.writerow(_COLUMNS)
            for done, item in enumerate(slices, start=1):
                path = f"{item.label}/{item.patient}_{item.index}.png"
                mask = "" if item.label == "no_tumor" else f"masks/{path}"
                _write_png(work / path, item.image)
                if mask:
                    _write_png(work / mask, item.mask.astype(np.uint8) * np.uint8(255))
                rows.writerow((path, item.label, item.patient, mask, item.plane))
                if progress is not None:
                    progress(done, count)
        (work / _MARKER).write_text("\n".join([_TITLE, *sorted(_files(work))]) + "\n", encoding="utf-8")
        work.chmod(0o755)  # mkdtemp makes it private
        replace_folder(work, target)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _check_target(target: Path) -> None:
    if not target.exists():
        return
    if not target.is_dir():
        raise UsageError(f"{target} is a file, not a folder", hint="name a new or empty folder for the phantom")
    own = {_MARKER}
    if (target / _MARKER).is_file():
        own |= set((target / _MARKER).read_text(encoding="utf-8").splitlines()[1:])
    foreign = sorted(set(_files(target)) - own)
    if foreign:
        raise UsageError(
            f"{target} holds {foreign[0]}, which the phantom did not write; nothing was changed",
            hint="name a new or empty folder for the phantom",
        )


def _files(folder: Path) -> list[str]:
    """Everything below a folder that is not a folder, relative to it."""
    return [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_symlink() or not path.is_dir()]


def _write_png(path: Path, picture: NDArray[np.uint8]) -> None:
    ok, data = cv2.imencode(".png", picture, [cv2.IMWRITE_PNG_COMPRESSION, 4])
    if not ok:
        raise OSError(f"OpenCV could not encode {path.name}")
    path.write_bytes(data.tobytes())  # cv2.imwrite fails on some non-ASCII paths
