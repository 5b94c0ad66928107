"""Finding, checking and loading a bundle."""

from __future__ import annotations

import os
import zipfile
import zlib
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from tumorlens.bundle.info import GATE, BundleInfo, decode, sha256
from tumorlens.errors import ModelError

# A bundle holds a network and a few tables; anything beyond this is not one.
_LARGEST_FILE = 2 * 1024**3


@dataclass(frozen=True)
class Bundle:
    """A checked bundle.

    Attributes:
        info: ``bundle.json``.
        sha256: of ``bundle.json``, which holds the SHA-256 of every other file: one number for the whole bundle.
        model: the ONNX network, as bytes.
        where: the folder or zip it came from.
        gate: the ONNX network that refuses what is no brain MRI, as bytes; empty where the bundle has none.
    """

    info: BundleInfo
    sha256: str
    model: bytes
    where: Path
    gate: bytes = b""

    def read(self, name: str) -> bytes:
        """Another file of the bundle, checked against its SHA-256."""
        return _checked(self.where, name, self.info)


def find(model: str | os.PathLike[str] | None) -> Path:
    """The bundle that MODEL means: a bundle folder, a bundle ``.zip``, a run folder, or the name of a shipped model.

    Raises:
        ModelError: when there is none.
    """
    name = os.fspath(model) if model is not None else "default"
    shipped = Path(str(resources.files("tumorlens"))) / "shipped" / name
    path = Path(name)
    if model is None or (name == "default" and not path.exists()):
        if shipped.is_dir():
            return shipped
        raise ModelError(
            "no model was given, and this version ships none",
            hint="train one with: tumorlens train DATA, then pass its run folder with --model RUN",
            code="no_model",
        )
    for candidate in (path, path / "bundle"):
        if (candidate / "bundle.json").is_file():
            return candidate
    if path.is_file() and zipfile.is_zipfile(path):
        return path
    if os.sep not in name and shipped.is_dir():
        return shipped
    if not path.exists():
        raise ModelError(
            f"no model {name}",
            hint="MODEL is a run folder, a bundle folder, a bundle .zip, or default",
            code="not_found",
        )
    if (path / "best.toml").is_file():
        raise ModelError(
            f"{name} is a search for settings: it holds no model",
            hint=f"train one with what it found: tumorlens train DATA --config {path / 'best.toml'}",
            code="unfinished",
        )
    if (path / "metrics.json").is_file() and any(path.glob("seed-*")):
        raise ModelError(
            f"{name} is a cross-validation whose networks were each trained on a part of the slices",
            hint=f"name one of them (below {path / 'seed-0'}), or run crossval with --final, which trains one on all",
            code="unfinished",
        )
    if (path / "config.toml").is_file():
        raise ModelError(
            f"{name} is a run that has not finished: it holds no bundle yet",
            hint=f"finish it with: tumorlens train --resume {name}",
            code="unfinished",
        )
    raise ModelError(
        f"{name} is not a bundle: it holds no bundle.json",
        hint="MODEL is a run folder, a bundle folder or a bundle .zip",
    )


def load(model: str | os.PathLike[str] | None) -> Bundle:
    """Load a bundle and check the SHA-256 of its network.

    Raises:
        ModelError: when it is missing, damaged, changed, or of an unknown schema version.
    """
    where = find(model)
    content = _read(where, "bundle.json")
    info = decode(content, str(model if model is not None else where.name))
    gate = _checked(where, GATE, info) if info.rejection is not None else b""
    return Bundle(info, sha256(content), _checked(where, "model.onnx", info), where, gate)


def _checked(where: Path, name: str, info: BundleInfo) -> bytes:
    content = _read(where, name)
    if sha256(content) != info.files.get(name):
        raise ModelError(
            f"{name} of {where} does not match the SHA-256 in bundle.json: it was changed or damaged",
            hint="copy or export the bundle again",
            code="changed",
        )
    return content


def _read(where: Path, name: str) -> bytes:
    try:
        if where.is_dir():
            path = where / name
            if path.stat().st_size > _LARGEST_FILE:
                raise ModelError(f"{path} is larger than any bundle file may be", code="too_large")
            return path.read_bytes()
        with zipfile.ZipFile(where) as archive:
            member = next(
                (m for m in archive.infolist() if m.filename in (name, f"{where.stem}/{name}", f"bundle/{name}")), None
            )
            if member is None:
                raise ModelError(f"{where} holds no {name}", hint="make the zip from the bundle folder")
            if member.file_size > _LARGEST_FILE:
                raise ModelError(f"{name} in {where} is larger than any bundle file may be", code="too_large")
            return archive.read(member)
    except (OSError, EOFError, ValueError, zlib.error, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise ModelError(f"cannot read {name} of {where}: {error}", hint="copy or export the bundle again") from error
