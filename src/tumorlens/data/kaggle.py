"""``kaggle:owner/name[/versions/N]``: a data set downloaded by kagglehub, which keeps it in its own cache."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from tumorlens import io
from tumorlens.data.listing import listing
from tumorlens.data.manifest import Manifest
from tumorlens.data.trees import read_tree
from tumorlens.errors import DataError, MissingExtraError, TumorLensError
from tumorlens.io.atomic import write_json

Progress = Callable[[int, int], None]


def read_kaggle(name: str, source: str, *, label: str = "", progress: Progress | None = None) -> Manifest:
    """Download (once) and read a Kaggle data set.

    Args:
        name: ``owner/name`` or ``owner/name/versions/N``.
        source: name of the data set in the manifest.
        label: the class of everything in it.
        progress: called with (files done, files in all).

    Returns:
        Its rows; ``provenance["kaggle"]`` holds a list with one ``{"dataset", "version", "files", "sha256"}``, the
        hash being over the sorted lines ``<sha256 of file>  <path>``.

    Raises:
        DataError: offline, no such data set, no permission; the hint says how to go on by hand.
        MissingExtraError: without kagglehub.
    """
    folder, offline = _download(name)
    # Not the resolved path: kagglehub's own layout names the version.
    found = re.search(r"[/\\]versions[/\\](\d+)", os.fspath(folder))
    dataset = "/".join(name.split("/")[:2])
    version = int(found[1]) if found else None
    files, digest = _fingerprint(folder)
    manifest = read_tree(os.fspath(folder), source, label=label, progress=progress)
    fact = {"dataset": dataset, "version": version, "files": files, "sha256": digest}
    note = f"kaggle:{dataset} version {version}, {files} files, SHA-256 {digest[:12]}…"
    return replace(manifest, notes=(*manifest.notes, note, *filter(None, [offline])), provenance={"kaggle": [fact]})


def _download(name: str) -> tuple[Path, str]:
    """The folder of the data set, and a note when an older download had to do."""
    try:
        import kagglehub
    except ImportError as error:
        raise MissingExtraError("kagglehub", "kaggle") from error

    def fetch(wanted: str) -> Path:
        # kagglehub prints to stdout, which belongs to our own output.
        with contextlib.redirect_stdout(sys.stderr):
            return Path(kagglehub.dataset_download(wanted))

    try:
        return fetch(name), ""
    except Exception as error:  # whatever the network, the server or the archive did, it is one answer
        status = getattr(getattr(error, "response", None), "status_code", None)
        if status is None and "/versions/" not in name:
            # Without a version kagglehub asks the server for the newest even when it has one.
            for version in _versions_here(name):
                with contextlib.suppress(OSError):  # the network's errors are OSErrors: that version was not complete
                    folder = fetch(f"{name}/versions/{version}")
                    return folder, f"kaggle:{name}: Kaggle cannot be reached; version {version} was downloaded earlier"
        raise _failed(name, error, status) from error


def _versions_here(name: str) -> list[int]:
    cache = os.environ.get("KAGGLEHUB_CACHE") or os.path.join(Path.home(), ".cache", "kagglehub")
    try:
        found = os.listdir(os.path.join(cache, "datasets", *name.split("/"), "versions"))
    except OSError:
        return []
    return sorted((int(item) for item in found if item.isdigit()), reverse=True)


def _failed(name: str, error: Exception, status: int | None) -> DataError:
    dataset = "/".join(name.split("/")[:2])
    if status in (401, 403):
        found = "Kaggle refuses access: it needs a login, or the rules of the data set have not been accepted"
    elif status == 404:
        found = "Kaggle has no such data set (or it is private)"
    elif status is not None:
        found = f"Kaggle answered with HTTP status {status}"
    else:
        found = f"the download failed ({type(error).__name__}); is this machine online?"
    return DataError(
        f"kaggle:{name}: {found}",
        hint=f"download the zip by hand from https://www.kaggle.com/datasets/{dataset} and pass the .zip",
        code="kaggle",
    )


def _fingerprint(folder: Path) -> tuple[int, str]:
    """Number of files and the SHA-256 over all of them, kept so that it is not computed at every start."""
    files = sorted(
        (os.path.join(*entry.parts).replace(os.sep, "/"), entry.path) for entry in listing(os.fspath(folder)).entries
    )
    state = hashlib.sha256()
    for relative, path in files:
        found = Path(path).stat()
        state.update(f"{relative}\0{found.st_size}\0{found.st_mtime_ns}\n".encode())
    kept = io.cache_dir() / "kaggle" / f"{hashlib.sha256(os.fspath(folder).encode()).hexdigest()[:16]}.json"
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        known = json.loads(kept.read_text())
        if known["state"] == state.hexdigest() and re.fullmatch("[0-9a-f]{64}", known["sha256"]):
            return len(files), str(known["sha256"])
    total = hashlib.sha256()
    for relative, path in files:
        total.update(f"{io.digest(path)}  {relative}\n".encode())
    # A cache that cannot be written only costs time.
    with contextlib.suppress(TumorLensError, OSError):
        write_json(kept, {"state": state.hexdigest(), "sha256": total.hexdigest()})
    return len(files), total.hexdigest()
