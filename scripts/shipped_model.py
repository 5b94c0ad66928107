"""Makes the shipped model: ``python scripts/shipped_model.py DATA RUN``; stopped, the same command continues.

DATA is the folder that ``recipes/default-data.toml`` speaks of. The data are cleaned (one of each picture), the recipe
of ``recipes/default.toml`` is cross-validated in RUN, a last network is trained on all slices, and its bundle, with the
network in 8-bit integers beside it, replaces ``src/tumorlens/shipped/default``. Cost on two cores with bfloat16: about
two hours.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

from tumorlens import config
from tumorlens.audit.fix import fixed
from tumorlens.cli.show import reporter
from tumorlens.config import Settings
from tumorlens.data.manifest import Manifest, Skipped
from tumorlens.pipeline.auditing import audit
from tumorlens.pipeline.crossvalidating import crossval, resume
from tumorlens.pipeline.dataset import labelled, read
from tumorlens.pipeline.exporting import export
from tumorlens.pipeline.reporter import Reporter
from tumorlens.report.repeated_text import repeated_text

ROOT = Path(__file__).resolve().parents[1]
SHIPPED = ROOT / "src" / "tumorlens" / "shipped" / "default"
LARGEST = 8 * 2**20


def sources() -> list[dict[str, Any]]:
    """The entries of the data file."""
    return tomllib.loads((ROOT / "recipes" / "default-data.toml").read_text(encoding="utf-8"))["source"]


def located(spec: str, data: Path) -> str:
    """A DATA of the file, below the folder."""
    before, _, path = spec.rpartition("=")
    return f"{before}={data / path}" if before else str(data / path)


def manifest_of(data: Path, settings: Settings) -> Manifest:
    """The cleaned data with what is published about them."""
    entries = sources()
    manifest = labelled(read([located(entry["data"], data) for entry in entries]))
    kept = {entry["name"]: entry.get("every", 1) for entry in entries}
    unknown = {row.source for row in manifest} - set(kept)
    if unknown:
        raise SystemExit(f"recipes/default-data.toml names no source {sorted(unknown)}")
    manifest = manifest.where(lambda row: (row.frame or 0) % kept[row.source] == 0)
    found = audit(manifest, settings=settings).found
    manifest = without_ct(fixed(found), found.manifest, entries)
    facts = {entry["name"]: {key: entry[key] for key in ("title", "licence", "note")} for entry in entries}
    return replace(manifest, provenance={**manifest.provenance, "published": facts})


def without_ct(kept: Manifest, whole: Manifest, entries: list[dict[str, Any]]) -> Manifest:
    """What is kept without head CT: the files that are named, and copies of them (their groups in the whole)."""
    named = {(entry["name"], stem) for entry in entries for stem in entry.get("ct", "").split()}
    groups = {row.group for row in whole if (row.source, Path(row.path).stem) in named}
    ct = [row.id for row in kept if row.group in groups]
    return kept.without(tuple(Skipped(name, "foreign", "head CT, told by eye") for name in ct), set(ct))


def main() -> None:
    """Make or continue it, and put it into the package."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("run", type=Path)
    options = parser.parse_args()
    tell = reporter(quiet=False)
    if (options.run / "config.toml").is_file():
        result = resume(options.run, reporter=tell)
    else:
        settings = config.load(ROOT / "recipes" / "default.toml")
        result = crossval(
            manifest_of(options.data, settings), settings=settings, out=options.run, name="default", reporter=tell
        )
    size = ship(result.folder / "bundle", options.data, tell)
    print(f"{repeated_text(result.metrics)}\n\n{SHIPPED}: {size / 2**20:.1f} MiB")


def ship(bundle: Path, data: Path, tell: Reporter) -> int:
    """Put a bundle into the package, with 8-bit integers and how far every engine differs; its size in bytes."""
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "default"
        export(bundle, "int8", made, data=[located(entry["data"], data) for entry in sources()], reporter=tell)
        size = sum(path.stat().st_size for path in made.iterdir())
        if size > LARGEST:
            raise SystemExit(f"the bundle holds {size} bytes; the package has room for {LARGEST}")
        shutil.rmtree(SHIPPED, ignore_errors=True)
        shutil.copytree(made, SHIPPED)
    return size


if __name__ == "__main__":
    main()
