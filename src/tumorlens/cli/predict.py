"""``tumorlens predict``."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from tumorlens.cli.options import MODEL, add_engine
from tumorlens.cli.path_list import check_list, listed
from tumorlens.cli.show import reporter
from tumorlens.errors import UsageError
from tumorlens.inference import Failure, Prediction
from tumorlens.inference.lines import FORMS, head, line
from tumorlens.inference.result import Answer
from tumorlens.labels import set_text

if TYPE_CHECKING:
    from tumorlens.pipeline.model import Model
    from tumorlens.pipeline.reporter import Reporter


def add_arguments(command: argparse.ArgumentParser) -> None:
    """The command's options."""
    command.add_argument(
        "input",
        nargs="+",
        metavar="INPUT",
        help="file, folder, archive or volume; dicomweb:https://… asks a DICOMweb server; - reads a list from stdin",
    )
    command.add_argument("--model", metavar="MODEL", help=MODEL)
    command.add_argument(
        "--format", choices=list(_WRITERS), help="of the answers (default: table on stdout, jsonl in a file)"
    )
    add_engine(command)
    command.add_argument("--maps", metavar="DIR", help="write where the model looked, one PNG per slice")
    many = command.add_argument_group("archives")
    many.add_argument("--out", metavar="FILE", help="write the answers there, on all processors; can be resumed")
    many.add_argument("--resume", action="store_true", help="go on with FILE where it stopped")
    many.add_argument("--jobs", type=int, metavar="N", help="processes (default: as many as there are processors)")
    many.add_argument("--ray", metavar="ADDRESS", help="on an existing Ray cluster: auto, or host:port")


def run(arguments: argparse.Namespace) -> int:
    """Answer. Exit code 1 when some inputs could not be used, 3 when none could."""
    from tumorlens.pipeline.model import load

    _check(arguments)
    if "-" in arguments.input:
        check_list(sys.stdin.buffer)
    model = load(arguments.model, engine=arguments.engine)
    tell = reporter(quiet=arguments.quiet)
    if model.info.caution:
        tell.warn(model.info.caution)
    used, failed = (_written if arguments.out else _shown)(arguments, model, tell)
    if not used and not failed and "-" in arguments.input:
        sys.stderr.write("tumorlens: error: the list on stdin is empty\nhint: one path per line\n")
    if not used:
        return 3
    return 1 if failed else 0


def _check(arguments: argparse.Namespace) -> None:
    """Refuse options that do not go together.

    Raises:
        UsageError: saying what to give instead.
    """
    if arguments.out and arguments.format not in (None, *FORMS):
        raise UsageError(
            f"found --format {arguments.format} and --out, expected {' or '.join(FORMS)}",
            hint="every line of the file is an answer, so that it can be resumed",
        )
    for name in ("resume", "jobs", "ray"):
        if getattr(arguments, name) and not arguments.out:
            raise UsageError(f"--{name} needs --out FILE", hint="name the file that the answers go to")
    if arguments.ray == "":
        raise UsageError("found --ray without an address", hint="auto, or host:port")
    if arguments.jobs is not None and arguments.jobs < 1:
        raise UsageError(f"found {arguments.jobs} jobs, expected 1 or more")
    _check_places(arguments)


def _check_places(arguments: argparse.Namespace) -> None:
    """Refuse to write over inputs, or where they would not be read.

    Raises:
        UsageError: saying what to give instead.
    """
    from tumorlens.data.inputs import check_maps
    from tumorlens.pipeline.keeping import files_of

    own = files_of(Path(arguments.out)) if arguments.out else []
    for name in arguments.input:
        if os.path.realpath(name) in map(os.path.realpath, own):
            raise UsageError(f"{name} is an input, and belongs to --out", hint="name another file for --out")
        if arguments.maps:
            check_maps(name, arguments.maps, [path.name for path in own])


