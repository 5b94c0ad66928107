"""``tumorlens deidentify``."""

from __future__ import annotations

import argparse
import sys

from tumorlens.cli.options import print_json
from tumorlens.cli.show import reporter
from tumorlens.errors import InputError

_EXPOSING = frozenset({"burned_in", "capture", "other_kind"})


def add_arguments(command: argparse.ArgumentParser) -> None:
    """The command's options."""
    command.add_argument("input", metavar="IN", help="DICOM file, folder or .zip")
    command.add_argument("out", metavar="OUT", help="folder to write; new or empty, or written with the same key")
    command.add_argument(
        "--key",
        metavar="FILE",
        help="key of the new UIDs and names, made if it is not there (default: one that is forgotten)",
    )
    command.add_argument(
        "--allow-burned-in",
        action="store_true",
        help="also images that may show who the patient is: captures, ultrasound, photographs, burnt-in text",
    )
    command.add_argument("--json", action="store_true", help="print the counts as one JSON document")


def run(arguments: argparse.Namespace) -> int:
    """De-identify. Exit code 1 when some DICOM files were left out, 3 when none could be used."""
    from tumorlens.dicom.deidentifying import NO_DICOM, deidentify

    tell = reporter(quiet=arguments.quiet)
    outcome = deidentify(
        arguments.input,
        arguments.out,
        key=arguments.key,
        allow_burned_in=arguments.allow_burned_in,
        reporter=tell,
    )
    if arguments.json:
        print_json(outcome.as_dict())
    else:
        sys.stdout.write(f"{outcome.written} of {outcome.found} files written to {arguments.out}\n")
        if outcome.already_there:
            sys.stdout.write(f"already there: {outcome.already_there}\n")
        if outcome.left_out:
            codes = ", ".join(f"{code} {count}" for code, count in sorted(outcome.left_out.items()))
            sys.stdout.write(f"left out: {codes}\n")
    if _EXPOSING & outcome.left_out.keys():
        tell.note("--allow-burned-in takes images that may show who the patient is; look at each of them first")
    if not outcome.written + outcome.already_there:
        if outcome.found:
            raise InputError("no file could be used", hint="give DICOM images; the codes above say what was wrong")
        raise InputError(
            f"there are no files in {arguments.input}", hint="give a DICOM image, or a folder that holds some"
        )
    return 1 if outcome.left_out.keys() - {NO_DICOM} else 0
