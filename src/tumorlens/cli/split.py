"""``tumorlens split``."""

from __future__ import annotations

import argparse
import sys
from collections import Counter

from tumorlens.cli.options import add_columns, add_data, settings_of
from tumorlens.cli.show import reporter
from tumorlens.errors import UsageError


def add_arguments(command: argparse.ArgumentParser) -> None:
    """The command's options."""
    add_data(command)
    command.add_argument("--out", required=True, metavar="manifest.csv", help="the manifest to write")
    how = command.add_mutually_exclusive_group()
    how.add_argument("--folds", type=int, metavar="K", help="K folds")
    how.add_argument(
        "--fractions", metavar="T,V,E", help="percent for train, validation and test, for example 70,15,15"
    )
    command.add_argument("--seed", type=int, metavar="N", help="for ties between groups")
    add_columns(command)


def run(arguments: argparse.Namespace) -> int:
    """Split and write the manifest."""
    from tumorlens.pipeline.dataset import read, split

    if arguments.folds is not None and arguments.folds < 2:
        raise UsageError(f"found --folds {arguments.folds}, expected 2 or more")
    fractions = _fractions(arguments.fractions) if arguments.fractions else None
    settings = settings_of(arguments, **({"data.fractions": fractions} if fractions else {}))
    manifest = read(arguments.data, settings=settings.data, reporter=reporter(quiet=arguments.quiet))
    divided = split(manifest, folds=arguments.folds or 0, settings=settings)
    divided.write_csv(arguments.out)
    part = "fold" if arguments.folds else "split"
    slices = Counter(getattr(row, part) for row in divided)
    groups = Counter(
        name for name, _ in {(getattr(row, part), g) for row, g in zip(divided, divided.groups, strict=True)}
    )
    for name in sorted(slices):
        sys.stdout.write(f"{part} {name}: {slices[name]} slices of {groups[name]} groups\n")
    if divided.skipped and not arguments.quiet:
        sys.stderr.write(f"warning: {len(divided.skipped)} inputs were left out\n")
    sys.stdout.write(f"{arguments.out}\n")
    return 0


def _fractions(text: str) -> list[float]:
    try:
        shares = [float(part) for part in text.split(",")]
    except ValueError:
        shares = []
    if len(shares) != 3 or min(shares) < 0 or abs(sum(shares) - 100) > 1e-6:
        raise UsageError(
            f"found --fractions {text}, expected three percentages that sum to 100",
            hint="for example --fractions 70,15,15",
        )
    return [share / 100 for share in shares]
