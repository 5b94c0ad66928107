"""``tumorlens export``."""

from __future__ import annotations

import argparse
import sys

from tumorlens.cli.options import DATA, MODEL, print_json
from tumorlens.cli.show import reporter


def add_arguments(command: argparse.ArgumentParser) -> None:
    """The command's options."""
    from tumorlens.pipeline.exporting import KINDS

    command.add_argument("model", metavar="MODEL", help=MODEL)
    command.add_argument("--to", required=True, choices=KINDS, help="the form that is added")
    command.add_argument("--out", required=True, metavar="DIR", help="folder of the new bundle")
    command.add_argument(
        "--data", nargs="+", metavar="DATA", help=f"slices that it learned from (default: those of its run): {DATA}"
    )
    command.add_argument("--json", action="store_true", help="print how far the form differs as one JSON document")


def run(arguments: argparse.Namespace) -> int:
    """Write the bundle, say how far its new form differs."""
    from tumorlens.pipeline.exporting import export

    found = export(
        arguments.model, arguments.to, arguments.out, data=arguments.data, reporter=reporter(quiet=arguments.quiet)
    )
    if arguments.json:
        print_json(found)
        return 0
    sys.stdout.write(f"{arguments.out}\n")
    if found.get("copy"):
        sys.stdout.write("model.onnx is copied as it is: no Keras network is at hand to compare it with\n")
        return 0
    against = found.get("against", "model.onnx")
    for name, one in found.get("engines", {arguments.to: found}).items():
        sys.stdout.write(
            f"{name} against {against} on {found['n']} slices: probabilities differ by at most "
            f"{one['max_probability_difference']:.2g}, {one['same_class']:.1%} get the same class\n"
        )
    return 0
