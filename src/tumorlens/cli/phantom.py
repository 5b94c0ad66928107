"""``tumorlens phantom``."""

from __future__ import annotations

import argparse
import sys

from tumorlens.cli.show import reporter


def add_arguments(command: argparse.ArgumentParser) -> None:
    """The command's options."""
    command.add_argument(
        "dir", metavar="DIR", help="folder to write; new, empty, or an earlier phantom, which is replaced"
    )
    command.add_argument("--count", type=int, default=1200, metavar="N", help="slices (default: 1200)")
    command.add_argument("--seed", type=int, default=0, metavar="N", help="same seed, same pictures (default: 0)")


def run(arguments: argparse.Namespace) -> int:
    """Write the phantom."""
    from tumorlens.data.phantom import write_phantom

    with reporter(quiet=arguments.quiet).progress("making the phantom") as progress:
        written = write_phantom(arguments.dir, arguments.count, arguments.seed, progress)
    sys.stdout.write(f"{written}\n")
    return 0
