"""``tumorlens crossval``."""

from __future__ import annotations

import argparse
import sys

from tumorlens.cli.options import (
    DATA,
    add_columns,
    add_settings,
    add_training,
    add_workers,
    check_resumed,
    given_of,
    workers_of,
)
from tumorlens.cli.show import reporter
from tumorlens.errors import UsageError

_EXAMPLES = """examples:
  tumorlens crossval brain_tumors/ --folds 5 --seeds 3 --out stability
  tumorlens crossval figshare/index.csv --fold-column official_fold --jobs 2"""


def add_arguments(command: argparse.ArgumentParser) -> None:
    """The command's options."""
    command.add_argument("data", nargs="*", metavar="DATA", help=f"one or more of: {DATA}")
    command.add_argument("--resume", metavar="DIR", help="continue a stopped or killed cross-validation")
    command.add_argument("--out", metavar="DIR", help="its folder (default: runs/<time>-<name>)")
    command.add_argument("--name", metavar="NAME", help="of the cross-validation")
    add_training(command)
    command.add_argument("--folds", type=int, metavar="K", help="folds that no patient crosses (default: 5)")
    command.add_argument("--seeds", type=int, metavar="N", help="trainings of each fold (default: 1)")
    command.add_argument(
        "--final",
        action="store_true",
        default=None,
        help="then train on all slices, and bundle that network with the out-of-fold scores",
    )
    add_workers(command)
    add_settings(command)
    add_columns(command, test_fold="a fold that takes no part, for a test afterwards")
    command.formatter_class = argparse.RawDescriptionHelpFormatter
    command.epilog = f"{_EXAMPLES}\n\n{command.epilog}"


def run(arguments: argparse.Namespace) -> int:
    """Cross-validate, or continue."""
    tell, workers = reporter(quiet=arguments.quiet), workers_of(arguments)
    if arguments.resume:
        check_resumed(arguments)
        from tumorlens.pipeline.crossvalidating import resume

        result = resume(arguments.resume, workers=workers, reporter=tell)
    else:
        if not arguments.data:
            raise UsageError(
                "found neither DATA nor --resume",
                hint="tumorlens crossval DATA starts one; tumorlens crossval --resume DIR continues one",
            )
        if arguments.folds is not None and arguments.fold_column:
            raise UsageError("found both --folds and --fold-column", hint="the data's folds, or folds made here: one")
        if arguments.folds is not None and arguments.folds < 2:
            raise UsageError(f"found --folds {arguments.folds}, expected 2 or more")
        settings = given_of(
            arguments,
            **{
                "model.name": arguments.model,
                "train.epochs": arguments.epochs,
                "train.device": arguments.device,
                "evaluate.folds": arguments.folds,
                "evaluate.seeds": arguments.seeds,
                "evaluate.final": arguments.final,
            },
        )
        from tumorlens.pipeline.crossvalidating import crossval

        result = crossval(
            arguments.data, settings=settings, out=arguments.out, name=arguments.name, workers=workers, reporter=tell
        )
    from tumorlens.report.repeated_text import repeated_text

    lines = [repeated_text(result.metrics), "", f"folder  {result.folder}"]
    if (result.folder / "bundle").is_dir():
        lines.append(f"model   {result.folder / 'bundle'}")
    if result.report:
        lines.append(f"report  {result.report}")
    sys.stdout.write("\n".join(lines) + "\n")
    return 0
