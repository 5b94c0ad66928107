"""``tumorlens compare``."""

from __future__ import annotations

import argparse
import sys

from tumorlens.cli.options import check_seed, print_json

RUN = "folder of a run, a cross-validation or an evaluation, or a predictions.csv"


def add_arguments(command: argparse.ArgumentParser) -> None:
    """The command's options."""
    command.add_argument("first", metavar="RUN_A", help=RUN)
    command.add_argument("second", metavar="RUN_B", help="the same")
    command.add_argument("--json", action="store_true", help="print one JSON document")
    command.add_argument("--bootstrap", type=int, default=2000, metavar="N", help="resamples behind each interval")
    command.add_argument("--seed", type=int, default=0, metavar="N", help="of the bootstrap")


def run(arguments: argparse.Namespace) -> int:
    """Compare."""
    from tumorlens.errors import UsageError
    from tumorlens.pipeline.comparing import compare

    if arguments.bootstrap < 100:
        raise UsageError(f"found --bootstrap {arguments.bootstrap}, expected 100 or more")
    check_seed(arguments.seed)
    document = compare(arguments.first, arguments.second, bootstrap=arguments.bootstrap, seed=arguments.seed)
    if arguments.json:
        print_json(document)
    else:
        from tumorlens.report.difference import difference_text

        sys.stdout.write(difference_text(document, (arguments.first, arguments.second)) + "\n")
    return 0
