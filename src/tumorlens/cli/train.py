"""``tumorlens train``."""

from __future__ import annotations

import argparse
import sys

from tumorlens.cli.options import DATA, add_columns, add_settings, add_training, check_resumed, given_of
from tumorlens.cli.show import reporter
from tumorlens.errors import UsageError

_EXAMPLES = """examples:
  tumorlens train brain_tumors/ --out first
  tumorlens train phantom:600 --model plain --epochs 20 --set augment.enabled=false"""


def add_arguments(command: argparse.ArgumentParser) -> None:
    """The command's options."""
    command.add_argument("data", nargs="*", metavar="DATA", help=f"one or more of: {DATA}")
    command.add_argument("--resume", metavar="RUN", help="continue a stopped or killed run")
    command.add_argument("--out", metavar="DIR", help="run folder (default: runs/<time>-<name>)")
    command.add_argument("--name", metavar="NAME", help="of the run and its model")
    add_training(command)
    command.add_argument("--folds", type=int, metavar="K", help="also cross-validate over K folds of all slices")
    add_settings(command)
    add_columns(command)
    command.formatter_class = argparse.RawDescriptionHelpFormatter
    command.epilog = f"{_EXAMPLES}\n\n{command.epilog}"


def run(arguments: argparse.Namespace) -> int:
    """Train, or continue."""
    tell = reporter(quiet=arguments.quiet)
    if arguments.resume:
        check_resumed(arguments)
        from tumorlens.pipeline.training import resume

        result = resume(arguments.resume, reporter=tell)
    else:
        if not arguments.data:
            raise UsageError(
                "found neither DATA nor --resume",
                hint="tumorlens train DATA starts a run; tumorlens train --resume RUN continues one",
            )
        if arguments.folds is not None and arguments.folds < 2:
            raise UsageError(f"found --folds {arguments.folds}, expected 2 or more")
        direct = {
            "model.name": arguments.model,
            "train.epochs": arguments.epochs,
            "train.device": arguments.device,
            "evaluate.folds": arguments.folds,
        }
        settings = given_of(arguments, **direct)
        from tumorlens.pipeline.training import train

        result = train(arguments.data, settings=settings, out=arguments.out, name=arguments.name, reporter=tell)
    from tumorlens.report.summary import summary_text

    lines = [summary_text(result.metrics), "", f"run     {result.folder}", f"model   {result.bundle}"]
    if result.report:
        lines.append(f"report  {result.report}")
    sys.stdout.write("\n".join(lines) + "\n")
    return 0
