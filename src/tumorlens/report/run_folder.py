"""What a run folder holds, read for showing."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tumorlens.bundle.info import sha256
from tumorlens.errors import DataError
from tumorlens.evaluation.table import PredictionTable

History = Mapping[str, list[float | None]]


@dataclass(frozen=True)
class RunFolder:
    """The artefacts of one run.

    Attributes:
        path: the folder.
        metrics: ``metrics.json``; has at least ``test``.
        settings_toml: ``config.toml`` as text; empty when missing.
        history: ``history.csv`` by column, None where a cell is empty; no columns when missing.
        tested: the predictions behind ``metrics["test"]``: those of the test split without leaked slices. None when
            ``predictions.csv`` is missing.
        audit: ``audit.json``, or an empty dictionary.
        bundle_sha256: what names the bundle in every answer, the SHA-256 of ``bundle/bundle.json``; None when missing.
    """

    path: Path
    metrics: dict[str, Any]
    settings_toml: str
    history: History
    tested: PredictionTable | None
    audit: dict[str, Any]
    bundle_sha256: str | None

    @property
    def kept_epoch(self) -> int | None:
        """The epoch (from 1) whose weights became the model; None when the run does not say."""
        training = self.metrics.get("training") or {}
        epoch = training.get({"last": "epochs", "best": "best_epoch"}.get(str(training.get("kept")), ""))
        return int(epoch) if epoch else None

    def figure(self, name: str) -> Path | None:
        """``figures/<name>.png``, if it is there."""
        path = self.path / "figures" / f"{name}.png"
        return path if path.is_file() else None


def read_run(run_dir: str | Path) -> RunFolder:
    """Read a run folder; everything but ``metrics.json`` may be missing.

    Raises:
        DataError: when there is no ``metrics.json``, or a file is damaged.
    """
    path = Path(run_dir)
    metrics = read_json(path / "metrics.json")
    if not isinstance(metrics.get("test"), dict) or not metrics["test"].get("n"):
        raise DataError(
            f"{path / 'metrics.json'} holds no test scores",
            hint="a run folder is complete once tumorlens train has finished; --resume continues a stopped one",
        )
    settings, bundle = path / "config.toml", path / "bundle" / "bundle.json"
    return RunFolder(
        path=path,
        metrics=metrics,
        settings_toml=settings.read_text(encoding="utf-8") if settings.is_file() else "",
        history=read_history(path / "history.csv") if (path / "history.csv").is_file() else {},
        tested=_tested(path / "predictions.csv", metrics) if (path / "predictions.csv").is_file() else None,
        audit=read_json(path / "audit.json") if (path / "audit.json").is_file() else {},
        bundle_sha256=sha256(bundle.read_bytes()) if bundle.is_file() else None,
    )


def read_history(path: str | Path) -> dict[str, list[float | None]]:
    """``history.csv`` (a row per epoch) by column; empty cells become None."""
    columns: dict[str, list[float | None]] = {}
    with Path(path).open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        for row in reader:
            for name, text in row.items():
                if name is None:
                    raise DataError(f"{path}, line {reader.line_num}: more fields than columns")
                try:
                    columns.setdefault(name, []).append(float(text) if text else None)
                except ValueError:
                    raise DataError(
                        f"{path}, line {reader.line_num}, column {name}: {text!r} is not a number"
                    ) from None
    return columns


def _tested(path: Path, metrics: Mapping[str, Any]) -> PredictionTable:
    table = PredictionTable.read_csv(path)
    if "test" in table.splits:
        table = table.where("test")
    leaked = {pair[0] for pair in (metrics.get("leaked") or {}).get("pairs", [])}
    return table.where([name not in leaked for name in table.ids]) if leaked else table


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object of a run folder.

    Raises:
        DataError: when it is missing or damaged.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"{path.parent} is not a run folder: it has no {path.name}", code="not_found") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read: {error}", hint="restore the file, or train again") from None
    if not isinstance(content, dict):
        raise DataError(f"{path} holds no JSON object", hint="restore the file, or train again")
    return content
