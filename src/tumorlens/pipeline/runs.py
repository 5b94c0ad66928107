"""The run folder: what it is called and what is kept in it."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
import platform
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from tumorlens import config, data
from tumorlens.config import Settings
from tumorlens.data.manifest import Manifest, Skipped
from tumorlens.errors import DataError, UsageError
from tumorlens.io.atomic import write_json, write_text, writing
from tumorlens.pipeline.locking import LOCK, held

_SHOWN = (
    "tumorlens",
    "keras",
    "tensorflow-cpu",
    "tensorflow",
    "jax",
    "torch",
    "onnxruntime",
    "numpy",
    "opencv-python-headless",
)
_KINDS = {"training": "single training", "crossval": "cross-validation", "tune": "search"}
# What there may be before config.toml, which marks the run as begun.
_BEFORE_BEGINNING = frozenset(
    {LOCK, "audit.json", "audit.html", "log.txt", "manifest.csv", "plan.toml", "run.json", "space.toml"}
)


@dataclass(frozen=True)
class Start:
    """What a run decided before it began, kept in ``run.json`` so that resuming decides nothing again.

    Attributes:
        name: of the run.
        created: UTC time, ISO 8601.
        fingerprint: of the data: every file's digest, label, group and split, and the recipe.
        notes: about the data.
        skipped: what was left out of it.
        provenance: of the data.
        versions: of the programs.
        kind: ``training``, ``crossval`` or ``tune``: which command continues it.
    """

    name: str
    created: str
    fingerprint: str
    notes: tuple[str, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    provenance: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    kind: str = "training"


@contextmanager
def new_folder(out: str | os.PathLike[str] | None, name: str) -> Iterator[Path]:
    """Make the folder of a new run; inside, it is this process's alone.

    Raises:
        UsageError: when ``out`` already holds something, or another run has it.
        EnvironmentFailure: when it cannot be made.
    """
    if out is None:
        folder = _numbered(Path("runs") / f"{datetime.now().strftime('%Y%m%d-%H%M%S')}-{name}")
    else:
        folder = Path(out)
        check_free(folder)
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
    with held(folder):
        check_free(folder)  # between the first look and the lock another run may have begun and ended there
        yield folder


def _numbered(wanted: Path) -> Path:
    """Make the folder ``wanted``, or ``wanted-2``, …: the first that nobody else makes at the same time."""
    with writing(wanted):
        wanted.parent.mkdir(parents=True, exist_ok=True)
        for number in itertools.count(1):
            folder = wanted if number == 1 else wanted.with_name(f"{wanted.name}-{number}")
            with contextlib.suppress(FileExistsError):
                folder.mkdir()
                return folder
    raise AssertionError


def check_free(folder: Path) -> None:
    """Refuse a folder that holds anything but what a run that was killed before it began has left.

    Raises:
        UsageError: when it does.
    """
    if not folder.exists():
        return
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else {folder.name}
    ours = {name for name in names if name in _BEFORE_BEGINNING or (name.startswith(".") and name.endswith(".part"))}
    if names and not (LOCK in names and ours == names):
        begun = (folder / "config.toml").is_file()
        raise UsageError(
            f"{folder} already exists and is not empty",
            hint="choose another --out" + (f", or continue that run with: {continuing(folder)}" if begun else ""),
        )


def continuing(folder: Path) -> str:
    """The command that continues the run in a folder."""
    try:
        kind = json.loads((folder / "run.json").read_text(encoding="utf-8"))["kind"]
    except (OSError, ValueError, KeyError, TypeError):
        kind = "training"
    return f"tumorlens {kind if kind in ('crossval', 'tune') else 'train'} --resume {folder}"


def begin(folder: Path, settings: Settings, manifest: Manifest, start: Start) -> None:
    """Write what defines the run; ``config.toml`` comes last and marks it as begun."""
    manifest.write_csv(folder / "manifest.csv")
    write_json(folder / "run.json", asdict(start))
    write_text(folder / "config.toml", config.to_toml(settings))


def check_begun(folder: Path) -> None:
    """Refuse what is not the folder of a run that has begun.

    Raises:
        UsageError: saying how to begin one.
    """
    if not (folder / "config.toml").is_file():
        found = "does not exist" if not folder.exists() else "is not the folder of a run that has begun"
        raise UsageError(f"{folder} {found}", hint=f"start the training again: tumorlens train DATA --out {folder}")
    for name in ("run.json", "manifest.csv"):
        if not (folder / name).is_file():
            raise _not_whole(folder, f"{name} is missing")


def reopen(folder: Path, kind: str = "training") -> tuple[Settings, Manifest, Start]:
    """What :func:`begin` wrote.

    Raises:
        UsageError: when the folder is not that of a run that has begun, or one of another kind, or a file of it is
            missing or damaged.
    """
    settings, start = begun(folder, kind)
    return settings, data.read(str(folder / "manifest.csv")), start


def begun(folder: Path, kind: str = "training") -> tuple[Settings, Start]:
    """The same without the slices, whose files may be gone.

    Raises:
        UsageError: as :func:`reopen`.
    """
    check_begun(folder)
    settings = config.load(folder / "config.toml")
    try:
        fields = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        fields["skipped"] = tuple(Skipped(**item) for item in fields["skipped"])
        fields["notes"] = tuple(fields["notes"])
        start = Start(**fields)
    except (ValueError, KeyError, TypeError) as error:
        raise _not_whole(folder, "run.json is damaged") from error
    if start.kind != kind:
        raise UsageError(f"{folder} is no {_KINDS[kind]}", hint=f"continue it with: {continuing(folder)}")
    return settings, start


def _not_whole(folder: Path, reason: str) -> UsageError:
    return UsageError(
        f"{folder} cannot be continued: {reason}", hint="restore that file, or train again into another folder"
    )


def finished(folder: Path, whole: Path | None = None) -> dict[str, Any] | None:
    """``metrics.json`` of a run that has finished, which is one with a bundle; None for any other.

    Args:
        folder: of the run.
        whole: of the cross-validation that it is part of, which is what a person continues.

    Raises:
        UsageError: when that file is damaged.
    """
    path = folder / "metrics.json"
    if not (folder / "bundle" / "bundle.json").is_file() or not path.is_file():
        return None
    return document(path, f"restore that file, or remove it and make it again with: {continuing(whole or folder)}")


def unfinished(folder: Path, whole: Path) -> UsageError:
    """That a run has not finished; for the arguments see :func:`finished`."""
    return UsageError(f"{folder} has not finished", hint=f"finish it with: {continuing(whole)}")


def document(path: Path, hint: str = "restore that file, or make the run again in another folder") -> dict[str, Any]:
    """A JSON file of a run.

    Raises:
        UsageError: when it is damaged.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UsageError(f"{path} is damaged", hint=hint) from error
    if not isinstance(found, dict):
        raise UsageError(f"{path} is damaged", hint=hint)
    return found


