"""``tumorlens tune``."""

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
  tumorlens tune brain_tumors/ --trials 40 --minutes 300 --out search
  tumorlens train brain_tumors/ --config search/best.toml"""


def add_arguments(command: argparse.ArgumentParser) -> None:
    """The command's options."""
    command.add_argument("data", nargs="*", metavar="DATA", help=f"one or more of: {DATA}")
    command.add_argument("--resume", metavar="DIR", help="continue a stopped or killed search")
    command.add_argument("--more", type=int, default=0, metavar="N", help="with --resume: N trials more than planned")
    command.add_argument("--out", metavar="DIR", help="its folder (default: runs/<time>-tune)")
    command.add_argument("--name", metavar="NAME", help="of the search")
    command.add_argument("--trials", type=int, metavar="N", help="settings to try (default: 30)")
    command.add_argument("--folds", type=int, metavar="K", help="inner folds for each (default: 3)")
    command.add_argument("--minutes", type=float, default=0, metavar="M", help="begin no trial after M minutes")
    command.add_argument("--space", metavar="FILE.toml", help="what may change, and between which values")
    command.add_argument("--show-space", action="store_true", help="print the usual space, and end")
    add_training(command)
    add_workers(command)
    add_settings(command)
    add_columns(command)
    command.formatter_class = argparse.RawDescriptionHelpFormatter
    command.epilog = f"{_EXAMPLES}\n\n{command.epilog}"


def run(arguments: argparse.Namespace) -> int:
    """Search, or continue."""
    from tumorlens.config.space import DEFAULT

    if arguments.show_space:
        sys.stdout.write(DEFAULT)
        return 0
    tell, workers = reporter(quiet=arguments.quiet), workers_of(arguments)
    if arguments.minutes < 0 or arguments.more < 0:
        raise UsageError("found a negative number, expected 0 or more", hint="of --minutes or --more")
    if arguments.resume:
        check_resumed(arguments)
        from tumorlens.pipeline.tuning import resume

        result = resume(
            arguments.resume, more=arguments.more, minutes=arguments.minutes, workers=workers, reporter=tell
        )
    else:
        if not arguments.data:
            raise UsageError(
                "found neither DATA nor --resume",
                hint="tumorlens tune DATA starts a search; tumorlens tune --resume DIR continues one",
            )
        settings = given_of(
            arguments,
            **{
                "model.name": arguments.model,
                "train.epochs": arguments.epochs,
                "train.device": arguments.device,
                "tune.trials": arguments.trials,
                "tune.folds": arguments.folds,
            },
        )
        from tumorlens.pipeline.tuning import tune

        result = tune(
            arguments.data,
            settings=settings,
            space=arguments.space,
            out=arguments.out,
            name=arguments.name,
            minutes=arguments.minutes,
            workers=workers,
            reporter=tell,
        )
    from tumorlens.report.tuning_text import tuning_text

    lines = [tuning_text(result.metrics), "", f"best    {result.folder / 'best.toml'}"]
    if result.report:
        lines.append(f"report  {result.report}")
    sys.stdout.write("\n".join(lines) + "\n")
    return 0
