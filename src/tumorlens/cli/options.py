"""Options that several commands share."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tumorlens import config
from tumorlens.config import Settings
from tumorlens.errors import UsageError

if TYPE_CHECKING:
    from tumorlens.pipeline.spreading import Workers

MODEL = "run folder, bundle folder, bundle .zip, or the name of a model that ships (default: default)"
DATA = (
    "folder of class folders, .zip, manifest .csv, .npz, .mat folder, DICOM or NIfTI tree, "
    "kaggle:owner/name, phantom[:N], LABEL=PATH, mask:LABEL=PATH"
)


def add_data(command: argparse.ArgumentParser, *, many: bool = True) -> None:
    """DATA."""
    command.add_argument(
        "data",
        nargs="+" if many else None,
        metavar="DATA",
        help=DATA,
    )


def check_port(port: int) -> None:
    """Refuse what is no port.

    Raises:
        UsageError: below 0 or above 65535.
    """
    if not 0 <= port <= 65_535:
        raise UsageError(f"--port is {port}", hint="a number from 0 to 65535")


def check_seed(seed: int) -> None:
    """Refuse a seed that no random generator takes.

    Raises:
        UsageError: below 0.
    """
    if seed < 0:
        raise UsageError(f"--seed is {seed}", hint="a number from 0")


def add_engine(command: argparse.ArgumentParser) -> None:
    """``--engine``."""
    from tumorlens.inference.engines import DEFAULT, ENGINES

    told = f"what runs the network: {', '.join(ENGINES)} (default: {DEFAULT})"
    command.add_argument("--engine", choices=list(ENGINES), default=DEFAULT, metavar="NAME", help=told)


def add_training(command: argparse.ArgumentParser) -> None:
    """``--model``, ``--epochs``, ``--device``."""
    command.add_argument("--model", metavar="NAME", help="guided, compact, plain, or a keras.applications backbone")
    command.add_argument("--epochs", type=int, metavar="N", help="passes over the images (default: planned)")
    command.add_argument("--device", metavar="D", help="auto, cpu, gpu or gpu:N")


def add_workers(command: argparse.ArgumentParser) -> None:
    """``--jobs``, ``--ray``."""
    command.add_argument("--jobs", type=int, metavar="N", help="trainings at a time (default: 1)")
    command.add_argument("--ray", metavar="ADDRESS", help="train on an existing Ray cluster: auto, or host:port")


def workers_of(arguments: argparse.Namespace) -> Workers:
    """Who trains: this process, several, or as many as a cluster has processors."""
    from tumorlens.pipeline.spreading import Workers

    jobs = arguments.jobs if arguments.jobs is not None else (0 if arguments.ray else 1)
    return Workers(jobs, arguments.ray or "")


# Options that belong to the beginning of a run, a cross-validation or a search.
_BEGUN_WITH = (
    "config", "overrides", "seed", "model", "epochs", "device", "out", "name", "folds", "seeds", "final", "trials",
    "space", "fold_column", "test_fold", "group_column",
)  # fmt: skip


def check_resumed(arguments: argparse.Namespace) -> None:
    """Refuse DATA, settings, and whatever else a run begins with, beside ``--resume``.

    Raises:
        UsageError: saying what to give instead.
    """
    if arguments.data:
        raise UsageError("found both DATA and --resume", hint="give --resume alone, or start a new run with DATA")
    if any(getattr(arguments, name, None) not in (None, []) for name in _BEGUN_WITH):
        raise UsageError(
            "a resumed run keeps its folder, its name and its settings",
            hint="give --resume alone, or start a new run",
        )


def add_columns(command: argparse.ArgumentParser, *, test_fold: str = "the fold to test on") -> None:
    """``--fold-column``, ``--test-fold``, ``--group-column``."""
    group = command.add_argument_group("folds and groups that the data set brings")
    group.add_argument("--fold-column", metavar="NAME", help="manifest column with the folds")
    group.add_argument("--test-fold", metavar="K", help=test_fold)
    group.add_argument("--group-column", metavar="NAME", help="manifest column that must never cross a split")


def add_settings(command: argparse.ArgumentParser) -> None:
    """``--config``, ``--set``, ``--seed``."""
    command.add_argument("--config", metavar="FILE.toml", help="settings; see tumorlens config")
    command.add_argument(
        "--set", metavar="a.b=c", action="append", default=[], dest="overrides", help="change one setting; repeatable"
    )
    command.add_argument("--seed", type=int, metavar="N", help="the one seed behind every random choice")


def settings_of(arguments: argparse.Namespace, **direct: Any) -> Settings:
    """The settings that the options ask for: file, then ``--set``, then the command's own options."""
    return config.from_dict(given_of(arguments, **direct))


def given_of(arguments: argparse.Namespace, **direct: Any) -> dict[str, Any]:
    """The same, but only what was given: the rest is for the plan."""
    overrides = list(getattr(arguments, "overrides", []))
    own = {
        "seed": getattr(arguments, "seed", None),
        "data.fold_column": getattr(arguments, "fold_column", None),
        "data.test_fold": getattr(arguments, "test_fold", None),
        "data.group_column": getattr(arguments, "group_column", None),
        **direct,
    }
    overrides += [f"{key}={json.dumps(value)}" for key, value in own.items() if value is not None]
    return config.read_tree(getattr(arguments, "config", None), overrides)


def print_json(document: Any) -> None:
    """One JSON document on stdout."""
    sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def check_table(option: str, out: str, data: Sequence[str], force: bool) -> None:
    """Refuse a name for a manifest that is none, or to write over what is there: a manifest keeps only its own columns.

    Raises:
        UsageError: with what to do instead.
    """
    from tumorlens.data.specs import parse

    path = Path(out)
    if path.suffix.lower() != ".csv":
        raise UsageError(f"found {option} {out}, expected a name that ends in .csv")
    if not path.exists():
        return
    for item in data:
        given = Path(parse(item).path)
        if given.exists() and given.samefile(path):
            raise UsageError(f"{option} {out} is what is to be read", hint="name another file")
    if path.is_dir() or not force:
        raise UsageError(f"{out} already exists", hint="name another file, remove it, or write over it with --force")
