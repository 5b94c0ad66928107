"""``tumorlens split``."""

from __future__ import annotations

import argparse
import sys

from tumorlens.cli.options import add_columns, add_data, check_table, settings_of
from tumorlens.cli.show import list_skipped, reporter
from tumorlens.errors import UsageError


def add_arguments(command: argparse.ArgumentParser) -> None:
    """The command's options."""
    add_data(command)
    command.add_argument("--out", required=True, metavar="manifest.csv", help="the manifest to write")
    command.add_argument("--force", action="store_true", help="write over an existing file")
    how = command.add_mutually_exclusive_group()
    how.add_argument("--folds", type=int, metavar="K", help="K folds")
    how.add_argument(
        "--fractions", metavar="T,V,E", help="percent for train, validation and test, for example 70,15,15"
    )
    command.add_argument("--seed", type=int, metavar="N", help="for ties between groups")
    add_columns(command)


def run(arguments: argparse.Namespace) -> int:
    """Split and write the manifest."""
    from tumorlens.data.manifest import by_code
    from tumorlens.data.split import SPLITS
    from tumorlens.pipeline.dividing import split

    if arguments.folds is not None and arguments.folds < 2:
        raise UsageError(f"found --folds {arguments.folds}, expected 2 or more")
    if arguments.folds and (arguments.fold_column or arguments.test_fold):
        raise UsageError(
            "found --folds beside --fold-column or --test-fold",
            hint="--folds makes new folds; leave it out to use those that the data brings",
        )
    check_table("--out", arguments.out, arguments.data, arguments.force)
    fractions = _fractions(arguments.fractions) if arguments.fractions else None
    settings = settings_of(arguments, **({"data.fractions": fractions} if fractions else {}))
    tell = reporter(quiet=arguments.quiet)
    divided = split(arguments.data, folds=arguments.folds or 0, settings=settings, reporter=tell)
    divided.write_csv(arguments.out)
    if divided.skipped:
        tell.warn(f"{len(divided.skipped)} inputs were left out ({by_code(divided.skipped)}); -v lists them")
    if arguments.verbose:
        list_skipped(divided.skipped)
    column = "fold" if arguments.folds else "split"
    names = [str(number + 1) for number in range(arguments.folds)] if arguments.folds else SPLITS
    for name in names:
        part = divided.with_rows([row for row in divided if getattr(row, column) == name])
        classes = ", ".join(f"{label} {count}" for label, count in part.count().items())
        if len(part):
            sys.stdout.write(f"{column} {name}: {len(part)} slices of {len(set(part.groups))} groups ({classes})\n")
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
