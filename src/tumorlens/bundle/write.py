"""Writing a bundle."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

import msgspec

from tumorlens.bundle.info import BundleInfo, encode, sha256
from tumorlens.io.atomic import replace_folder, write_bytes, writing


def write_bundle(folder: str | os.PathLike[str], info: BundleInfo, files: Mapping[str, bytes]) -> BundleInfo:
    """Write a bundle folder; an older one of the same name is replaced only when the new one is complete.

    Args:
        folder: where.
        info: all but ``files``, which is filled in here.
        files: ``model.onnx``, ``metrics.json``, ``predictions.csv``, ``MODEL_CARD.md``.

    Returns:
        The info as written.

    Raises:
        EnvironmentFailure: when the disk is full or not writable.
    """
    target = Path(folder)
    complete = msgspec.structs.replace(info, files={name: sha256(content) for name, content in sorted(files.items())})
    with writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent))
        try:
            for name, content in files.items():
                write_bytes(fresh / name, content)
            write_bytes(fresh / "bundle.json", encode(complete))
            fresh.chmod(0o755)
            replace_folder(fresh, target)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
    return complete
