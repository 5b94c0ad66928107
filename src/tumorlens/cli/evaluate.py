"""``tumorlens evaluate``."""

from __future__ import annotations

import argparse
import sys

from tumorlens.cli.options import add_columns, add_data, add_engine, print_json, settings_of
from tumorlens.cli.show import list_skipped, reporter


def add_arguments(command: argparse.ArgumentParser) -> None:
    """The command's options."""
    command.add_argument("model", metavar="MODEL", help="run folder, bundle folder or .zip, or a shipped model's name")
    add_data(command)
    command.add_argument(
        "--out", metavar="DIR", help="write metrics.json, predictions.csv, edits.csv, maps.csv and figures there"
    )
    command.add_argument(
        "--corruptions", action="store_true", help="ask again about 300 slices as worse scanners would show them"
    )
    add_engine(command)
    command.add_argument("--json", action="store_true", help="print every metric as one JSON document")
    command.add_argument(
        "--set", metavar="a.b=c", action="append", default=[], dest="overrides", help="change one setting"
    )
    command.add_argument("--seed", type=int, metavar="N", help="of the bootstrap")
    add_columns(command)


def run(arguments: argparse.Namespace) -> int:
    """Score. Exit code 1 when some inputs could not be used."""
    from tumorlens.data.manifest import Skipped
    from tumorlens.pipeline.evaluating import evaluate

    document = evaluate(
        arguments.model,
        arguments.data,
        out=arguments.out,
        settings=settings_of(arguments),
        corruptions=arguments.corruptions,
        engine=arguments.engine,
        reporter=reporter(quiet=arguments.quiet),
    )
    skipped = [Skipped(**item) for item in document["skipped"]]
    if arguments.verbose:
        list_skipped(skipped)
    if arguments.json:
        print_json(document)
    else:
        from tumorlens.report.summary import scores_text

        sys.stdout.write(scores_text(document) + "\n")
    return 0 if all(item.by_rule for item in skipped) else 1
