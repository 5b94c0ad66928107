"""``tumorlens``: finds the command, runs it, and turns every error into one clear message and an exit code."""

from __future__ import annotations

import argparse
import difflib
import faulthandler
import importlib
import os
import re
import sys
from collections.abc import Iterable, Sequence
from io import TextIOWrapper
from typing import NoReturn

from tumorlens import __version__
from tumorlens.errors import TumorLensError, UsageError

# Command → one line of help. Each lives in a module of the same name, imported only when it is used.
COMMANDS = {
    "train": "audit, split, train, evaluate, explain, report: the whole pipeline",
    "evaluate": "score a model on labelled data",
    "crossval": "train and test on every fold, with several seeds: how good, how stable",
    "compare": "say whether one run is better than another",
    "tune": "search for better settings, without touching the test slices",
    "predict": "name the tumour in files, folders and volumes",
    "audit": "say what is wrong with a data set",
    "split": "divide a data set so that no patient leaks",
    "phantom": "write the synthetic data set with masks",
    "serve": "web page and REST API",
    "dicom-node": "receive MR series from a PACS, answer with structured reports",
    "deidentify": "write DICOM images without what says who the patient is",
    "export": "add another form of the network to a bundle: OpenVINO, Keras, LiteRT, 8-bit integers",
    "verify": "recompute every claimed number, and ask about some slices again",
    "info": "show what a model is",
    "config": "print the complete default settings with comments",
}
_EPILOG = "Research use only, not a medical device."


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; its exit code is 0 done, 1 with findings, 2 usage, 3 no usable input, 4 internal."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    verbose = bool({"-v", "--verbose"} & set(given))
    try:
        if not given:
            _parser(given).print_help(sys.stderr)
            return 2
        parsed = _parsed(given)
        code: int = parsed.run(parsed)
        sys.stdout.flush()
        return code
    except TumorLensError as error:
        if verbose and error.__cause__ is not None:
            _say(f"cause: {error.__cause__!r}")
        _say(f"error: {error.message}")
        if error.hint:
            _say(f"hint: {error.hint}")
        return error.exit_code
    except KeyboardInterrupt:
        _say("stopped")
        return 130
    except BrokenPipeError:
        # The reader (head, less) has seen enough. Python would complain again while closing stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0
    except OSError as error:
        from tumorlens.io.atomic import FORBIDDEN, FULL, refusal

        # Any other refusal may come from reading, and then is a fault of ours.
        if error.errno not in FULL | FORBIDDEN:
            return _internal(error, verbose)
        known = refusal(error.filename or "a file", error)
        _say(f"error: {known.message}\nhint: {known.hint}")
        return known.exit_code
    except Exception as error:  # noqa: BLE001 - the last line of defence: no traceback reaches a user
        return _internal(error, verbose)


def entry() -> None:
    """The console script."""
    if not {"-v", "--verbose"} & set(sys.argv[1:]):
        _mute_libraries()
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a file name may be no text in any encoding
    sys.exit(main())


def _mute_libraries() -> None:
    """Keep what C libraries print about damaged files away from the user.

    libjpeg, libpng and TensorFlow write to descriptor 2 themselves, from any thread. Here Python's own stderr moves to
    a copy of it, and descriptor 2 leads nowhere. What such a library finds wrong still becomes an error of ours.
    """
    try:
        own = os.dup(2)
        nowhere = os.open(os.devnull, os.O_WRONLY)
    except OSError:  # no stderr at all (a service): nothing can be printed
        return
    sys.stderr = os.fdopen(own, "w", buffering=1, encoding=sys.stderr.encoding, errors="backslashreplace")
    os.dup2(nowhere, 2)
    os.close(nowhere)
    faulthandler.enable(sys.stderr)  # a crash inside a library is still told


def _internal(error: Exception, verbose: bool) -> int:
    if verbose:
        import traceback

        _say("".join(traceback.format_exception(error)).rstrip())
    _say(f"error: something unexpected happened: {type(error).__name__}: {error}")
    _say("hint: this is a fault in tumorlens; please report it with the output of the same command and -v")
    return 4


def _parsed(given: list[str]) -> argparse.Namespace:
    """The arguments, with a suggestion for what is misspelt."""
    wanted = _command(given)
    if wanted is not None and wanted not in COMMANDS:
        raise UsageError(f"there is no command {wanted!r}", hint=_closest(wanted, COMMANDS, "tumorlens --help"))
    parsed, unknown = _parser(given).parse_known_args(given)
    if unknown:
        name = unknown[0].partition("=")[0]
        if name in parsed.options:
            raise UsageError(f"found {name} before the command", hint=f"write it behind: tumorlens {wanted} {name} …")
        hint = _closest(name, parsed.options, f"tumorlens {wanted} --help")
        raise UsageError(f"tumorlens {wanted} knows no {name}", hint=hint)
    return parsed


def _closest(word: str, known: Iterable[str], otherwise: str) -> str:
    close = difflib.get_close_matches(word, list(known), n=1)
    return f"did you mean {close[0]}?" if close else f"{otherwise} lists what there is"


def _command(given: Sequence[str]) -> str | None:
    return next((word for word in given if not word.startswith("-")), None)


class _Parser(argparse.ArgumentParser):
    """Its errors are those of every other mistake: what was found, what was expected, what to do."""

    def error(self, message: str) -> NoReturn:
        known = re.fullmatch(r"argument (.+?): invalid choice: (.+) \(choose from (.*)\)", message)
        if known is None:
            command = self.prog.partition(" ")[2]
            raise UsageError(
                f"{command}: {message}" if command else message, hint=f"{self.prog} --help shows how it is used"
            )
        option, found, listed = known.groups()
        names = [name.strip("'\" ") for name in listed.split(",")]
        expected = f"{option}: found {found}, expected one of {', '.join(names)}"
        raise UsageError(expected, hint=_closest(found.strip("'\""), names, f"{self.prog} --help"))


def _parser(given: Sequence[str]) -> argparse.ArgumentParser:
    parser = _Parser(
        prog="tumorlens",
        description="Train, judge and use a CNN that names the tumour in a brain-MRI slice.",
        epilog=_EPILOG,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"tumorlens {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    wanted = _command(given)
    for name, summary in COMMANDS.items():
        command = commands.add_parser(
            name, help=summary, description=summary[0].upper() + summary[1:] + ".", epilog=_EPILOG, allow_abbrev=False
        )
        if name == wanted:
            module = importlib.import_module(f"tumorlens.cli.{name.replace('-', '_')}")
            module.add_arguments(command)
            command.set_defaults(run=module.run)
            command.add_argument("-v", "--verbose", action="store_true", help="say more, and show tracebacks")
            command.add_argument("-q", "--quiet", action="store_true", help="say nothing but results and errors")
            command.set_defaults(options=[option for action in command._actions for option in action.option_strings])
    return parser


def _say(text: str) -> None:
    print(f"tumorlens: {text}" if text.startswith("error:") else text, file=sys.stderr)
