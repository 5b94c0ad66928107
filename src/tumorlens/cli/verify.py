"""``tumorlens verify``."""

from __future__ import annotations

import argparse
import sys

from tumorlens.cli.options import MODEL, check_seed, print_json
from tumorlens.cli.show import reporter
from tumorlens.errors import UsageError


def add_arguments(command: argparse.ArgumentParser) -> None:
    """The command's options."""
    command.add_argument("model", metavar="RUN|MODEL", help=f"{MODEL}, or the folder of a cross-validation")
    command.add_argument(
        "--data",
        nargs="+",
        metavar="DATA",
        help="the pictures behind a bundle's predictions, found by what their files hold",
    )
    command.add_argument(
        "--slices", type=int, default=200, metavar="N", help="ask about so many again, drawn at random (default: 200)"
    )
    command.add_argument("--seed", type=int, default=0, metavar="N", help="of their choice")
    command.add_argument("--json", action="store_true", help="print what was checked as one JSON document")


def run(arguments: argparse.Namespace) -> int:
    """Recompute. Exit code 1 when something differs."""
    from tumorlens.pipeline.verifying import verify

    if arguments.slices < 1:
        raise UsageError(f"--slices is {arguments.slices}", hint="a number from 1")
    check_seed(arguments.seed)
    found = verify(
        arguments.model,
        data=arguments.data,
        slices=arguments.slices,
        seed=arguments.seed,
        reporter=reporter(quiet=arguments.quiet or arguments.json),
    )
    if arguments.json:
        print_json({"ok": all(check.ok is not False for check in found), "checks": [c.as_dict() for c in found]})
    else:
        signs = {True: "✓", False: "✗", None: "–"}
        for check in found:
            sys.stdout.write(f"{signs[check.ok]} {check.name}: {check.detail}\n")
    return 1 if any(check.ok is False for check in found) else 0
