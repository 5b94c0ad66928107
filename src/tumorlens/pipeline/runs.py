"""The run folder: what it is called and what is kept in it."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from tumorlens import config, data
from tumorlens.config import Settings
from tumorlens.data.manifest import Manifest, Skipped
from tumorlens.errors import UsageError
from tumorlens.io.atomic import write_json, write_text, writing

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
    """

    name: str
    created: str
    fingerprint: str
    notes: tuple[str, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    provenance: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)


def new_folder(out: str | os.PathLike[str] | None, name: str) -> Path:
    """Make the folder of a new run.

    Raises:
        UsageError: when ``out`` already holds something.
        EnvironmentFailure: when it cannot be made.
    """
    if out is not None:
        folder = Path(out)
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise UsageError(
                f"{folder} already exists and is not empty",
                hint=f"choose another --out, or continue that run with: tumorlens train --resume {folder}",
            )
    else:
        stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
        folder, number = Path("runs") / f"{stamp}-{name}", 1
        while folder.exists():
            number += 1
            folder = Path("runs") / f"{stamp}-{name}-{number}"
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    return folder


def begin(folder: Path, settings: Settings, manifest: Manifest, start: Start) -> None:
    """Write what defines the run; ``config.toml`` comes last and marks it as begun."""
    manifest.write_csv(folder / "manifest.csv")
    write_json(folder / "run.json", asdict(start))
    write_text(folder / "config.toml", config.to_toml(settings))


def reopen(folder: Path) -> tuple[Settings, Manifest, Start]:
    """What :func:`begin` wrote.

    Raises:
        UsageError: when the folder is not that of a run that has begun.
    """
    if not (folder / "config.toml").is_file():
        found = "does not exist" if not folder.exists() else "is not the folder of a run that has begun"
        raise UsageError(f"{folder} {found}", hint="start the training again: tumorlens train DATA")
    settings = config.load(folder / "config.toml")
    fields = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    fields["skipped"] = tuple(Skipped(**item) for item in fields["skipped"])
    fields["notes"] = tuple(fields["notes"])
    return settings, data.read(str(folder / "manifest.csv")), Start(**fields)


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
