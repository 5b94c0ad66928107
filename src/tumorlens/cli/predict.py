"""``tumorlens predict``."""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TextIO

from tumorlens.cli.options import MODEL, add_engine
from tumorlens.cli.path_list import check_list, listed
from tumorlens.cli.show import reporter
from tumorlens.inference import Failure, Prediction
from tumorlens.inference.result import Answer
from tumorlens.labels import set_text


def add_arguments(command: argparse.ArgumentParser) -> None:
    """The command's options."""
    command.add_argument(
        "input", nargs="+", metavar="INPUT", help="file, folder, archive or volume; - reads a list from stdin"
    )
    command.add_argument("--model", metavar="MODEL", help=MODEL)
    command.add_argument(
        "--format", choices=list(_WRITERS), default="table", help="of the answers on stdout (default: table)"
    )
    add_engine(command)
    command.add_argument("--maps", metavar="DIR", help="write where the model looked, one PNG per slice")


def run(arguments: argparse.Namespace) -> int:
    """Answer. Exit code 1 when some inputs could not be used, 3 when none could."""
    from tumorlens.pipeline.model import load

    if "-" in arguments.input:
        check_list(sys.stdin.buffer)
    model = load(arguments.model, engine=arguments.engine)
    tell = reporter(quiet=arguments.quiet)
    if model.info.caution:
        tell.warn(model.info.caution)
    counted = {"used": 0, "failed": 0}

    def answers() -> Iterator[Answer]:
        inputs = _inputs(arguments.input)
        for answer in model.predict_paths(inputs, map_folder=arguments.maps, reporter=tell):
            counted["failed" if isinstance(answer, Failure) else "used"] += 1
            if isinstance(answer, Failure) and not arguments.quiet:
                sys.stderr.write(_told(answer) + "\n")
            yield answer

    _WRITERS[arguments.format](answers(), model.labels, sys.stdout)
    if not any(counted.values()):
        sys.stderr.write("tumorlens: error: the list on stdin is empty\nhint: one path per line\n")
    if not counted["used"]:
        return 3
    return 1 if counted["failed"] else 0


def _told(answer: Failure) -> str:
    """One line; most messages name the file themselves."""
    error = answer.error
    return (error.message if answer.path in error.message else f"{answer.path}: {error.message}") + (
        f" ({error.hint})" if error.hint else ""
    )


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


def _jsonl(answers: Iterable[Answer], labels: tuple[str, ...], out: TextIO) -> None:
    for answer in answers:
        out.write(json.dumps(answer.as_dict(), ensure_ascii=False, allow_nan=False) + "\n")
        out.flush()


def _csv(answers: Iterable[Answer], labels: tuple[str, ...], out: TextIO) -> None:
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(
        ["id", "path", "frame", "series", "predicted", *(f"p_{name}" for name in labels), "set", "verdict", "error"]
    )
    for answer in answers:
        if isinstance(answer, Failure):
            writer.writerow(["", answer.path, "", "", "", *("" for _ in labels), "", "", answer.error.code])
            continue
        entry = answer.as_dict()
        refused = answer.predicted is None  # its probabilities mean nothing, and here somebody may take the largest
        chances = ["" if refused else repr(answer.probabilities[name]) for name in labels]
        series = "" if isinstance(answer, Prediction) else "true"
        frame = "" if entry["frame"] is None else entry["frame"]
        own = set_text(entry["set"] or ())
        writer.writerow(
            [entry["id"], entry["path"], frame, series, answer.predicted, *chances, own, entry["verdict"] or "", ""]
        )


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
        verdict = answer.as_dict()["verdict"] or "–"
        if verdict == "uncertain" and answer.set is not None:  # between which classes
            where = f"{where}  ({set_text(answer.set) or 'unlike every class'})"
        out.write("  ".join([f"{answer.predicted or '–':{width}}", *chances, f"{verdict:{_VERDICT}}", where]) + "\n")


_VERDICT = len("not_brain_mri")

_WRITERS: dict[str, Callable[[Iterable[Answer], tuple[str, ...], TextIO], None]] = {
    "table": _table,
    "json": _json,
    "jsonl": _jsonl,
    "csv": _csv,
}
