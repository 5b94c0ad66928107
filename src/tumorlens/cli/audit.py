"""``tumorlens audit``."""

from __future__ import annotations

import argparse
import csv
import io
import json
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tumorlens.cli.options import add_columns, add_data, add_settings, check_table, settings_of
from tumorlens.cli.show import reporter

if TYPE_CHECKING:
    from tumorlens.pipeline.auditing import Audit

_MARKS = {"serious": "✗", "warning": "!", "note": "·"}


def add_arguments(command: argparse.ArgumentParser) -> None:
    """The command's options."""
    add_data(command)
    command.add_argument("--json", action="store_true", help="print one JSON document and nothing else")
    command.add_argument("--out", metavar="DIR", help="also write audit.json and audit.html there")
    command.add_argument("--strict", action="store_true", help="exit 1 when something serious is found")
    command.add_argument("--fix", metavar="OUT.csv", help="write a cleaned, grouped manifest, and what it leaves out")
    command.add_argument("--force", action="store_true", help="write over the manifest that --fix names")
    add_settings(command)
    add_columns(command)


def run(arguments: argparse.Namespace) -> int:
    """Audit, print, and write what was asked for."""
    if arguments.fix:
        check_table("--fix", arguments.fix, arguments.data, arguments.force)
    from tumorlens.pipeline.auditing import audit

    settings = settings_of(arguments)
    result = audit(
        arguments.data, settings=settings, out=arguments.out, reporter=reporter(quiet=arguments.quiet or arguments.json)
    )
    if arguments.fix:
        _fix(arguments.fix, result)
    if arguments.json:
        sys.stdout.write(json.dumps(result.document, indent=2, ensure_ascii=False) + "\n")
    else:
        sys.stdout.write(_text(result.document) + "\n")
        where = f"report  {result.report}" if result.report else "" if arguments.out else "pictures: add --out DIR"
        sys.stdout.write(f"\n{where}\n" if where else "")
    return 1 if arguments.strict and result.verdict == "serious" else 0


def _fix(out: str, result: Audit) -> None:
    """The cleaned manifest, and beside it a table of what it leaves out and why."""
    from tumorlens.audit.fix import fixed
    from tumorlens.data.manifest import by_code
    from tumorlens.io.atomic import write_text

    cleaned = fixed(result.found)
    cleaned.write_csv(out)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("path", "code", "reason"))
    writer.writerows((item.path, item.code, item.reason) for item in cleaned.skipped)
    table = Path(out).with_suffix(".excluded.csv")
    write_text(table, text.getvalue())
    sys.stderr.write(f"{out}: {len(cleaned)} slices; left out: {by_code(cleaned.skipped) or 'none'} (see {table})\n")


def _text(document: dict[str, Any]) -> str:
    """The verdict, how much was looked at, every finding with an example, and what the probes scored."""
    from tumorlens.report.words import AUDIT_VERDICTS, plural

    copies = sum(len(members) - 1 for members in document["clusters"])
    seen = [
        plural(document["n"], "slice"),
        plural(document["n"] - copies, "different picture"),
        plural(len(set(document["groups"].values())), "group"),
    ]
    left_out = f"; {plural(len(document['unreadable']), 'file')} left out" if document["unreadable"] else ""
    lines = [AUDIT_VERDICTS[document["verdict"]], ", ".join(seen) + left_out]
    for item in document["findings"]:
        lines += ["", f"{_MARKS[item['severity']]} {item['title']}"]
        lines += textwrap.wrap(item["text"], 100, initial_indent="  ", subsequent_indent="  ")
        lines += _examples(item)
        lines += textwrap.wrap(f"→ {item['advice']}", 100, initial_indent="  ", subsequent_indent="    ")
    return "\n".join([*lines, *_shortcuts(document["shortcuts"] or {})])


def _examples(item: dict[str, Any]) -> list[str]:
    """The first two of what a finding is about; a pair where it is about pairs."""
    from tumorlens.report.words import tail

    shown = [tail(name, 90) for name in item["examples"][:2]]
    return [f"  {lead} {name}" for lead, name in zip(("for example", "        and"), shown, strict=False)]


def _shortcuts(shortcuts: dict[str, Any]) -> list[str]:
    """A table of the probes; empty when there are none."""
    if not shortcuts:
        return []
    lines = ["", "What tells the class without the tumour (balanced accuracy, grouped cross-validation)"]
    for name, probe in shortcuts.items():
        if probe["balanced_accuracy"] is None:
            lines.append(f"  {name:22} not scored: {probe['unscored']}")
            continue
        low, high = probe["ci95"]
        told = "clearly better than guessing" if probe["finding"] else "not clearly better than guessing"
        lines.append(
            f"  {name:22} {100 * probe['balanced_accuracy']:5.1f} %  ({100 * low:.1f} to {100 * high:.1f}), guessing "
            f"{100 * probe['chance']:.1f} %: {told}"
        )
    return lines