def _shown(arguments: argparse.Namespace, model: Model, tell: Reporter) -> tuple[int, int]:
    """Write answers on stdout as they come; how many there are, and how many inputs could not be used."""
    counted = {"used": 0, "failed": 0}

    def answers() -> Iterator[Answer]:
        inputs = _inputs(arguments.input)
        for answer in model.predict_paths(inputs, map_folder=arguments.maps, reporter=tell):
            counted["failed" if isinstance(answer, Failure) else "used"] += 1
            if isinstance(answer, Failure) and not arguments.quiet:
                sys.stderr.write(answer.sentence + "\n")
            yield answer

    _WRITERS[arguments.format or "table"](answers(), model.labels, sys.stdout)
    return counted["used"], counted["failed"]


def _written(arguments: argparse.Namespace, model: Model, tell: Reporter) -> tuple[int, int]:
    """Write answers into a file; how many it holds, and how many inputs could not be used."""
    from tumorlens.pipeline.archiving import Archive, answer_archive
    from tumorlens.pipeline.spreading import Workers

    asked = Archive(
        named=arguments.input,
        out=Path(arguments.out),
        form=arguments.format or FORMS[0],
        model=arguments.model,
        engine=arguments.engine,
        maps=arguments.maps,
        resume=arguments.resume,
        workers=Workers(arguments.jobs or 0, arguments.ray or ""),
    )
    try:
        counts = answer_archive(asked, model, _inputs(arguments.input), tell)
    except KeyboardInterrupt:
        tell.note(f"{asked.out} keeps what was answered: the same command with --resume goes on")
        raise
    tell.note(f"{asked.out}: {counts.used} answers, {counts.failed} inputs that could not be used")
    return counts.used, counts.failed


def _inputs(named: list[str]) -> Iterator[str]:
    for item in named:
        if item == "-":
            yield from listed(sys.stdin.buffer)
        else:
            yield item


def _json(answers: Iterable[Answer], labels: tuple[str, ...], out: TextIO) -> None:
    # Written as it comes, so that a long list needs no memory and still is one document. Each entry ends its line, so
    # that on a terminal a message lands between two entries; and whatever ends the command, the list is closed.
    out.write("[\n")
    separator = "  "
    try:
        for answer in answers:
            out.write(separator + _indented(answer.as_dict()) + "\n")
            separator = ", "
    finally:
        out.write("]\n")


def _indented(entry: dict[str, Any]) -> str:
    return json.dumps(entry, indent=2, ensure_ascii=False, allow_nan=False).replace("\n", "\n  ")


def _lines(form: str, answers: Iterable[Answer], labels: tuple[str, ...], out: TextIO) -> None:
    out.write(head(form, labels))
    for answer in answers:
        out.write(line(answer, form, labels))
        out.flush()


def _table(answers: Iterable[Answer], labels: tuple[str, ...], out: TextIO) -> None:
    width = max(9, *(len(name) for name in labels))
    heads = [f"{name:>{max(6, len(name))}}" for name in labels]
    out.write("  ".join([f"{'predicted':{width}}", *heads, f"{'verdict':{_VERDICT}}", "slice"]) + "\n")
    for answer in answers:
        if isinstance(answer, Failure):
            none = [f"{'–':>{max(6, len(name))}}" for name in labels]
            out.write("  ".join([f"{'–':{width}}", *none, f"{'error':{_VERDICT}}", answer.path]) + "\n")
            continue
        refused = answer.predicted is None  # its probabilities mean nothing
        chances = [f"{'–' if refused else format(answer.probabilities[n], '.1%'):>{max(6, len(n))}}" for n in labels]
        where = (
            answer.id if isinstance(answer, Prediction) else f"{answer.path} (series of {len(answer.slices)} slices)"
        )
        verdict = answer.verdict or "not judged"  # the model has no threshold for it
        if verdict == "uncertain":  # why, and between which classes
            left = f"not ruled out: {set_text(answer.set)}" if answer.set else ""
            where = f"{where}  ({'; '.join(filter(None, (answer.reason, left)))})"
        out.write("  ".join([f"{answer.predicted or '–':{width}}", *chances, f"{verdict:{_VERDICT}}", where]) + "\n")


_VERDICT = len("not_brain_mri")

_WRITERS: dict[str, Callable[[Iterable[Answer], tuple[str, ...], TextIO], None]] = {
    "table": _table,
    "json": _json,
    **{form: partial(_lines, form) for form in FORMS},
}