def sweep(folder: Path) -> None:
    """Remove what a killed process left unfinished: files and folders that were never renamed to their final name."""
    for left in sorted(folder.rglob(".*.part"), reverse=True):
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)


def fingerprint(manifest: Manifest, digests: Sequence[str], recipe_key: str) -> str:
    """SHA-256 over what the network will learn from: contents, labels, groups and splits, in order."""
    total = hashlib.sha256(recipe_key.encode())
    for row, digest in zip(manifest, digests, strict=True):
        total.update("\0".join((digest, str(row.frame), row.label, row.group, row.split, "\n")).encode())
    return total.hexdigest()


def check_unchanged(folder: Path, start: Start, found: str) -> None:
    """Refuse to go on with images that are not those that a run began with.

    Args:
        folder: of the run.
        start: of the run.
        found: the fingerprint of the images as they are now.

    Raises:
        DataError: ``changed``.
    """
    if found != start.fingerprint:
        raise DataError(
            f"the images are not those that {folder} began with: some were changed, moved or removed",
            hint="put them back, or start again in another folder",
            code="changed",
        )


def versions() -> dict[str, str]:
    """Of Python and the packages that decide a result."""
    found = {"python": platform.python_version()}
    for name in _SHOWN:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def now() -> str:
    """UTC time, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")
